//! One stream that was not answered at once.

use std::{
    task::Waker,
    time::{Duration, Instant},
};

#[cfg(feature = "ws")]
use super::socket::Tunnel;
use super::{
    engine::{Inbound, Responder},
    incoming::Incoming,
    reply::Streaming,
};
use crate::{
    conn::{
        account::{Account, Target},
        run::Task,
    },
    limits::Timeouts,
    request::Head,
};

/// What a reply needs.
pub(super) struct Exchange {
    pub(super) id: u32,
    pub(super) is_head: bool,
    pub(super) account: Account,
    pub(super) reply: Responder,
    /// What the peer sends behind an extended CONNECT.
    pub(super) tunnel: Option<Inbound>,
}

/// A request that waits for its body.
pub(super) struct Pending {
    pub(super) head: Head,
    pub(super) target: Target,
}

/// Where a stream stands.
pub(super) enum State {
    /// Its body is collected.
    Collecting(Exchange, Box<Pending>),
    /// Its handler runs.
    Waiting(Exchange, Task),
    /// The reply's head is sent, its body is coming.
    Streaming(Account, Streaming),
    /// It is a WebSocket's.
    #[cfg(feature = "ws")]
    Socket(Account, Box<Tunnel>),
    /// The reply is sent; what is left of the body is thrown away.
    Leaving,
}

/// A stream that is open.
pub(super) struct Stream {
    pub(super) id: u32,
    /// What is still to come of the request's body.
    pub(super) incoming: Option<Incoming>,
    pub(super) state: State,
    /// Wakes the connection for this stream.
    pub(super) waker: Option<Waker>,
    /// When it is looked at for its timers, as the connection's table of alarms knows it.
    pub(super) alarm: Option<Instant>,
}

impl Stream {
    pub(super) fn new(id: u32, incoming: Option<Incoming>, state: State) -> Box<Self> {
        Box::new(Self { id, incoming, state, waker: None, alarm: None })
    }

    /// Says whether its reply has no end of its own, so that it ends with the peer.
    pub(super) fn is_endless(&self) -> bool {
        match &self.state {
            State::Streaming(_, streaming) => streaming.is_endless(),
            #[cfg(feature = "ws")]
            State::Socket(..) => true,
            _ => false,
        }
    }

    /// Says whether it waits for what only the peer can send: more of its body, or a window for its reply.
    pub(super) fn is_stuck(&self) -> bool {
        self.incoming.as_ref().is_some_and(|incoming| !incoming.is_paused())
            || matches!(&self.state, State::Streaming(_, streaming) if streaming.is_stuck())
    }

    /// Returns when the first of its timers is due, and which.
    pub(super) fn due(&self, timeouts: &Timeouts) -> Option<(Instant, Late)> {
        let body = self.incoming.as_ref().and_then(|incoming| incoming.deadline(timeouts));
        let state = match &self.state {
            State::Collecting(..) | State::Leaving => None,
            State::Waiting(_, task) => task.deadline().map(|at| (at, Late::Job)),
            State::Streaming(_, streaming) => streaming.deadline(timeouts),
            #[cfg(feature = "ws")]
            State::Socket(_, tunnel) => tunnel.deadline(timeouts),
        };
        body.map(|at| (at, Late::Body)).into_iter().chain(state).min_by_key(|(at, _)| *at)
    }
}

/// What a stream took too long with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Late {
    /// The request's body.
    Body,
    /// The handler's reply.
    Job,
    /// The peer's window.
    Window,
    /// The next bytes of a streamed reply.
    Producer,
    /// Whatever a WebSocket keeps time of.
    #[cfg(feature = "ws")]
    Socket,
}

/// What a streamed reply waits for, and since when.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wait {
    Nothing,
    /// The peer's window; with the bytes that were sent before.
    Window(Instant, u64),
    /// The reply's producer.
    Producer(Instant),
}

/// What a stream must move in the time of a write stall, or else all that it has, bytes: a peer that opens its
/// window byte by byte holds no reply for ever.
const LEAST_PROGRESS_BYTES: u64 = 1024;

impl Wait {
    /// Waits for the peer's window from `now` on, unless it did before and hardly anything moved since.
    pub(super) fn for_window(&mut self, now: Instant, written: u64) {
        match *self {
            Self::Window(_, before) if written - before < LEAST_PROGRESS_BYTES => {}
            _ => *self = Self::Window(now, written),
        }
    }

    pub(super) fn deadline(self, timeouts: &Timeouts) -> Option<(Instant, Late)> {
        let after = |since: Instant, timeout: Option<Duration>| {
            timeout.and_then(|timeout| since.checked_add(timeout))
        };
        match self {
            Self::Nothing => None,
            Self::Window(since, _) => after(since, timeouts.write_stall).map(|at| (at, Late::Window)),
            Self::Producer(since) => after(since, timeouts.stream_idle).map(|at| (at, Late::Producer)),
        }
    }
}
