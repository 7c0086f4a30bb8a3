//! WebSocket on a connection of its own, which HTTP/1.1 has handed over.
//!
//! It must not know HTTP/1.1.

mod endpoint;

use super::{
    env::Env,
    exchange::telemetry::{CONNECTION_ENDED, Telemetry},
    io::Io,
    message::Outcome,
    outlet::ONLY_STREAM,
    protocol::Protocol,
    timers::Timer,
};
use crate::{net::Ending, ws::Upgrade};

pub(super) use endpoint::{End, Endpoint};

/// State that HTTP/1.1 hands over to a WebSocket.
pub(super) struct Handover {
    pub(super) upgrade: Box<Upgrade>,
    /// Telemetry of the request that opened the WebSocket.
    pub(super) telemetry: Telemetry,
}

/// WebSocket state of one connection.
pub(super) struct Ws {
    endpoint: Endpoint,
    /// `None` once the socket has ended.
    telemetry: Option<Telemetry>,
}

impl Ws {
    /// Opens the socket and starts its handler.
    pub(super) fn new(handover: Handover, env: &mut Env, io: &mut Io) -> Self {
        io.timers.clear_requests();
        let mut endpoint = Endpoint::new(
            env,
            io.waker(env),
            *handover.upgrade,
            handover.telemetry.route_metrics(env).clone(),
        );
        if !io.secure {
            endpoint.lend();
        }
        let mut this = Self { endpoint, telemetry: Some(handover.telemetry) };
        this.with_endpoint(env, io, Endpoint::start);
        this
    }

    /// Calls the endpoint, which writes to the connection's outbox meanwhile. Afterwards handles what the
    /// call has changed, and opens the outlet if it may be open.
    fn with_endpoint(&mut self, env: &mut Env, io: &mut Io, call: impl FnOnce(&mut Endpoint, &mut Env)) {
        self.endpoint.enter(&mut io.outbox, io.sealed_bytes);
        call(&mut self.endpoint, env);
        self.endpoint.after_event(env);
        self.endpoint.leave(&mut io.outbox);
        self.endpoint.open_outlet(env, io.id, ONLY_STREAM);
    }

    fn end(&mut self, env: &mut Env, io: &mut Io, end: End) {
        let (ending, cause) = match end {
            End::Closed => (Ending::Close, "done"),
            End::Fault => (Ending::Finish, "protocol_error"),
            End::Unanswered => (Ending::Finish, "ws_close"),
            End::Gone => (Ending::Finish, "peer"),
            End::Silent => (Ending::Abort, "ws_pong"),
        };
        io.end(ending, cause);
        self.finish(env, io, end.error());
        self.endpoint.cancel(env);
    }

    /// Reports the end of the socket to the end hooks, once.
    fn finish(&mut self, env: &Env, io: &mut Io, error: Option<&'static str>) {
        if let Some(telemetry) = self.telemetry.take() {
            let status = http::StatusCode::SWITCHING_PROTOCOLS;
            telemetry.finish(env, io, Some(status), error, self.endpoint.sent_bytes());
        }
    }
}

impl Protocol for Ws {
    fn received(&mut self, env: &mut Env, io: &mut Io, bytes: &[u8]) {
        self.with_endpoint(env, io, |endpoint, env| endpoint.received(env, bytes));
    }

    fn fin_received(&mut self, env: &mut Env, io: &mut Io) {
        self.with_endpoint(env, io, Endpoint::fin_received);
    }

    /// Never called: a WebSocket makes no requests.
    fn reply_ready(&mut self, _: &mut Env, _: &mut Io, _: u32, _: Outcome) {}

    fn advance(&mut self, env: &mut Env, io: &mut Io) {
        self.with_endpoint(env, io, Endpoint::woken);
    }

    fn sent(&mut self, env: &mut Env, io: &mut Io) {
        self.with_endpoint(env, io, Endpoint::sent);
    }

    fn rests(&mut self, env: &Env, io: &mut Io) -> bool {
        io.outbox.is_empty() && !env.is_draining() && self.endpoint.rests()
    }

    fn deliver(&mut self, env: &mut Env, io: &mut Io) -> bool {
        let behind_bytes = io.sealed_bytes;
        self.endpoint.deliver(env, &mut io.outbox, behind_bytes);
        true
    }

    fn timer_expired(&mut self, env: &mut Env, io: &mut Io, timer: Timer) {
        match timer {
            Timer::Own => self.with_endpoint(env, io, Endpoint::clock_due),
            _ => io.end(Ending::Abort, timer.name()),
        }
    }

    fn after_event(&mut self, env: &mut Env, io: &mut Io) {
        if env.is_draining() {
            self.with_endpoint(env, io, Endpoint::drain);
        }
        if io.ending == Ending::Open
            && let Some(end) = self.endpoint.end(env.now)
        {
            self.end(env, io, end);
        }
        if io.ending != Ending::Open {
            return io.timers.clear_requests();
        }
        io.wants_read = self.endpoint.wants_read();
        io.timers.set_at(Timer::Own, self.endpoint.deadline());
    }

    fn is_active(&self) -> bool {
        self.telemetry.is_some()
    }

    fn activity(&self, _: &Io) -> &'static str {
        "websocket"
    }

    fn closed(&mut self, env: &mut Env, io: &mut Io) {
        self.finish(env, io, Some(CONNECTION_ENDED));
        self.endpoint.cancel(env);
    }
}
