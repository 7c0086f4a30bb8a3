//! WebSocket on a connection that HTTP/1.1 handed over: everything that comes and goes is the one socket's.

mod endpoint;

use super::{
    Env, Io, Outcome, Timer,
    account::{Account, ENDED_FIRST},
    protocol::Protocol,
    tap::Tap,
};
use crate::{net::Ending, ws::Upgrade};

pub(super) use endpoint::{End, Endpoint};

/// What HTTP leaves to a socket: the handshake, and the account of the request that it was.
pub(super) struct Switch {
    pub(super) upgrade: Box<Upgrade>,
    pub(super) account: Account,
}

/// The protocol's state.
pub(super) struct Ws {
    endpoint: Endpoint,
    /// There until the socket is over.
    account: Option<Account>,
    /// Its source may accept a tap.
    may_tap: bool,
}

impl Ws {
    /// Opens the socket and starts its handler.
    pub(super) fn new(switch: Switch, env: &mut Env, io: &mut Io) -> Self {
        io.timers.clear_requests();
        let mut endpoint =
            Endpoint::new(env, io.waker(env), *switch.upgrade, switch.account.route_metrics(env).clone());
        if !io.secure {
            endpoint.lend();
        }
        let mut this = Self { endpoint, account: Some(switch.account), may_tap: true };
        this.feed(env, io, Endpoint::start);
        this
    }

    /// Feeds the endpoint, which writes to the connection's outbox meanwhile.
    fn feed(&mut self, env: &mut Env, io: &mut Io, feed: impl FnOnce(&mut Endpoint, &mut Env)) {
        if let Some(tap) = &mut io.tap {
            self.endpoint.note_passed(tap.take_passed().0);
        }
        self.endpoint.enter(&mut io.outbox, io.sealed_bytes);
        feed(&mut self.endpoint, env);
        self.endpoint.settle(env);
        self.endpoint.leave(&mut io.outbox);
        self.settle_tap(env, io);
    }

    /// Lets messages come past the socket while its only source rests.
    fn settle_tap(&mut self, env: &Env, io: &mut Io) {
        if self.endpoint.take_sources_changed() {
            // It is another source's.
            (io.tap, self.may_tap) = (None, true);
        }
        if !self.endpoint.may_be_passed() {
            io.tap = None;
            return;
        }
        if !self.endpoint.sources_rest() {
            return;
        }
        if let Some(tap) = &io.tap {
            return tap.ready();
        }
        let Some(form) = self.endpoint.form().filter(|_| self.may_tap) else { return };
        io.tap = Tap::offered(env, io, form, |offer| self.endpoint.offer(offer), &mut self.may_tap);
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

    /// Tells the figures and hooks that the socket is over.
    fn finish(&mut self, env: &Env, io: &mut Io, error: Option<&'static str>) {
        if let Some(mut tap) = io.tap.take() {
            self.endpoint.note_passed(tap.take_passed().0);
        }
        if let Some(account) = self.account.take() {
            let status = http::StatusCode::SWITCHING_PROTOCOLS;
            account.finish(env, io, Some(status), error, self.endpoint.sent_bytes());
        }
    }
}

impl Protocol for Ws {
    fn received(&mut self, env: &mut Env, io: &mut Io, bytes: &[u8]) {
        self.feed(env, io, |endpoint, env| endpoint.received(env, bytes));
    }

    fn ended(&mut self, env: &mut Env, io: &mut Io) {
        self.feed(env, io, Endpoint::ended);
    }

    /// Never called: it makes no requests.
    fn replied(&mut self, _: &mut Env, _: &mut Io, _: u32, _: Outcome) {}

    fn pump(&mut self, env: &mut Env, io: &mut Io) {
        self.feed(env, io, Endpoint::woken);
    }

    fn sent(&mut self, env: &mut Env, io: &mut Io) {
        self.feed(env, io, Endpoint::sent);
    }

    fn rests(&mut self, env: &Env, io: &mut Io) -> bool {
        io.outbox.is_empty() && !env.is_draining() && self.endpoint.rests()
    }

    fn passes(&self, env: &Env, payload_bytes: usize) {
        env.counters.ws.sent(payload_bytes);
    }

    fn expired(&mut self, env: &mut Env, io: &mut Io, timer: Timer) {
        match timer {
            Timer::Own => self.feed(env, io, Endpoint::look_at_clock),
            _ => io.end(Ending::Abort, timer.name()),
        }
    }

    fn settle(&mut self, env: &mut Env, io: &mut Io) {
        if env.is_draining() {
            self.feed(env, io, Endpoint::drain);
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
        self.account.is_some()
    }

    fn doing(&self, _: &Io) -> &'static str {
        "websocket"
    }

    fn closed(&mut self, env: &mut Env, io: &mut Io) {
        self.finish(env, io, Some(ENDED_FIRST));
        self.endpoint.cancel(env);
    }
}
