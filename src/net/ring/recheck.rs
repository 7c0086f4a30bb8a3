//! A second look at silent connections whose multishot receive may have lost a wake-up.
//!
//! Linux loses a wake-up that comes while the kernel handles more than 128 earlier ones of the same receive
//! (seen with Linux 6.18 and Unix sockets). What the peer has sent last, such as its FIN, then stays in the
//! socket until more comes. So each connection whose multishot receive has delivered bytes is looked at when
//! nothing has followed for [`SILENCE`]. If its socket is readable, its receive is submitted anew.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use windlass_actors::clock;

use crate::net::slots::ConnId;

/// Silence after which a connection is looked at. It is short beside the time limits for idle peers, and long
/// enough that connections in use are never looked at.
const SILENCE: Duration = Duration::from_secs(1);

/// Place of a connection in the [queue](Rechecks) of those to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recheck {
    /// It is not in the queue.
    Off,
    /// It is in the queue, and has received nothing since.
    Silent,
    /// It is in the queue, and has received something since.
    Active,
}

/// Queue of the connections to look at, with the time for each, earliest first. It has one entry for each
/// connection that received something in the last second; the connection may be gone.
#[derive(Debug, Default)]
pub(super) struct Rechecks(VecDeque<(Instant, ConnId)>);

impl Rechecks {
    /// Adds a connection and returns the time at which to look at it.
    pub(super) fn push(&mut self, id: ConnId, now: Instant) -> Instant {
        let at = clock::instant_after(now, SILENCE);
        self.0.push_back((at, id));
        at
    }

    /// Removes and returns the next connection to look at by `now`.
    pub(super) fn pop(&mut self, now: Instant) -> Option<ConnId> {
        self.0.pop_front_if(|(at, _)| *at <= now).map(|(_, id)| id)
    }

    /// Returns the time at which to look at the next connection.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.0.front().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_looked_at_a_second_after_they_were_added() {
        let (mut rechecks, start) = (Rechecks::default(), Instant::now());
        let id = |slot| ConnId { slot, generation: 1 };
        assert_eq!(rechecks.push(id(1), start), start + SILENCE);
        rechecks.push(id(2), start + SILENCE / 2);
        assert_eq!(rechecks.pop(start + SILENCE / 2), None);
        assert_eq!((rechecks.pop(start + SILENCE), rechecks.pop(start + SILENCE)), (Some(id(1)), None));
        assert_eq!(rechecks.next_at(), Some(start + SILENCE / 2 + SILENCE));
    }
}
