//! The interface between a shard's event loop and the owner of its sockets.
//!
//! The event loop is written once, for any driver. The driver is the only place where the thread waits: it
//! waits in the kernel for its sockets *and* for the shard's doorbell, and nothing else on the thread ever
//! blocks. This file names no socket and no executor.

use std::{
    io,
    time::{Duration, Instant},
};

/// Longest wait of one turn of a [`Driver`] for an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The turn does not wait, because the shard has other work.
    Poll,
    /// The turn waits for an event, but not longer than to this instant.
    Until(Instant),
    /// The turn waits for an event.
    Forever,
}

/// Owner of a shard's sockets, called by the shard's event loop.
///
/// All calls come from the thread of the shard, one at a time. Only [`turn`](Driver::turn) may block, and
/// only as long as its [`Wait`] allows.
pub trait Driver: Sized + 'static {
    /// Messages that other threads send to the driver, with a [`ShardSender`](crate::ShardSender).
    type Msg: Send + 'static;

    /// Runs one bounded turn: submits queued operations to the kernel, waits as allowed, handles events.
    ///
    /// A ring of the shard's doorbell must end the wait; see [`Local::doorbell`](crate::Local::doorbell). A
    /// turn handles a bounded number of events and leaves the rest to the next turn.
    ///
    /// # Errors
    ///
    /// An error is fatal: the shard stops, and the failure is reported to the system.
    fn turn(&mut self, wait: Wait) -> io::Result<()>;

    /// Handles one message that another thread sent to this shard.
    fn message(&mut self, message: Self::Msg);

    /// Called when a waker from [`Local::waker`](crate::Local::waker) with this token was woken.
    ///
    /// Several wakes between two turns result in one call. The token may be stale: the driver chose it, and
    /// the driver checks it.
    fn woken(&mut self, token: u64);

    /// Called when an event was put into an outlet from [`Local::outlet`](crate::Local::outlet) with this
    /// token and label.
    ///
    /// The token may be stale. By default this calls [`woken`](Self::woken).
    fn filled(&mut self, token: u64, _label: u32) {
        self.woken(token);
    }

    /// Returns `true` if there is work for which the next turn must not wait.
    fn pending(&self) -> bool;

    /// Returns the earliest instant at which the driver needs a turn even without an event, or `None`.
    fn deadline(&self) -> Option<Instant>;

    /// Returns how long the shard may poll its queues before it waits, if the last wait was short. Default:
    /// zero.
    ///
    /// Two shards that exchange messages answer within a microsecond, but waking a sleeping core takes tens
    /// of microseconds. Polling saves the wake. Sockets get no turn meanwhile.
    fn busy_poll(&self) -> Duration {
        Duration::ZERO
    }

    /// Begins an orderly stop: the driver accepts no new work and finishes what is running. Called at most
    /// once: an aborted shard drops its driver without this call.
    fn stop(&mut self);

    /// Returns `true` once the stop is complete: nothing is outstanding, and the driver may be dropped.
    fn stopped(&self) -> bool;
}
