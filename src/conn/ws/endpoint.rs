//! The server's end of one WebSocket, on a connection of its own or on an HTTP/2 stream. It runs the handler
//! and the sources of messages.
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
    conn::{env::Env, exchange::telemetry::CONNECTION_ENDED, outlet::StreamOutlet, run::Watchdog},
    metrics::RouteMetrics,
    net::{ConnId, Outbox},
    proto::ws::{Closing, Prepared},
    ws::{
        BoxedSource, Code, Delivery, HandlerFuture, HandlerResult, OpenSocket, Outgoing, ReadEvent,
        SocketState, SocketTimeouts, SocketWakers, Upgrade,
    },
};

/// Sources are not polled while this many bytes wait to be sent.
const SOURCES_AHEAD_BYTES: usize = 64 * 1024;

/// Maximum number of messages taken from one source in one call: a source that always has a message must not
/// block the shard.
const DELIVERIES_PER_CALL: usize = 64;

/// Ways in which a socket ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::conn) enum End {
    /// Both sides have sent Close.
    Closed,
    /// The peer broke the protocol; it was sent a Close with the fault's code, if it could still be.
    Fault,
    /// The peer did not answer the server's Close in time.
    Unanswered,
    /// The peer sent FIN before the closing handshake was complete.
    Gone,
    /// The peer sent nothing in time after a ping.
    Silent,
}

impl End {
    /// Returns the error text for the end hooks; `None` for an orderly end.
    pub(in crate::conn) fn error(self) -> Option<&'static str> {
        match self {
            Self::Closed => None,
            Self::Fault => Some("the client violated the WebSocket protocol"),
            Self::Unanswered => Some("the client did not answer the close frame in time"),
            Self::Gone => Some(CONNECTION_ENDED),
            Self::Silent => Some("the client did not answer a ping in time"),
        }
    }
}

/// Waker of the handler: wakes the connection or the stream, and marks the handler to be polled. The waker of
/// the sources does not mark it, so that messages of sources cost no poll of the handler.
struct HandlerWaker {
    is_woken: AtomicBool,
    connection: Waker,
}

impl HandlerWaker {
    /// Returns `true` if the handler was woken since the last call.
    fn take(&self) -> bool {
        self.is_woken.load(Ordering::Relaxed) && self.is_woken.swap(false, Ordering::AcqRel)
    }
}

impl Wake for HandlerWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Set before the wake-up, so that the woken connection sees it.
        self.is_woken.store(true, Ordering::Release);
        self.connection.wake_by_ref();
    }
}

/// The server's end of a socket.
pub(in crate::conn) struct Endpoint {
    state: Rc<RefCell<SocketState>>,
    /// `None` once the handler has returned or was cancelled.
    handler: Option<HandlerFuture>,
    sources: Vec<BoxedSource>,
    source_progress: SourceProgress,
    /// Direct delivery of messages, used while the socket has exactly one source.
    outlet: StreamOutlet<Prepared>,
    /// Received bytes after a message that the handler has not taken.
    unread: Vec<u8>,
    wakes: Arc<HandlerWaker>,
    /// [`wakes`](Self::wakes) as the waker that the handler gets.
    handler_waker: Waker,
    watchdog: Watchdog,
    timeouts: SocketTimeouts,
    /// Time of the last received bytes.
    last_received: Instant,
    /// Time of the last ping; `None` if bytes were received since then.
    pinged: Option<Instant>,
    /// Time by which closing must be complete.
    close_by: Option<Instant>,
    /// The peer sent FIN.
    has_fin: bool,
    /// End of a socket whose peer is gone or silent; nothing more is sent then. `None` otherwise.
    lost: Option<End>,
    /// The socket is counted as open.
    is_open: bool,
}

/// Result of the last poll of the sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SourceProgress {
    /// A source may have more.
    Unknown,
    /// The sources were polled in this call and have nothing more.
    Rest,
    /// A source may have more and is not polled, because too much waits to be sent.
    HeldBack,
}

impl Endpoint {
    /// Opens the socket. `waker` wakes the connection or the stream that carries it.
    pub(in crate::conn) fn new(
        env: &Env,
        waker: Waker,
        upgrade: Upgrade,
        route_metrics: Arc<RouteMetrics>,
    ) -> Self {
        let wakes = Arc::new(HandlerWaker { is_woken: AtomicBool::new(false), connection: waker.clone() });
        let handler_waker = Waker::from(wakes.clone());
        let wakers = SocketWakers { connection: waker, handler: handler_waker.clone() };
        let OpenSocket { state, handler, timeouts } =
            upgrade.open(&env.limits, &env.timeouts, wakers, &env.counters);
        env.counters.ws.open.add(1);
        Self {
            state,
            handler: Some(handler),
            sources: Vec::new(),
            source_progress: SourceProgress::Unknown,
            outlet: StreamOutlet::Unconnected,
            unread: Vec::new(),
            wakes,
            handler_waker,
            watchdog: Watchdog::new(env, route_metrics),
            timeouts,
            last_received: env.now,
            pinged: None,
            close_by: None,
            has_fin: false,
            lost: None,
            is_open: true,
        }
    }

    /// Lends the outbox to the socket before a call. `behind_bytes` is how many bytes have left the outbox
    /// and are not sent yet.
    pub(in crate::conn) fn enter(&mut self, outbox: &mut Outbox, behind_bytes: usize) {
        if self.source_progress == SourceProgress::Rest {
            self.source_progress = SourceProgress::Unknown;
        }
        let state = &mut *self.state.borrow_mut();
        std::mem::swap(outbox, &mut state.outbox);
        // Bytes written between two calls follow those that waited already.
        state.outbox.append(outbox);
        (state.connection_active, state.behind_bytes) = (true, behind_bytes);
    }

    /// Returns the outbox to the connection after a call.
    pub(in crate::conn) fn leave(&mut self, outbox: &mut Outbox) {
        let state = &mut *self.state.borrow_mut();
        std::mem::swap(outbox, &mut state.outbox);
        // A sender between two calls writes behind these bytes.
        state.behind_bytes += outbox.len();
        state.connection_active = false;
    }

    /// Moves large messages to the outbox without a copy. The engine returns their memory once it is sent.
    pub(in crate::conn) fn lend(&mut self) {
        self.state.borrow_mut().lend();
    }

    /// Starts the handler.
    pub(in crate::conn) fn start(&mut self, env: &mut Env) {
        self.poll_handler(env);
    }

    /// Handles what a call has changed: new sources, a close, the peer's end. Called after each of the calls
    /// between [`enter`](Self::enter) and [`leave`](Self::leave).
    pub(in crate::conn) fn after_event(&mut self, env: &mut Env) {
        if !self.state.borrow().attached.is_empty() {
            self.poll_sources(env);
        }
        if !self.state.borrow().closing().may_send() {
            self.start_closing(env);
        }
        self.end_if_gone();
    }

    /// Handles received bytes.
    pub(in crate::conn) fn received(&mut self, env: &mut Env, bytes: &[u8]) {
        (self.last_received, self.pinged) = (env.now, None);
        if self.unread.is_empty() {
            let mut rest = bytes;
            self.read(env, &mut rest);
            self.unread.extend_from_slice(rest);
        } else {
            self.unread.extend_from_slice(bytes);
            self.read_on(env);
        }
    }

    /// Handles the peer's FIN. The handler still gets the messages before it.
    pub(in crate::conn) fn fin_received(&mut self, env: &mut Env) {
        self.has_fin = true;
        self.start_closing(env);
    }

    /// Makes all progress that is possible: the handler, a source or a half of the socket has woken the
    /// carrier.
    pub(in crate::conn) fn woken(&mut self, env: &mut Env) {
        let due = {
            // A sender between two calls may have found no room because it saw outdated byte counts.
            let mut state = self.state.borrow_mut();
            state.wake_sender();
            state.take_handler_ready()
        };
        if self.wakes.take() || due {
            self.poll_handler(env);
        }
        self.poll_sources(env);
        self.read_on(env);
    }

    /// Handles progress in sending, so that there may be room: continues the handler, senders and sources
    /// that wait for room.
    pub(in crate::conn) fn sent(&mut self, env: &mut Env) {
        let due = {
            let mut state = self.state.borrow_mut();
            state.reply();
            state.wake_sender();
            state.take_handler_ready()
        };
        if due {
            self.poll_handler(env);
            self.read_on(env);
        }
        if self.source_progress == SourceProgress::HeldBack {
            self.poll_sources(env);
        }
    }

    /// Closes the socket with code 1001 because the server stops. Has no effect if it is closing already.
    pub(in crate::conn) fn drain(&mut self, env: &mut Env) {
        self.close(env, Code::GOING_AWAY, "the server is stopping");
    }

    /// Sends a ping that is due, or ends the socket of a peer that does not answer. While the socket is
    /// closing, only counts the timeout of that.
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
            Some(since) if passed(since, self.timeouts.pong) => {
                env.counters.timeouts.add("ws_pong");
                self.lost = Some(End::Silent);
            }
            None if passed(self.last_received, self.timeouts.ping) => {
                self.pinged = Some(env.now);
                self.state.borrow_mut().ping();
            }
            _ => {}
        }
    }

    /// Returns the time at which to call [`clock_due`](Self::clock_due). `None` without a limit, and while
    /// the handler does not take messages: nothing is read then, so silence is not the peer's fault.
    pub(in crate::conn) fn deadline(&self) -> Option<Instant> {
        if self.close_by.is_some() {
            return self.close_by;
        }
        let (since, after) = match self.pinged {
            Some(pinged) => (pinged, self.timeouts.pong),
            None => (self.last_received, self.timeouts.ping),
        };
        after.filter(|_| self.wants_read()).and_then(|after| since.checked_add(after))
    }

    /// Returns `true` if more bytes may be read: the handler has taken everything that was received, and no
    /// FIN was received.
    pub(in crate::conn) fn wants_read(&self) -> bool {
        !self.has_fin && self.unread.is_empty() && self.state.borrow().can_read()
    }

    /// Returns `true` if the socket is not closing, and neither a source nor a sender waits for bytes to be
    /// sent.
    pub(in crate::conn) fn rests(&self) -> bool {
        self.source_progress != SourceProgress::HeldBack
            && self.close_by.is_none()
            && !self.state.borrow().waits_for_room()
    }

    /// Returns how the socket has ended; `None` while it has not.
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

    /// Returns `true` if the time for closing is over.
    #[cfg(feature = "http2")]
    pub(in crate::conn) fn is_late(&self, now: Instant) -> bool {
        self.close_by.is_some_and(|at| at <= now)
    }

    /// Writes the message in the outlet, if there is one, behind the bytes in `outbox` and `behind_bytes`
    /// that have left it. Shuts the outlet if that many bytes leave no room for another message.
    pub(in crate::conn) fn deliver(&mut self, env: &Env, outbox: &mut Outbox, behind_bytes: usize) {
        let state = &mut *self.state.borrow_mut();
        self.outlet.take(env.now, |message| state.write_direct(outbox, message));
        if outbox.len() + behind_bytes >= SOURCES_AHEAD_BYTES {
            self.outlet.shut();
        }
    }

    /// Opens the outlet if the socket has exactly one source, which was polled in this call and had nothing
    /// more. `label` names the stream on its connection.
    pub(in crate::conn) fn open_outlet(&mut self, env: &Env, id: ConnId, label: u32) {
        let state = self.state.borrow();
        let is_closing = self.close_by.is_some() || !state.closing().may_send();
        let [source] = &mut self.sources[..] else { return };
        if is_closing || !state.attached.is_empty() {
            self.outlet = StreamOutlet::Unconnected;
        } else if self.source_progress == SourceProgress::Rest && state.behind_bytes < SOURCES_AHEAD_BYTES {
            self.outlet.open(env, id, label, |outlet| source.connect(outlet));
        }
    }

    /// Shuts the outlet, because there is no room for another message.
    #[cfg(feature = "http2")]
    pub(in crate::conn) fn shut_outlet(&self) {
        self.outlet.shut();
    }

    /// Returns how many bytes of payload were written for the peer.
    pub(in crate::conn) fn sent_bytes(&self) -> u64 {
        self.state.borrow().sent_bytes
    }

    /// Ends the socket and drops the handler and the sources.
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

/// Receiving.
impl Endpoint {
    /// Parses input until it is used up or a message waits for the handler. Input after a fault or a
    /// completed close is ignored.
    fn read(&mut self, env: &mut Env, input: &mut &[u8]) {
        if self.state.borrow().closing().is_finished() {
            // The peer broke the protocol, or both sides have sent Close: the rest is ignored.
            *input = &[];
            return;
        }
        while !input.is_empty() {
            let mut state = self.state.borrow_mut();
            if !state.can_read() {
                return;
            }
            let received = state.read(input);
            let due = state.take_handler_ready();
            drop(state);
            match received {
                ReadEvent::NeedMore => return,
                ReadEvent::Message | ReadEvent::Control => {}
                ReadEvent::Close => self.peer_closed(env),
                ReadEvent::Fault(fault) => {
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

    /// Parses the bytes that were left, once the handler has taken the message before them.
    fn read_on(&mut self, env: &mut Env) {
        if !self.unread.is_empty() && self.state.borrow().can_read() {
            let unread = std::mem::take(&mut self.unread);
            let mut rest = unread.as_slice();
            self.read(env, &mut rest);
            self.unread = rest.to_vec();
            // Until now the handler was the one to wait for, not the peer.
            (self.last_received, self.pinged) = (env.now, None);
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

    /// Ends the socket of a peer that sent FIN before the closing handshake was complete, once the handler
    /// has taken all messages.
    fn end_if_gone(&mut self) {
        let gone = self.has_fin && self.unread.is_empty() && self.state.borrow().can_read();
        if gone && !self.state.borrow().closing().is_finished() {
            self.lost.get_or_insert(End::Gone);
        }
    }

    /// Starts the time limit of closing, unless it runs already.
    fn start_closing(&mut self, env: &Env) {
        if self.close_by.is_none() {
            self.close_by = env.now.checked_add(self.timeouts.close);
        }
    }

    fn close(&mut self, env: &Env, code: Code, reason: &str) {
        self.take_from_outlet(env);
        // Fails if the socket is closing already.
        let _ = self.state.borrow_mut().close(code, reason);
        self.start_closing(env);
    }
}

/// Handler and sources.
impl Endpoint {
    /// Polls the handler, unless it has ended. Its end closes the socket: with code 1000, or with 1011 after
    /// an error or a panic, which is caught.
    fn poll_handler(&mut self, env: &mut Env) {
        let Some(handler) = &mut self.handler else { return };
        let began = Instant::now();
        let mut cx = Context::from_waker(&self.handler_waker);
        let route = self.watchdog.route_number();
        let polled = env.counters.activity.call(route, || handler.as_mut().poll(&mut cx));
        self.watchdog.check_since(began);
        match polled {
            Ok(Poll::Pending) => {}
            Ok(Poll::Ready(result)) => self.returned(env, result),
            Err(payload) => {
                env.counters.panics.add("websocket");
                self.watchdog.report_panic("WebSocket handler panicked, closing the socket", &*payload);
                self.drop_handler(env);
                self.close(env, Code::INTERNAL, "the server failed");
            }
        }
    }

    fn returned(&mut self, env: &mut Env, result: HandlerResult) {
        self.drop_handler(env);
        match result {
            Ok(()) => self.close(env, Code::NORMAL, ""),
            Err(error) => {
                if self.state.borrow().closing().may_send() && env.may_warn() {
                    let route = self.watchdog.route();
                    tracing::warn!(error, route, "WebSocket handler failed, closing the socket");
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

    /// Writes the messages of the sources, as long as the outbox has room. A source that panics closes the
    /// socket with code 1011.
    fn poll_sources(&mut self, env: &mut Env) {
        self.take_from_outlet(env);
        if !self.state.borrow().attached.is_empty() {
            // The outlet belongs to the former source.
            self.outlet = StreamOutlet::Unconnected;
            self.sources.append(&mut self.state.borrow_mut().attached);
        }
        self.source_progress = SourceProgress::Rest;
        let mut index = 0;
        while index < self.sources.len() && self.state.borrow().closing().may_send() {
            let polled = catch_unwind(AssertUnwindSafe(|| self.poll_source(env, index)));
            match polled {
                Ok(true) => index += 1,
                Ok(false) => self.drop_source(index),
                Err(payload) => {
                    env.counters.panics.add("websocket");
                    self.watchdog.report_panic(
                        "message source of a WebSocket panicked, closing the socket",
                        &*payload,
                    );
                    self.drop_source(index);
                    self.close(env, Code::INTERNAL, "the server failed");
                }
            }
        }
    }

    /// Writes the message in the outlet, if there is one. Called before its source is polled, and before
    /// the server sends Close.
    fn take_from_outlet(&mut self, env: &Env) {
        let state = &mut *self.state.borrow_mut();
        // A socket that is closing sends no further message.
        let _ = self.outlet.take(env.now, |message| state.write_prepared(message));
    }

    fn drop_source(&mut self, index: usize) {
        self.outlet = StreamOutlet::Unconnected;
        drop(self.sources.swap_remove(index));
    }

    /// Writes the messages of one source. Returns `false` if the source has ended, closes the socket or can
    /// send nothing more.
    fn poll_source(&mut self, env: &mut Env, index: usize) -> bool {
        let mut cx = Context::from_waker(&self.wakes.connection);
        for _ in 0..DELIVERIES_PER_CALL {
            if self.state.borrow().queued_bytes() >= SOURCES_AHEAD_BYTES {
                self.source_progress = SourceProgress::HeldBack;
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
        if self.source_progress == SourceProgress::Rest {
            self.source_progress = SourceProgress::Unknown;
        }
        self.wakes.connection.wake_by_ref();
        true
    }
}
