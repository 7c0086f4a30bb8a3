//! TLS handshakes of one shard: how many run, and how much of a turn they may take.
//!
//! A handshake costs a shard a thousand times as much as a request. Their number is therefore limited, and so
//! is the time that they may take of one turn: a ClientHello beyond that waits for a later turn.
//!
//! At the limit a new handshake takes the place of the one whose client has been silent for longest. So
//! clients that begin handshakes and do not continue lock no others out. Each address has a limit of its own.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    net::IpAddr,
    time::Duration,
};

use crate::{net::ConnId, request::Peer};

/// Time that handshakes take in one turn before further ClientHellos wait. It is checked before each one, so
/// at least one is processed in every turn.
const TURN_BUDGET: Duration = Duration::from_millis(2);

/// Maximum numbers of handshakes in progress on one shard: in all, and from one [`Network`].
#[derive(Clone, Copy, Debug)]
pub(in crate::conn) struct HandshakeLimits {
    pub(in crate::conn) all: usize,
    pub(in crate::conn) per_address: usize,
}

/// Address of a client, as far as handshakes are counted for it: an IPv4 address, or the network of an IPv6
/// address (64 bits), which is what one customer usually has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::conn) struct Network([u8; 8]);

impl Network {
    /// Returns the network of a peer, or `None` if the peer has no address.
    pub(in crate::conn) fn of(peer: Peer) -> Option<Self> {
        let Peer::Address(address) = peer else { return None };
        let mut network = [0; 8];
        match address.ip().to_canonical() {
            IpAddr::V4(address) => network[..4].copy_from_slice(&address.octets()),
            IpAddr::V6(address) => network.copy_from_slice(&address.octets()[..8]),
        }
        Some(Self(network))
    }
}

/// Handshakes of one network.
#[derive(Debug, Default)]
struct OfNetwork {
    running: usize,
    /// Places of those that wait for their clients.
    silent: BTreeSet<u64>,
}

/// TLS handshakes of one shard that are in progress, wait or are to be dropped, and their time in the current
/// turn.
#[derive(Default)]
pub(in crate::conn) struct Handshakes {
    /// Connections whose ClientHello waits for a turn with time for it, oldest first. Some may be gone.
    waiting: VecDeque<ConnId>,
    /// Time that handshakes have taken in this turn.
    spent: Duration,
    /// Handshakes that have begun and not ended.
    running: usize,
    /// Handshakes that wait for their clients. The smallest place has waited longest.
    silent: BTreeMap<u64, (ConnId, Option<Network>)>,
    networks: HashMap<Network, OfNetwork>,
    next_place: u64,
    /// Connections whose handshakes make room for others.
    dropped: Vec<ConnId>,
}

impl Handshakes {
    /// Starts a turn, in which handshakes have taken no time yet.
    pub(super) fn begin_turn(&mut self) {
        self.spent = Duration::ZERO;
    }

    /// Returns `true` if a ClientHello waits for a turn with time for it.
    pub(in crate::conn) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Removes and returns the connection whose ClientHello waits longest; `None` if none waits, or if the
    /// time of this turn is used up.
    pub(in crate::conn) fn next(&mut self) -> Option<ConnId> {
        if self.spent < TURN_BUDGET { self.waiting.pop_front() } else { None }
    }

    /// Removes and returns a connection whose handshake is to be dropped to make room for another.
    pub(in crate::conn) fn next_dropped(&mut self) -> Option<ConnId> {
        self.dropped.pop()
    }

    /// Returns `true` if a ClientHello that has just arrived can be processed at once: none waits, and this
    /// turn has time left.
    pub(in crate::conn) fn has_time(&self) -> bool {
        self.waiting.is_empty() && self.spent < TURN_BUDGET
    }

    /// Puts a connection at the end of the queue of waiting ClientHellos.
    pub(in crate::conn) fn wait(&mut self, id: ConnId) {
        self.waiting.push_back(id);
    }

    /// Adds to the time that handshakes have taken in this turn.
    pub(in crate::conn) fn spend(&mut self, time: Duration) {
        self.spent += time;
    }

    /// Counts a handshake that begins. At the limit of its network or of the shard, the one there that has
    /// waited longest for its client is to be [dropped](Self::next_dropped). Returns `false`, without
    /// counting the new one, if none waits for its client.
    pub(in crate::conn) fn begin(&mut self, network: Option<Network>, limits: HandshakeLimits) -> bool {
        let of_network = network.and_then(|network| self.networks.get(&network));
        let is_over = of_network.is_some_and(|of_network| of_network.running >= limits.per_address);
        let first = match of_network.filter(|_| is_over) {
            Some(of_network) => of_network.silent.first().copied(),
            None => self.silent.first_key_value().map(|(place, _)| *place),
        };
        if is_over || self.running >= limits.all {
            let Some(place) = first else { return false };
            let dropped = self.remove_silent(place);
            self.dropped.extend(dropped);
        }
        self.running += 1;
        if let Some(network) = network {
            self.networks.entry(network).or_default().running += 1;
        }
        true
    }

    /// Records that a handshake waits for its client. Returns its place.
    pub(in crate::conn) fn await_client(&mut self, id: ConnId, network: Option<Network>) -> u64 {
        let place = self.next_place;
        self.next_place += 1;
        self.silent.insert(place, (id, network));
        if let Some(of_network) = network.and_then(|network| self.networks.get_mut(&network)) {
            of_network.silent.insert(place);
        }
        place
    }

    /// Records that the client of the handshake at this place has sent something.
    pub(in crate::conn) fn client_sent(&mut self, place: u64) {
        self.remove_silent(place);
    }

    fn remove_silent(&mut self, place: u64) -> Option<ConnId> {
        let (id, network) = self.silent.remove(&place)?;
        if let Some(of_network) = network.and_then(|network| self.networks.get_mut(&network)) {
            of_network.silent.remove(&place);
        }
        Some(id)
    }

    /// Counts the end of a handshake that has begun. `place` is the one where it waits for its client.
    pub(in crate::conn) fn end(&mut self, network: Option<Network>, place: Option<u64>) {
        place.and_then(|place| self.remove_silent(place));
        self.running -= 1;
        let Some(network) = network else { return };
        if let Some(of_network) = self.networks.get_mut(&network) {
            of_network.running -= 1;
            if of_network.running == 0 {
                self.networks.remove(&network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HandshakeLimits = HandshakeLimits { all: 4, per_address: 2 };

    fn id(slot: u32) -> ConnId {
        ConnId { slot, generation: 0 }
    }

    fn network(address: &str) -> Option<Network> {
        Network::of(Peer::Address((address.parse::<IpAddr>().unwrap(), 1).into()))
    }

    #[test]
    fn the_handshake_that_is_silent_for_longest_makes_room() {
        let mut handshakes = Handshakes::default();
        for slot in 0..4 {
            assert!(handshakes.begin(None, LIMITS));
            handshakes.await_client(id(slot), None);
        }
        handshakes.client_sent(0);
        handshakes.await_client(id(0), None);
        assert!(handshakes.begin(None, LIMITS));
        assert_eq!(handshakes.next_dropped(), Some(id(1)));
        assert_eq!(handshakes.next_dropped(), None);
    }

    #[test]
    fn handshakes_that_wait_for_the_server_are_not_dropped() {
        let mut handshakes = Handshakes::default();
        (0..4).for_each(|_| assert!(handshakes.begin(None, LIMITS)));
        assert!(!handshakes.begin(None, LIMITS));
        handshakes.end(None, None);
        assert!(handshakes.begin(None, LIMITS));
    }

    #[test]
    fn an_address_over_its_limit_drops_one_of_its_own() {
        let mut handshakes = Handshakes::default();
        let (mine, other) = (network("2001:db8::1"), network("192.0.2.1"));
        assert_eq!(mine, network("2001:db8::2"), "one network");
        assert!(handshakes.begin(other, LIMITS));
        let first = handshakes.await_client(id(0), other);
        for slot in 1..3 {
            assert!(handshakes.begin(mine, LIMITS));
            handshakes.await_client(id(slot), mine);
        }
        assert!(handshakes.begin(mine, LIMITS));
        assert_eq!(handshakes.next_dropped(), Some(id(1)));
        for place in [Some(1), None, None] {
            handshakes.end(mine, place);
        }
        handshakes.end(other, Some(first));
        assert!(handshakes.networks.is_empty() && handshakes.silent.len() == 1 && handshakes.running == 0);
    }
}
