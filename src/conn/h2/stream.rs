//! One stream that was not answered at once.

use std::{
    task::{Context, Waker},
    time::Instant,
};

#[cfg(feature = "ws")]
use super::tunnel::Tunnel;
use super::{incoming::Incoming, streaming::Streaming, wait::Late};
use crate::{
    body::Body,
    conn::{
        env::Env,
        exchange::{route::MatchedRoute, telemetry::Telemetry},
        run::RunningHandler,
    },
    proto::h2::{Key, encode},
    request::Head,
};

/// Parts of a request that its reply needs.
pub(super) struct Exchange {
    pub(super) key: Key,
    pub(super) request: encode::Exchange,
    pub(super) telemetry: Telemetry,
    /// The request is an extended CONNECT whose client has not ended the stream: it may become a WebSocket.
    pub(super) offers_tunnel: bool,
}

/// A request that matched a route and whose handler has not started.
pub(super) struct RoutedRequest {
    pub(super) head: Head,
    pub(super) route: MatchedRoute,
}

/// Stage of a request that was not answered at once.
///
/// ```text
///  Collecting ──body complete──► Delayed ──► Running ──reply──► Streaming, Socket ──sent──► Discarding ─┐
///                                                                     └──sent, body complete──► closed ◄─┘
/// ```
///
/// A stage is left out if nothing has to be waited for in it.
pub(super) enum Stage {
    /// The body is collected.
    Collecting(Exchange, Box<RoutedRequest>),
    /// The handler starts when the peer has read more of the replies that wait for it.
    Delayed(Exchange, Box<(RoutedRequest, Body)>),
    /// The handler runs.
    Running(Exchange, RunningHandler),
    /// The reply's head was written, its body was not.
    Streaming(Telemetry, Box<Streaming>),
    /// The stream carries a WebSocket.
    #[cfg(feature = "ws")]
    Socket(Telemetry, Box<Tunnel>),
    /// The reply was written. The rest of the request's body is discarded.
    Discarding,
}

/// A stream that is open.
pub(super) struct Stream {
    pub(super) key: Key,
    /// Request's body, while more of it is to come.
    pub(super) incoming: Option<Incoming>,
    pub(super) stage: Stage,
    /// Waker of the connection for this stream; `None` until the stream is kept.
    pub(super) waker: Option<Waker>,
}

impl Stream {
    pub(super) fn new(key: Key, incoming: Option<Incoming>, stage: Stage) -> Box<Self> {
        Box::new(Self { key, incoming, stage, waker: None })
    }

    /// Returns a context that wakes the connection for this stream, or nothing if there is no waker.
    pub(super) fn context(waker: &Option<Waker>) -> Context<'_> {
        Context::from_waker(waker.as_ref().unwrap_or(Waker::noop()))
    }

    /// Returns `true` if the reply has no end of its own, so that it ends when the peer is gone.
    pub(super) fn is_endless(&self) -> bool {
        match &self.stage {
            Stage::Streaming(_, streaming) => streaming.is_endless(),
            #[cfg(feature = "ws")]
            Stage::Socket(..) => true,
            _ => false,
        }
    }

    /// Returns the earliest of the stream's deadlines, and what will be late then; `None` if it has none.
    pub(super) fn deadline(&self, env: &Env) -> Option<(Instant, Late)> {
        let body = self.incoming.as_ref().and_then(|incoming| incoming.deadline(env));
        let stage = match &self.stage {
            Stage::Collecting(..) | Stage::Delayed(..) | Stage::Discarding => None,
            Stage::Running(_, handler) => handler.deadline().map(|at| (at, Late::Job)),
            Stage::Streaming(_, streaming) => streaming.deadline(env),
            #[cfg(feature = "ws")]
            Stage::Socket(_, tunnel) => tunnel.deadline(env),
        };
        body.map(|at| (at, Late::Body)).into_iter().chain(stage).min_by_key(|(at, _)| *at)
    }
}
