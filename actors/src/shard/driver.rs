//! What a shard needs of the thing that owns its sockets.
//!
//! A shard's loop is written once, over this trait. The driver is the shard's only park point: it waits in the
//! kernel for its sockets *and* for the shard's doorbell, so nothing else on the thread ever blocks. This module
//! names no socket and no executor.

use std::{
    io,
    time::{Duration, Instant},
};

/// Says how long one turn of a [`Driver`] may wait for something to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Do not wait: there is other work on this shard.
    Poll,
    /// Wait until something happens or this instant has come.
    Until(Instant),
    /// Wait until something happens.
    Forever,
}

/// Owns the sockets of one shard and is driven by the shard's loop.
///
/// All calls come from the shard's own thread, one at a time. None may block except [`turn`](Driver::turn), and
/// that one only as its [`Wait`] allows.
pub trait Driver: Sized + 'static {
    /// What other threads may send to this driver through a [`ShardSender`](crate).
    type Msg: Send + 'static;

    /// Runs one bounded turn: hands the kernel what is queued, waits as told, handles what came.
    ///
    /// A ring of the shard's doorbell (its eventfd, see [`Local::doorbell`](crate::Local::doorbell)) must end the
    /// wait. A turn handles a bounded number of events and leaves the rest for the next.
    ///
    /// # Errors
    ///
    /// An error is fatal: the shard stops and the system is told.
    fn turn(&mut self, wait: Wait) -> io::Result<()>;

    /// Takes one message that another thread sent to this shard.
    fn message(&mut self, message: Self::Msg);

    /// Is told that a waker made by [`Local::waker`](crate::Local::waker) with this token was woken.
    ///
    /// Several wakes between two turns arrive as one call. The token may be stale: the driver made it, the driver
    /// checks it.
    fn woken(&mut self, token: u64);

    /// Is told that something was put into an outlet made by [`Local::outlet`](crate::Local::outlet) with this token. The
    /// token may be stale, too. Default: as if it was woken.
    fn filled(&mut self, token: u64) {
        self.woken(token);
    }

    /// Says whether there is work for which the next turn must not wait.
    fn pending(&self) -> bool;

    /// Returns the earliest instant at which this driver wants a turn although nothing happened.
    fn deadline(&self) -> Option<Instant>;

    /// Returns how long the shard may look out for messages before a turn that waits, if the last wait was a short one.
    ///
    /// Two shards that talk to each other answer within a microsecond; to wake a core that sleeps takes tens of them. A
    /// driver whose sockets must not wait that long for a turn gives none: the default.
    fn busy_poll(&self) -> Duration {
        Duration::ZERO
    }

    /// Starts an orderly stop: no new work, what runs may end. Called once.
    fn stop(&mut self);

    /// Says whether a stop has come to its end: nothing is outstanding and the driver may be dropped.
    fn stopped(&self) -> bool;
}
