//! The server's end of one WebSocket, whatever carries it: fed bytes and asked for bytes, it runs the handler.
//!
//! ```text
//!  bytes ─► session ─► message ─► handler ─┐
//!                    sources ─────────────►┴─► outbox
//! ```

use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Instant,
};

use crate::{
    body::{Form, Offer},
    conn::{env::Env, exchange::telemetry::CONNECTION_ENDED, run::Watchdog},
    metrics::RouteMetrics,
    net::Outbox,
    proto::ws::Closing,
    ws::{
        BoxedSource, Clocks, Code, Delivery, Finished, Opened, Outgoing, Running, State, Took, Upgrade,
        Wakers,
    },
};

/// Sources are asked for nothing more while this waits for the peer, bytes.
const SOURCES_AHEAD_BYTES: usize = 64 * 1024;

/// Messages taken from one source in one go: one that is never short of them must not hold the shard.
const DELIVERIES_PER_CALL: usize = 64;

/// How a socket comes to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::conn) enum End {
    /// Both sides have said Close.
    Closed,
    /// The peer broke the protocol, and was told.
    Fault,
    /// The peer did not answer our Close in time.
    Unanswered,
    /// The peer sent FIN without a Close.
    Gone,
    /// The peer did not answer a ping.
    Silent,
}

impl End {
    /// Returns what the end hooks are told; `None` for an orderly end.
    pub(in crate::conn) fn error(self) -> Option<&'static str> {
        match self {
            Self::Closed => None,
            Self::Fault => Some("the client broke the protocol"),
            Self::Unanswered => Some("the client did not answer the close"),
            Self::Gone => Some(CONNECTION_ENDED),
            Self::Silent => Some("the client did not answer a ping"),
        }
    }
}

/// Wakes the connection, and remembers that its handler is to be polled: what many sockets are sent by their sources is
/// nothing to their handlers.
struct Call {
    called: AtomicBool,
    connection: Waker,
}

impl Call {
    fn take(&self) -> bool {
        self.called.load(Ordering::Relaxed) && self.called.swap(false, Ordering::AcqRel)
    }
}

impl Wake for Call {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Before the wake: whoever that wakes must see it.
        self.called.store(true, Ordering::Release);
        self.connection.wake_by_ref();
    }
}

/// One end of a socket.
pub(in crate::conn) struct Endpoint {
    state: Rc<RefCell<State>>,
    /// None once it has returned, or was cancelled.
    handler: Option<Running>,
    sources: Vec<BoxedSource>,
    /// A source may have more, and what waits for the peer is too much to ask.
    sources_wait: bool,
    /// The sources were asked in this call, and had nothing more.
    sources_rest: bool,
    /// A source came or went since that was last asked for.
    sources_changed: bool,
    /// Bytes behind a message that the handler has not taken.
    unread: Vec<u8>,
    call: Arc<Call>,
    /// [`call`](Self::call), as the handler is given it.
    handler_waker: Waker,
    watchdog: Watchdog,
    clocks: Clocks,
    /// When bytes came last.
    heard: Instant,
    /// When the peer was pinged; None once bytes came.
    pinged: Option<Instant>,
    /// By when closing must be done.
    close_by: Option<Instant>,
    /// The peer sent FIN.
    ended: bool,
    /// It ends without a word more.
    lost: Option<End>,
    /// Counted as open.
    is_open: bool,
}

impl Endpoint {
    /// Opens the socket. `waker` wakes whoever feeds it.
    pub(in crate::conn) fn new(
        env: &Env,
        waker: Waker,
        upgrade: Upgrade,
        route_metrics: Arc<RouteMetrics>,
    ) -> Self {
        let call = Arc::new(Call { called: AtomicBool::new(false), connection: waker.clone() });
        let handler_waker = Waker::from(call.clone());
        let wakers = Wakers { connection: waker, handler: handler_waker.clone() };
        let Opened { state, handler, clocks } =
            upgrade.open(&env.limits, &env.timeouts, wakers, &env.counters);
        env.counters.ws.open.add(1);
        Self {
            state,
            handler: Some(handler),
            sources: Vec::new(),
            sources_wait: false,
            sources_rest: false,
            sources_changed: false,
            unread: Vec::new(),
            call,
            handler_waker,
            watchdog: Watchdog::new(env, route_metrics),
            clocks,
            heard: env.now,
            pinged: None,
            close_by: None,
            ended: false,
            lost: None,
            is_open: true,
        }
    }

    /// Lends the socket the outbox that it writes to; `behind_bytes` wait for the peer behind it.
    pub(in crate::conn) fn enter(&mut self, outbox: &mut Outbox, behind_bytes: usize) {
        self.sources_rest = false;
        let state = &mut *self.state.borrow_mut();
        std::mem::swap(outbox, &mut state.outbox);
        // What was written while nobody fed it follows what waited already.
        state.outbox.append(outbox);
        (state.fed, state.behind_bytes) = (true, behind_bytes);
    }

    /// Takes the outbox back.
    pub(in crate::conn) fn leave(&mut self, outbox: &mut Outbox) {
        let state = &mut *self.state.borrow_mut();
        std::mem::swap(outbox, &mut state.outbox);
        // Whoever sends from outside of a turn writes behind this.
        state.behind_bytes += outbox.len();
        state.fed = false;
    }

    /// Lends the memory of large messages to the outbox: whoever takes that returns it.
    pub(in crate::conn) fn lend(&mut self) {
        self.state.borrow_mut().lend();
    }

    /// Starts the handler.
    pub(in crate::conn) fn start(&mut self, env: &mut Env) {
        self.poll_handler(env);
    }

    /// Brings what follows from a call in line with it.
    pub(in crate::conn) fn after_event(&mut self, env: &mut Env) {
        if !self.state.borrow().attached.is_empty() {
            self.poll_sources(env);
        }
        if !self.state.borrow().closing().may_send() {
            self.start_closing(env);
        }
        self.note_gone();
    }

    /// Takes bytes.
    pub(in crate::conn) fn received(&mut self, env: &mut Env, bytes: &[u8]) {
        (self.heard, self.pinged) = (env.now, None);
        if self.unread.is_empty() {
            let mut rest = bytes;
            self.read(env, &mut rest);
            self.unread.extend_from_slice(rest);
        } else {
            self.unread.extend_from_slice(bytes);
            self.read_on(env);
        }
    }

    /// Takes the peer's FIN: what came before it is still the handler's.
    pub(in crate::conn) fn fin_received(&mut self, env: &mut Env) {
        self.ended = true;
        self.start_closing(env);
    }

    /// Goes on: the handler, a source, or whoever holds a half of the socket has something.
    pub(in crate::conn) fn woken(&mut self, env: &mut Env) {
        let due = {
            // A sender outside may have found no room by figures of the last turn: those of this one are right.
            let mut state = self.state.borrow_mut();
            state.room_came();
            state.take_due()
        };
        if self.call.take() || due {
            self.poll_handler(env);
        }
        self.poll_sources(env);
        self.read_on(env);
    }

    /// Goes on because the peer took bytes.
    pub(in crate::conn) fn sent(&mut self, env: &mut Env) {
        let due = {
            let mut state = self.state.borrow_mut();
            state.reply();
            state.room_came();
            state.take_due()
        };
        if due {
            self.poll_handler(env);
            self.read_on(env);
        }
        if self.sources_wait {
            self.poll_sources(env);
        }
    }

    /// Says goodbye because the server stops.
    pub(in crate::conn) fn drain(&mut self, env: &mut Env) {
        self.close(env, Code::GOING_AWAY, "the server is stopping");
    }

    /// Does what is due: a ping, or the end of one who does not answer.
    pub(in crate::conn) fn clock_due(&mut self, env: &mut Env) {
        if let Some(close_by) = self.close_by {
            if close_by <= env.now && !self.state.borrow().closing().is_finished() {
                env.counters.timeouts.add("ws_close");
            }
            return;
        }
        let passed = |since: Instant, after: Option<std::time::Duration>| {
            after.and_then(|after| since.checked_add(after)).is_some_and(|at| at <= env.now)
        };
        match self.pinged {
            Some(since) if passed(since, self.clocks.pong) => {
                env.counters.timeouts.add("ws_pong");
                self.lost = Some(End::Silent);
            }
            None if passed(self.heard, self.clocks.ping) => {
                self.pinged = Some(env.now);
                self.state.borrow_mut().ping();
            }
            _ => {}
        }
    }

    /// Returns when [`clock_due`](Self::clock_due) has something to do. While the handler leaves messages
    /// lying, the peer's silence is not its fault.
    pub(in crate::conn) fn deadline(&self) -> Option<Instant> {
        if self.close_by.is_some() {
            return self.close_by;
        }
        let (since, after) = match self.pinged {
            Some(pinged) => (pinged, self.clocks.pong),
            None => (self.heard, self.clocks.ping),
        };
        after.filter(|_| self.wants_read()).and_then(|after| since.checked_add(after))
    }

    /// Says whether the peer may send: all that it sent was taken.
    pub(in crate::conn) fn wants_read(&self) -> bool {
        !self.ended && self.unread.is_empty() && self.state.borrow().may_take()
    }

    /// Says whether the peer's taking everything that was sent changes nothing here.
    pub(in crate::conn) fn rests(&self) -> bool {
        !self.sources_wait && self.close_by.is_none() && !self.state.borrow().waits_for_room()
    }

    /// Says how the socket has come to its end; `None` while it has not.
    pub(in crate::conn) fn end(&self, now: Instant) -> Option<End> {
        if self.lost.is_some() {
            return self.lost;
        }
        let late = self.close_by.is_some_and(|at| at <= now);
        match self.state.borrow().closing() {
            Closing::Closed if late || self.handler.is_none() => Some(End::Closed),
            Closing::Failed(_) if late || self.handler.is_none() => Some(End::Fault),
            _ if late => Some(End::Unanswered),
            _ => None,
        }
    }

    /// Says whether closing has had its time.
    #[cfg(feature = "http2")]
    pub(in crate::conn) fn is_late(&self, now: Instant) -> bool {
        self.close_by.is_some_and(|at| at <= now)
    }

    /// Says whether messages may come past the socket: from its only source, while nothing closes it.
    pub(in crate::conn) fn may_be_passed(&self) -> bool {
        let state = self.state.borrow();
        self.sources.len() == 1
            && state.attached.is_empty()
            && self.close_by.is_none()
            && state.closing().may_send()
    }

    /// Says whether the sources were asked in this call, and had nothing more.
    pub(in crate::conn) fn sources_rest(&self) -> bool {
        self.sources_rest
    }

    /// Says whether a source came or went since the last call.
    pub(in crate::conn) fn take_sources_changed(&mut self) -> bool {
        std::mem::take(&mut self.sources_changed)
    }

    /// Returns the form in which messages may come past the socket.
    pub(in crate::conn) fn form(&self) -> Option<Form> {
        self.state.borrow_mut().form()
    }

    /// Offers the only source a shorter way for its messages.
    pub(in crate::conn) fn offer(&mut self, offer: &mut Offer) {
        if let [source] = &mut self.sources[..] {
            source.offer(offer);
        }
    }

    /// Counts payload bytes that were sent past the socket.
    pub(in crate::conn) fn note_passed(&self, bytes: u64) {
        self.state.borrow_mut().sent_bytes += bytes;
    }

    /// Returns the payload bytes that were sent.
    pub(in crate::conn) fn sent_bytes(&self) -> u64 {
        self.state.borrow().sent_bytes
    }

    /// Ends everything: the handler is dropped where it waits.
    pub(in crate::conn) fn cancel(&mut self, env: &Env) {
        if std::mem::take(&mut self.is_open) {
            env.counters.ws.open.sub(1);
            if self.state.borrow().closing().may_send() {
                env.counters.ws.lost.add(1);
            }
        }
        self.state.borrow_mut().end();
        self.unread = Vec::new();
        let (handler, sources) = (self.handler.take(), std::mem::take(&mut self.sources));
        if catch_unwind(AssertUnwindSafe(|| drop((handler, sources)))).is_err() {
            env.counters.panics.add("websocket");
        }
    }
}

/// What comes in.
impl Endpoint {
    /// Takes events off the input, until it is used up or the handler has to take what is there.
    fn read(&mut self, env: &mut Env, input: &mut &[u8]) {
        if self.state.borrow().closing().is_finished() {
            // It broke the protocol, or both sides have said Close: nothing it sends is looked at.
            *input = &[];
            return;
        }
        while !input.is_empty() {
            let mut state = self.state.borrow_mut();
            if !state.may_take() {
                return;
            }
            let took = state.take(input);
            let due = state.take_due();
            drop(state);
            match took {
                Took::All => return,
                Took::Message | Took::Control => {}
                Took::Close => self.peer_closed(env),
                Took::Fault(fault) => {
                    env.counters.protocol_errors.add(fault.label());
                    if matches!(self.state.borrow().closing(), Closing::Failing(_)) {
                        env.counters.ws.closes_by_server.add(fault.code().label());
                    }
                    self.state.borrow_mut().reply_last();
                    self.start_closing(env);
                    *input = &[];
                }
            }
            if due {
                self.poll_handler(env);
            }
        }
    }

    /// Goes on with what was left, once the handler has taken what stood before it.
    fn read_on(&mut self, env: &mut Env) {
        if !self.unread.is_empty() && self.state.borrow().may_take() {
            let unread = std::mem::take(&mut self.unread);
            let mut rest = unread.as_slice();
            self.read(env, &mut rest);
            self.unread = rest.to_vec();
            // Until here the peer was not the one to wait for.
            (self.heard, self.pinged) = (env.now, None);
        }
    }

    fn peer_closed(&mut self, env: &mut Env) {
        let mut state = self.state.borrow_mut();
        if matches!(state.closing(), Closing::Received(_)) {
            env.counters.ws.closes_by_peer.add(state.close_label());
            state.reply_last();
        }
        drop(state);
        self.start_closing(env);
    }

    /// A peer that is gone without a Close is waited for no longer once the handler has what it sent.
    fn note_gone(&mut self) {
        let gone = self.ended && self.unread.is_empty() && self.state.borrow().may_take();
        if gone && !self.state.borrow().closing().is_finished() {
            self.lost.get_or_insert(End::Gone);
        }
    }

    /// Gives closing its time.
    fn start_closing(&mut self, env: &Env) {
        if self.close_by.is_none() {
            self.close_by = env.now.checked_add(self.clocks.close);
        }
    }

    fn close(&mut self, env: &Env, code: Code, reason: &str) {
        // One that is closing already needs no other word.
        let _ = self.state.borrow_mut().close(code, reason);
        self.start_closing(env);
    }
}

/// What goes out.
impl Endpoint {
    /// Polls the handler, its panics contained.
    fn poll_handler(&mut self, env: &mut Env) {
        let Some(handler) = &mut self.handler else { return };
        let began = Instant::now();
        let mut cx = Context::from_waker(&self.handler_waker);
        let polled = catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(&mut cx)));
        self.watchdog.check_since(began);
        match polled {
            Ok(Poll::Pending) => {}
            Ok(Poll::Ready(finished)) => self.returned(env, finished),
            Err(_) => {
                env.counters.panics.add("websocket");
                self.drop_handler(env);
                self.close(env, Code::INTERNAL, "the server failed");
            }
        }
    }

    fn returned(&mut self, env: &mut Env, finished: Finished) {
        self.drop_handler(env);
        match finished {
            Ok(()) => self.close(env, Code::NORMAL, ""),
            Err(error) => {
                if self.state.borrow().closing().may_send() && env.may_warn() {
                    tracing::warn!(error, "a WebSocket's handler failed; the socket closes");
                }
                self.close(env, Code::INTERNAL, "the server failed");
            }
        }
    }

    fn drop_handler(&mut self, env: &Env) {
        let handler = self.handler.take();
        if catch_unwind(AssertUnwindSafe(|| drop(handler))).is_err() {
            env.counters.panics.add("websocket");
        }
    }

    /// Sends what the sources have, while the peer keeps up.
    fn poll_sources(&mut self, env: &mut Env) {
        let before = self.sources.len();
        self.sources.append(&mut self.state.borrow_mut().attached);
        self.sources_changed |= self.sources.len() > before;
        (self.sources_wait, self.sources_rest) = (false, true);
        let mut index = 0;
        while index < self.sources.len() && self.state.borrow().closing().may_send() {
            let polled = catch_unwind(AssertUnwindSafe(|| self.poll_source(env, index)));
            match polled {
                Ok(true) => index += 1,
                Ok(false) => self.drop_source(index),
                Err(_) => {
                    env.counters.panics.add("websocket");
                    self.drop_source(index);
                    self.close(env, Code::INTERNAL, "the server failed");
                }
            }
        }
    }

    fn drop_source(&mut self, index: usize) {
        self.sources_changed = true;
        drop(self.sources.swap_remove(index));
    }

    /// Sends what one source has; false when it is at its end.
    fn poll_source(&mut self, env: &mut Env, index: usize) -> bool {
        let mut cx = Context::from_waker(&self.call.connection);
        for _ in 0..DELIVERIES_PER_CALL {
            if self.state.borrow().queued_bytes() >= SOURCES_AHEAD_BYTES {
                (self.sources_wait, self.sources_rest) = (true, false);
                return true;
            }
            match self.sources[index].poll_next(&mut cx) {
                Poll::Pending => return true,
                Poll::Ready(Delivery::End) => return false,
                Poll::Ready(Delivery::Message(message)) => {
                    if self.state.borrow_mut().write(&Outgoing::Prepared(&message)).is_err() {
                        return false;
                    }
                }
                Poll::Ready(Delivery::Close(code, reason)) => {
                    self.close(env, code, reason);
                    return false;
                }
            }
        }
        self.sources_rest = false;
        self.call.connection.wake_by_ref();
        true
    }
}
