//! Connections that wait for a receive buffer, and what one receive may take while there are any.
//!
//! Bytes of a connection that arrive while no buffer is free stay in the kernel, and its receive fails: the
//! connection is starved. Free buffers go to the connections that have starved for longest: their receives
//! are submitted first. A connection that finds no buffer again keeps its place.
//!
//! A few large bodies at the same time starve each other for moments, and are served best by large receives.
//! But once somebody has waited for [`SCARCE_WAIT`], and for some turns after that:
//!
//! - A receive completes only once and takes at most its share of the buffers.
//! - A repeated receive that takes many bytes is cancelled, so that it takes a turn like the others.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use windlass_actors::clock;

use crate::net::slots::ConnId;

/// Smallest share of one receive, in bytes. A smaller one costs more completions than it is worth: at 32 KiB
/// the turn of 200 connections that send without pause comes round in about a tenth of a second.
const MIN_SHARE_BYTES: usize = 32 * 1024;

/// Wait from which on receives are limited.
const SCARCE_WAIT: Duration = Duration::from_millis(10);

/// Number of turns after the last long wait in which receives stay limited. A load that starves somebody in
/// every other turn does not change its receives each time.
const SCARCE_TURNS: u32 = 64;

/// Place in the order of waiting. The connection keeps it until it receives something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    number: u64,
    since: Instant,
}

/// Connections whose receive found no free buffer.
pub(super) struct Starved {
    /// Waiting connections, each with the start of its wait, by the number of its place.
    waiting: BTreeMap<u64, (ConnId, Instant)>,
    next_number: u64,
    /// Remaining turns in which receives are limited.
    scarce_turns: u32,
    /// Number of bytes that one receive may take while receives are limited.
    share_bytes: usize,
    /// Size of one receive buffer.
    buffer_bytes: usize,
    /// Number of receives that found no free buffer.
    count: u64,
}

impl Starved {
    pub(super) fn new(buffer_bytes: usize) -> Self {
        Self {
            waiting: BTreeMap::new(),
            next_number: 0,
            scarce_turns: 0,
            share_bytes: buffer_bytes,
            buffer_bytes,
            count: 0,
        }
    }

    /// Adds a connection whose receive found no free buffer: at its place, or at the end.
    pub(super) fn push(&mut self, id: ConnId, place: Option<Place>) -> Place {
        self.count += 1;
        let place = place.unwrap_or_else(|| {
            self.next_number += 1;
            Place { number: self.next_number, since: clock::now() }
        });
        self.waiting.insert(place.number, (id, place.since));
        place
    }

    /// Removes and returns the connection that has waited for longest, or `None` if none waits. It may be
    /// gone.
    pub(super) fn pop(&mut self) -> Option<ConnId> {
        self.waiting.pop_first().map(|(_, (id, _))| id)
    }

    /// Ends a turn in which `free_bytes` are free: sets the share of a receive so that they are divided among
    /// the connections that wait.
    pub(super) fn divide(&mut self, free_bytes: usize) {
        self.scarce_turns = match self.longest_wait() >= SCARCE_WAIT {
            true => SCARCE_TURNS,
            false => self.scarce_turns.saturating_sub(1),
        };
        if self.waiting.is_empty() {
            self.share_bytes = self.share_bytes.saturating_mul(2).min(self.buffer_bytes);
        } else {
            let share = free_bytes / self.waiting.len();
            self.share_bytes = share.max(MIN_SHARE_BYTES).min(self.buffer_bytes);
        }
    }

    /// Returns the number of bytes that one receive may take, or `None` if receives are not limited.
    pub(super) fn share(&self) -> Option<usize> {
        (self.scarce_turns > 0).then_some(self.share_bytes)
    }

    /// Returns `true` if receives are limited, and a multishot receive that has just taken `bytes` must be
    /// cancelled.
    pub(super) fn is_greedy(&self, bytes: usize) -> bool {
        self.scarce_turns > 0 && bytes >= self.share_bytes.min(MIN_SHARE_BYTES) / 2
    }

    /// Returns `true` if no connection waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Returns the wait of the connection that has waited for longest, or zero if none waits.
    pub(super) fn longest_wait(&self) -> Duration {
        let Some((_, (_, since))) = self.waiting.first_key_value() else { return Duration::ZERO };
        clock::now().saturating_duration_since(*since)
    }

    /// Returns the number of receives that found no free buffer so far.
    pub(super) fn count(&self) -> u64 {
        self.count
    }
}
