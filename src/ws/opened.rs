//! What a handshake leaves to the connection: the session, and how long things may take.

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use super::{Socket, State, Upgrade, state::Wakers, upgrade::Running};
use crate::{
    limits::{Limits, Timeouts},
    metrics::ShardCounters,
    proto::ws::{Limits as SessionLimits, Role, Session},
};

/// How long a socket's peer may be silent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    /// After this it is pinged.
    pub(crate) ping: Option<Duration>,
    /// An unanswered ping ends the connection after this.
    pub(crate) pong: Option<Duration>,
    /// How long closing may take.
    pub(crate) close: Duration,
}

/// A socket that was opened: its state, its handler at its beginning, its clocks.
pub(crate) struct Opened {
    pub(crate) state: Rc<RefCell<State>>,
    pub(crate) handler: Running,
    pub(crate) clocks: Clocks,
}

impl Upgrade {
    /// Makes the socket, on the shard where it lives from now on.
    pub(crate) fn open(
        self,
        limits: &Limits,
        timeouts: &Timeouts,
        wakers: Wakers,
        counters: &Arc<ShardCounters>,
    ) -> Opened {
        let settings = &self.settings;
        let message_bytes = settings.message_bytes.unwrap_or(limits.ws_message_bytes);
        let mut session = Session::new(Role::Server, SessionLimits { message_bytes });
        if let (Some(params), Some(deflate)) = (self.deflate, &settings.policy.deflate) {
            session = session.with_deflate(params, deflate);
        }
        let outbound_bytes = settings.outbound_bytes.unwrap_or(limits.ws_outbound_bytes);
        let clocks = Clocks {
            ping: settings.ping.unwrap_or(timeouts.ws_ping),
            pong: settings.pong.unwrap_or(timeouts.ws_pong),
            close: settings.close.unwrap_or(timeouts.ws_close),
        };
        let state = State::new(session, outbound_bytes, wakers, counters.clone());
        let state = Rc::new(RefCell::new(state));
        let socket = Socket::new(state.clone(), self.protocol);
        Opened { state, handler: (self.start)(socket), clocks }
    }
}
