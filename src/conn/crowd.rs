//! How full the server is, and which shard has room: what one shard knows of all.
//!
//! Every shard has its part of the connection limit. One that is full hands what it accepts to one that is not, so the
//! parts act as one limit; and one that holds far more than its share does so too, since SO_REUSEPORT spreads
//! connections by chance and a listener that all share by who wakes first.

use std::{sync::Arc, time::Duration};

use crate::metrics::{Metrics, ShardCounters};

/// A shard is over its share with so much more than the mean, in parts of it, …
const SHARE: (usize, usize) = (5, 4);

/// … and so many connections beyond that: a hand-over costs a message and a wake, a small difference nothing.
const SLACK: usize = 16;

/// How long a full shard waits before it looks again whether another has room.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// One shard's look at all of them.
pub(super) struct Crowd {
    metrics: Arc<Metrics>,
    shard: usize,
    /// Connections a shard may hold.
    limit: usize,
}

impl Crowd {
    pub(super) fn new(metrics: Arc<Metrics>, shard: usize, limit: usize) -> Self {
        Self { metrics, shard, limit }
    }

    fn shards(&self) -> &[Arc<ShardCounters>] {
        self.metrics.shards()
    }

    fn own(&self) -> &ShardCounters {
        &self.shards()[self.shard]
    }

    /// Returns the other shard with the fewest connections, if it has room, and how many it has.
    fn least(&self) -> Option<(usize, usize)> {
        let loads = self.shards().iter().map(|counters| counters.load()).enumerate();
        let others = loads.filter(|(shard, _)| *shard != self.shard);
        others.min_by_key(|(_, load)| *load).filter(|(_, load)| *load < self.limit)
    }

    /// Returns the shard that shall have a connection accepted by this one; `None`: this one.
    pub(super) fn better(&self) -> Option<usize> {
        let (own, shards) = (self.own().load(), self.shards().len());
        if own < self.limit.min(SLACK) || shards == 1 {
            return None;
        }
        let all: usize = self.shards().iter().map(|counters| counters.load()).sum();
        let is_skewed = (own - own.min(SLACK)) * SHARE.1 * shards > all * SHARE.0;
        let (shard, _) = self.least()?;
        (own >= self.limit || is_skewed).then_some(shard)
    }

    /// Says whether another shard has room, and takes connections.
    pub(super) fn has_room_elsewhere(&self) -> bool {
        self.metrics.is_ready() && self.least().is_some()
    }

    /// Announces a connection to a shard; false when the server drains and every shard keeps what it has. The shard does
    /// not count as drained until the connection has come, or was [taken back](Self::take_back).
    pub(super) fn announce(&self, shard: usize) -> bool {
        self.shards()[shard].announce();
        // A drain begins with this flag, then tells the shards: who is told has seen what was announced before.
        let takes = self.metrics.is_ready();
        if !takes {
            self.take_back(shard);
        }
        takes
    }

    /// Takes an announcement back, or notes that the connection came.
    pub(super) fn take_back(&self, shard: usize) {
        self.shards()[shard].end_handover();
    }

    /// Notes that a connection another shard accepted has come.
    pub(super) fn has_come(&self) {
        self.take_back(self.shard);
    }

    /// Says whether another shard has announced a connection that has not come.
    pub(super) fn expects_more(&self) -> bool {
        self.own().announced() > 0
    }

    /// Says whether this shard is full and not alone.
    pub(super) fn is_full(&self) -> bool {
        self.shards().len() > 1 && self.own().load() >= self.limit
    }

    /// Returns how many connections this shard should close so that its part of the server has a tenth of the limit free.
    pub(super) fn excess(&self) -> usize {
        let soft = (self.limit - self.limit / 10) * self.shards().len();
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

    fn crowd(loads: &[u64], limit: usize) -> Crowd {
        let metrics = Metrics::new(loads.len(), true);
        metrics.shards().iter().zip(loads).for_each(|(counters, load)| counters.accepted.add(*load));
        metrics.set_ready(true);
        Crowd::new(metrics, 0, limit)
    }

    #[test]
    fn a_connection_stays_where_it_came_unless_that_shard_is_far_over_its_share() {
        let better = |loads: &[u64]| crowd(loads, 1000).better();
        assert_eq!(better(&[500]), None);
        assert_eq!(better(&[16, 0]), None);
        assert_eq!(better(&[100, 80, 90]), None);
        assert_eq!(better(&[140, 100]), None, "within a quarter and the slack");
        assert_eq!(better(&[170, 70, 60]), Some(2));
        assert_eq!(better(&[43, 0]), Some(1));
    }

    #[test]
    fn a_full_shard_hands_over_as_long_as_another_has_room() {
        assert_eq!(crowd(&[10, 9], 10).better(), Some(1));
        assert_eq!(crowd(&[10, 10], 10).better(), None);
        assert_eq!(crowd(&[9, 0], 10).better(), None);
        assert!(!crowd(&[10, 10], 10).has_room_elsewhere() && crowd(&[10, 9], 10).has_room_elsewhere());
    }

    #[test]
    fn what_was_announced_counts_and_a_draining_server_takes_none() {
        let crowd = crowd(&[10, 9], 10);
        assert!(crowd.announce(1) && crowd.better().is_none(), "it is full with what comes");
        crowd.take_back(1);
        assert_eq!(crowd.better(), Some(1));
        crowd.metrics.set_ready(false);
        assert!(!crowd.announce(1) && !crowd.has_room_elsewhere());
        assert_eq!(crowd.better(), Some(1), "nothing is left announced");
    }

    #[test]
    fn the_excess_is_what_is_above_nine_tenths_shared_by_who_has_how_many() {
        assert_eq!(crowd(&[18], 20).excess(), 0);
        assert_eq!(crowd(&[20], 20).excess(), 2);
        assert_eq!(crowd(&[5], 5).excess(), 0, "below ten there is nothing to spare");
        assert_eq!(crowd(&[100, 20], 100).excess(), 0);
        assert_eq!(crowd(&[100, 90], 100).excess(), 6, "of ten");
    }
}
