//! Balance of connections between shards: how full each is, and which should take the next connection.
//!
//! Each shard has its part of the server's connection limit. A full shard hands the connections that it
//! accepts to one that has room, so that the parts act as one limit. A shard that holds far more than its
//! share does so too: SO_REUSEPORT spreads connections by chance, and a listener that all shards share
//! favours the one that wakes first.

use std::{sync::Arc, time::Duration};

use crate::metrics::{Metrics, ShardCounters};

/// Ratio to the mean number of connections above which a shard hands over, as a fraction. See [`SLACK`].
const SKEW: (usize, usize) = (5, 4);

/// Number that a shard subtracts from its connections before it compares them with [`SKEW`] times the
/// mean. A small difference is not worth a handover, which costs a message and a wake-up.
const SLACK: usize = 16;

/// Interval at which a shard compares the shards again while it is full or has too many connections, or while
/// it drains and a connection is on its way to it.
pub(in crate::conn) const RECHECK_INTERVAL: Duration = Duration::from_millis(50);

/// One shard's view of the connection counts of all shards.
pub(in crate::conn) struct Balance {
    metrics: Arc<Metrics>,
    shard: usize,
    /// Maximum number of connections of a shard.
    limit: usize,
}

impl Balance {
    pub(super) fn new(metrics: Arc<Metrics>, shard: usize, limit: usize) -> Self {
        Self { metrics, shard, limit }
    }

    fn shards(&self) -> &[Arc<ShardCounters>] {
        self.metrics.shards()
    }

    fn own(&self) -> &ShardCounters {
        &self.shards()[self.shard]
    }

    /// Returns the other shard with the fewest connections and their number, if it has room.
    fn least(&self) -> Option<(usize, usize)> {
        let loads = self.shards().iter().map(|counters| counters.load()).enumerate();
        let others = loads.filter(|(shard, _)| *shard != self.shard);
        others.min_by_key(|(_, load)| *load).filter(|(_, load)| *load < self.limit)
    }

    /// Returns the shard that a connection accepted here should be handed to; `None` if it should stay or no
    /// other shard has room.
    pub(in crate::conn) fn handover_target(&self) -> Option<usize> {
        let (own, shards) = (self.own().load(), self.shards().len());
        if own < self.limit.min(SLACK) || shards == 1 {
            return None;
        }
        let all: usize = self.shards().iter().map(|counters| counters.load()).sum();
        let is_skewed = (own - own.min(SLACK)) * SKEW.1 * shards > all * SKEW.0;
        let (shard, _) = self.least()?;
        (own >= self.limit || is_skewed).then_some(shard)
    }

    /// Returns `true` if another shard has room and the server still accepts connections.
    pub(in crate::conn) fn has_room_elsewhere(&self) -> bool {
        self.metrics.is_ready() && self.least().is_some()
    }

    /// Reserves a place for a connection on another shard. Returns `false` if the server drains: connections
    /// then stay where they are. The other shard does not count as drained until the connection has arrived
    /// there or the reservation was [released](Self::release).
    pub(in crate::conn) fn reserve(&self, shard: usize) -> bool {
        self.shards()[shard].begin_handover();
        // A drain first clears this flag, then sends its message to the shards: a shard that has the message
        // sees all reservations that were made while the flag was set.
        let accepts = self.metrics.is_ready();
        if !accepts {
            self.release(shard);
        }
        accepts
    }

    /// Releases the reservation of one place on a shard.
    pub(in crate::conn) fn release(&self, shard: usize) {
        self.shards()[shard].end_handover();
    }

    /// Releases this shard's reservation for a connection that has arrived from another shard.
    pub(in crate::conn) fn handover_arrived(&self) {
        self.release(self.shard);
    }

    /// Returns `true` if another shard has reserved a place here and its connection has not arrived yet.
    pub(in crate::conn) fn expects_handover(&self) -> bool {
        self.own().handovers() > 0
    }

    /// Returns `true` if this shard is full and there are others.
    pub(in crate::conn) fn is_full(&self) -> bool {
        self.shards().len() > 1 && self.own().load() >= self.limit
    }

    /// Returns `true` if this shard can accept another connection.
    pub(in crate::conn) fn has_room(&self) -> bool {
        self.own().load() < self.limit
    }

    /// Returns `true` if nine tenths of the server's connection limit are active connections, without `own`
    /// of them. The rest is for requests that end soon, such as those for health and metrics. Never with
    /// fewer than ten connections per shard.
    pub(in crate::conn) fn is_busy(&self, own: u64) -> bool {
        let active: u64 = self.shards().iter().map(|counters| counters.active.value()).sum();
        self.limit >= 10 && active.saturating_sub(own) as usize >= self.soft_limit()
    }

    /// Returns the number of connections of the server above which idle and silent ones are closed: nine
    /// tenths of its limit.
    fn soft_limit(&self) -> usize {
        (self.limit - self.limit / 10) * self.shards().len()
    }

    /// Returns how many connections this shard should close so that a tenth of the server's limit is free.
    /// Each shard closes in proportion to the connections it holds. With a limit below ten per shard it is 0.
    pub(in crate::conn) fn excess(&self) -> usize {
        let soft = self.soft_limit();
        let all: usize = self.shards().iter().map(|counters| counters.load()).sum();
        if all <= soft || self.limit < 10 {
            return 0;
        }
        ((all - soft) * self.own().load()).div_ceil(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balance(loads: &[u64], limit: usize) -> Balance {
        let metrics = Metrics::new(loads.len(), true);
        metrics.shards().iter().zip(loads).for_each(|(counters, load)| counters.accepted.add(*load));
        metrics.set_ready(true);
        Balance::new(metrics, 0, limit)
    }

    #[test]
    fn a_connection_stays_unless_its_shard_is_far_above_its_share() {
        let target = |loads: &[u64]| balance(loads, 1000).handover_target();
        assert_eq!(target(&[500]), None);
        assert_eq!(target(&[16, 0]), None);
        assert_eq!(target(&[100, 80, 90]), None);
        assert_eq!(target(&[140, 100]), None, "within a quarter above the mean plus the slack");
        assert_eq!(target(&[170, 70, 60]), Some(2));
        assert_eq!(target(&[43, 0]), Some(1));
    }

    #[test]
    fn a_full_shard_hands_over_as_long_as_another_has_room() {
        assert_eq!(balance(&[10, 9], 10).handover_target(), Some(1));
        assert_eq!(balance(&[10, 10], 10).handover_target(), None);
        assert_eq!(balance(&[9, 0], 10).handover_target(), None);
        assert!(!balance(&[10, 10], 10).has_room_elsewhere() && balance(&[10, 9], 10).has_room_elsewhere());
    }

    #[test]
    fn nine_tenths_of_the_connections_make_the_server_busy() {
        let balance = balance(&[100, 100], 100);
        balance.shards()[0].active.add(80);
        balance.shards()[1].active.add(100);
        assert!(balance.is_busy(0) && !balance.is_busy(1));
    }

    #[test]
    fn reservations_count_and_a_draining_server_makes_none() {
        let balance = balance(&[10, 9], 10);
        assert!(balance.reserve(1) && balance.handover_target().is_none(), "full, counting the reservation");
        balance.release(1);
        assert_eq!(balance.handover_target(), Some(1));
        balance.metrics.set_ready(false);
        assert!(!balance.reserve(1) && !balance.has_room_elsewhere());
        assert_eq!(balance.handover_target(), Some(1), "the reservation was released");
    }

    #[test]
    fn excess_is_above_nine_tenths_and_proportional() {
        assert_eq!(balance(&[18], 20).excess(), 0);
        assert_eq!(balance(&[20], 20).excess(), 2);
        assert_eq!(balance(&[5], 5).excess(), 0, "a limit below ten has no margin");
        assert_eq!(balance(&[100, 20], 100).excess(), 0);
        assert_eq!(balance(&[100, 90], 100).excess(), 6, "of ten in all");
    }
}
