//! TLS handshakes of one shard: how many run, and how much of a turn they may take.
//!
//! A handshake costs a shard a thousand times as much as a request. Their number is therefore limited, and so
//! is the time that they may take of one turn: a ClientHello beyond that waits for a later turn.

use std::{collections::VecDeque, time::Duration};

use crate::net::ConnId;

/// Time that handshakes may take of one turn. One ClientHello is always processed.
const TURN_BUDGET: Duration = Duration::from_millis(2);

/// Number of a shard's TLS handshakes, and their time in the current turn.
#[derive(Default)]
pub(in crate::conn) struct Handshakes {
    /// Connections whose ClientHello waits for a turn, oldest first.
    waiting: VecDeque<ConnId>,
    /// Time that handshakes have taken of this turn.
    spent: Duration,
    /// Handshakes that have begun and not ended.
    running: usize,
}

impl Handshakes {
    /// Starts a turn with a fresh budget.
    pub(super) fn begin_turn(&mut self) {
        self.spent = Duration::ZERO;
    }

    /// Returns `true` if a ClientHello waits for a turn.
    pub(in crate::conn) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Removes the connection that waits longest, if there is time left in this turn.
    pub(in crate::conn) fn next(&mut self) -> Option<ConnId> {
        if self.spent < TURN_BUDGET { self.waiting.pop_front() } else { None }
    }

    /// Returns `true` if a ClientHello that has just arrived can be processed at once.
    pub(in crate::conn) fn has_time(&self) -> bool {
        self.waiting.is_empty() && self.spent < TURN_BUDGET
    }

    /// Puts a connection at the end of the queue.
    pub(in crate::conn) fn wait(&mut self, id: ConnId) {
        self.waiting.push_back(id);
    }

    /// Adds to the time that handshakes have taken of this turn.
    pub(in crate::conn) fn spend(&mut self, time: Duration) {
        self.spent += time;
    }

    /// Counts a handshake that begins. Returns `false`, without counting it, if `limit` handshakes are
    /// running.
    pub(in crate::conn) fn begin(&mut self, limit: usize) -> bool {
        let may = self.running < limit;
        self.running += usize::from(may);
        may
    }

    /// Counts the end of a handshake that has begun.
    pub(in crate::conn) fn end(&mut self) {
        self.running -= 1;
    }
}
