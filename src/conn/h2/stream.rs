//! One stream that was not answered at once.

use std::{task::Waker, time::Instant};

#[cfg(feature = "ws")]
use super::tunnel::Tunnel;
use super::{
    engine::{Inbound, Responder},
    incoming::Incoming,
    streaming::Streaming,
    wait::Late,
};
use crate::{
    conn::{
        exchange::{route::MatchedRoute, telemetry::Telemetry},
        run::RunningHandler,
    },
    limits::Timeouts,
    request::Head,
};

/// Parts of a request that its reply needs.
pub(super) struct Exchange {
    pub(super) id: u32,
    pub(super) is_head: bool,
    pub(super) telemetry: Telemetry,
    pub(super) reply: Responder,
    /// Bytes that the peer sends after an extended CONNECT.
    pub(super) tunnel: Option<Inbound>,
}

/// A request that waits for its body.
pub(super) struct Pending {
    pub(super) head: Head,
    pub(super) route: MatchedRoute,
}

/// State of a stream.
pub(super) enum State {
    /// Its body is collected.
    Collecting(Exchange, Box<Pending>),
    /// Its handler runs.
    Waiting(Exchange, RunningHandler),
    /// The reply's head is sent, its body is coming.
    Streaming(Telemetry, Streaming),
    /// It is a WebSocket's.
    #[cfg(feature = "ws")]
    Socket(Telemetry, Box<Tunnel>),
    /// The reply is sent; what is left of the body is thrown away.
    Leaving,
}

/// A stream that is open.
pub(super) struct Stream {
    pub(super) id: u32,
    /// Rest of the request's body.
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

    /// Returns `true` if the reply has no end of its own, so that it ends when the peer is gone.
    pub(super) fn is_endless(&self) -> bool {
        match &self.state {
            State::Streaming(_, streaming) => streaming.is_endless(),
            #[cfg(feature = "ws")]
            State::Socket(..) => true,
            _ => false,
        }
    }

    /// Returns `true` if it waits for the peer: for more of the body, or for a window for the reply.
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
