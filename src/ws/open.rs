//! Creation of a socket on its connection's shard, after the handshake.

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use super::{
    Socket, Upgrade,
    state::{SocketState, SocketWakers},
    upgrade::HandlerFuture,
};
use crate::{
    limits::{Limits, Timeouts},
    metrics::ShardCounters,
    proto::ws::{Limits as SessionLimits, Role, Session},
};

/// Timeouts of one socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SocketTimeouts {
    /// Interval of silence after which the peer is pinged. `None`: never.
    pub(crate) ping: Option<Duration>,
    /// Longest wait for bytes of the peer after a ping. `None`: no limit.
    pub(crate) pong: Option<Duration>,
    /// Longest duration of the closing handshake.
    pub(crate) close: Duration,
}

/// A new socket, for the connection that carries it.
pub(crate) struct OpenSocket {
    pub(crate) state: Rc<RefCell<SocketState>>,
    /// The handler's future, not polled yet.
    pub(crate) handler: HandlerFuture,
    pub(crate) timeouts: SocketTimeouts,
}

impl Upgrade {
    /// Creates the socket and its handler's future, which is not polled yet. The socket stays on the current
    /// shard.
    pub(crate) fn open(
        self,
        limits: &Limits,
        timeouts: &Timeouts,
        wakers: SocketWakers,
        counters: &Arc<ShardCounters>,
    ) -> OpenSocket {
        let settings = &self.settings;
        let message_bytes = settings.message_bytes.unwrap_or(limits.ws_message_bytes);
        let mut session = Session::new(Role::Server, SessionLimits { message_bytes });
        if let (Some(params), Some(deflate)) = (self.deflate, &settings.policy.deflate) {
            session = session.with_deflate(params, deflate);
        }
        let outbound_bytes = settings.outbound_bytes.unwrap_or(limits.ws_outbound_bytes);
        let timeouts = SocketTimeouts {
            ping: settings.ping.unwrap_or(timeouts.ws_ping),
            pong: settings.pong.unwrap_or(timeouts.ws_pong),
            close: settings.close.unwrap_or(timeouts.ws_close),
        };
        let state = SocketState::new(session, outbound_bytes, wakers, counters.clone());
        let state = Rc::new(RefCell::new(state));
        let socket = Socket::new(state.clone(), self.protocol);
        OpenSocket { state, handler: (self.start)(socket), timeouts }
    }
}
