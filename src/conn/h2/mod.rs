//! HTTP/2 on one connection: the requests of all streams to their handlers, each reply on its stream.
//!
//! ```text
//!  bytes ─► core ─► requests ─► route ─┬─ static, or inline and ready ─► outbox, once a batch
//!             │                        ├─ inline, pending ─► task ──┐
//!             ▼                        └─ async ───────────► pool ──┴► reply ─► outbox
//!  whole or streamed body
//!                     bodies of replies ◄─ schedule of the core ◄─ windows, priorities, room in the outbox
//! ```
//!
//! The protocol itself is [`proto::h2`](crate::proto::h2), here called the core. It schedules the streams:
//! which one may send next, and how much. A reply that is complete at once leaves nothing behind; any other
//! is a [`Stream`] until it is sent. HTTP/2 must not know the other protocols; a WebSocket on a stream is an
//! [`Endpoint`](crate::conn::ws::Endpoint) like any other.

mod alarms;
mod backlog;
mod body;
mod credit;
mod direct;
mod endings;
mod incoming;
mod reply;
mod request;
mod sending;
#[cfg(feature = "ws")]
mod socket;
mod stream;
mod streaming;
mod table;
#[cfg(feature = "ws")]
mod tunnel;
mod upgrade;
mod wait;
mod woken;

use std::{collections::VecDeque, sync::Arc, time::Instant};

use super::{env::Env, io::Io, message::Outcome, protocol::Protocol, timers::Timer};
use crate::{
    net::Ending,
    proto::h2::{Connection as Core, ConnectionState, Context, ErrorCode, Event, Head, Key},
};

use stream::{Stage, Stream};
use table::StreamTable;
pub(super) use upgrade::Upgraded;
use woken::Woken;

/// Maximum number of rounds of work in one call. What is left continues in the next turn of the event loop,
/// so that one connection does not hold the shard.
const ROUNDS_PER_CALL: usize = 8;

/// HTTP/2 state of one connection.
pub(super) struct H2 {
    core: Core,
    /// Open streams that were not answered at once.
    streams: StreamTable,
    /// Streams whose bodies or sockets have woken the connection.
    woken: Arc<Woken>,
    /// The peer sent FIN.
    has_fin: bool,
    /// Time at which a stream last began or ended.
    last_activity: Instant,
    /// Bytes of whole replies that wait for the peer. Those that several replies share do not count.
    unsent_bytes: usize,
    /// Requests whose handlers wait for the peer to read, oldest first.
    delayed: VecDeque<Key>,
    /// Complete request bodies for which the peer gets a WINDOW_UPDATE of the connection only when it has
    /// read more replies: streams, and numbers of bytes.
    deferred: Vec<(Key, usize)>,
    /// Credit may have been withheld or deferred, so that [`grant_credit`](Self::grant_credit) has work.
    owes_credit: bool,
    /// Number of open streams in the shard's counter.
    counted_streams: usize,
    /// Empty list, kept for its memory: see [`advance_woken`](Self::advance_woken).
    ready: Vec<Key>,
    /// Identifiers of streams whose outlets were filled.
    filled: Vec<u32>,
}

impl Protocol for H2 {
    fn received(&mut self, env: &mut Env, io: &mut Io, bytes: &[u8]) {
        // Under TLS several pieces come in one call, and an earlier one may have ended the connection.
        if io.ending == Ending::Open {
            self.drive(env, io, bytes);
        }
    }

    fn fin_received(&mut self, env: &mut Env, io: &mut Io) {
        self.has_fin = true;
        self.drive(env, io, &[]);
    }

    fn reply_ready(&mut self, env: &mut Env, io: &mut Io, seq: u32, outcome: Outcome) {
        let Some(mut stream) = self.core.key(seq).and_then(|key| self.streams.take(key)) else { return };
        match stream.stage {
            Stage::Running(exchange, _) => {
                self.last_activity = env.now;
                self.answer(env, io, exchange, stream.incoming, outcome);
            }
            stage => {
                stream.stage = stage;
                self.put_back(env, stream);
            }
        }
        self.drive(env, io, &[]);
    }

    fn advance(&mut self, env: &mut Env, io: &mut Io) {
        self.drive(env, io, &[]);
    }

    fn sent(&mut self, env: &mut Env, io: &mut Io) {
        if self.core.has_ready() {
            self.drive(env, io, &[]);
        }
    }

    fn rests(&mut self, env: &Env, io: &mut Io) -> bool {
        let is_idle = self.core.state() == ConnectionState::Open && self.core.open_streams() == 0;
        let rests = is_idle && !self.has_fin && !env.is_draining() && !self.core.is_mid_frame();
        if rests {
            io.wants_read = true;
            io.start_idle(env, self.last_activity);
        }
        rests
    }

    fn filled(&mut self, label: u32) {
        self.filled.push(label);
    }

    fn deliver(&mut self, env: &mut Env, io: &mut Io) -> bool {
        let before = io.outbox.len();
        let is_all_sent = self.send_events(env, io);
        self.core.sent(io.outbox.len() - before, &env.h2_limits);
        if !is_all_sent {
            self.drive(env, io, &[]);
        }
        is_all_sent
    }

    fn timer_expired(&mut self, env: &mut Env, io: &mut Io, timer: Timer) {
        match timer {
            Timer::Own => self.check_alarms(env, io),
            _ => {
                io.end(Ending::Finish, timer.name());
                self.quit(env, io, ErrorCode::ProtocolError, timer.name());
            }
        }
        self.drive(env, io, &[]);
    }

    fn announce_close(&mut self, env: &mut Env, io: &mut Io) {
        self.quit(env, io, ErrorCode::NoError, io.cause);
    }

    fn after_event(&mut self, env: &mut Env, io: &mut Io) {
        if env.is_draining() && self.core.state() == ConnectionState::Open {
            self.leave(env, io, "drain");
            self.renew_alarms(env);
            self.end_endless(env, io);
        }
        if self.has_fin {
            self.lose_hopeless(env, io);
        }
        self.count_streams(env);
        if self.has_fin && self.owes_nothing() && io.ending == Ending::Open {
            io.end(Ending::Finish, "peer");
        }
        if io.ending != Ending::Open {
            return io.timers.clear_requests();
        }
        io.wants_read = !self.has_fin && io.queued() < env.limits.http2.outbound_bytes;
        io.timers.set_at(Timer::Own, self.streams.next_alarm());
        if self.owes_nothing() && !io.unsent && io.outbox.is_empty() {
            io.start_idle(env, self.last_activity);
            self.streams.shrink();
        } else {
            io.timers.clear(Timer::Idle);
        }
        if self.core.is_greeting() || self.core.is_mid_frame() {
            io.timers.start(Timer::Header, env.now, env.timeouts.header);
        } else {
            io.timers.clear(Timer::Header);
        }
    }

    fn has_unwritten(&self) -> bool {
        self.core.has_ready()
    }

    fn is_active(&self) -> bool {
        self.core.open_streams() > 0
    }

    fn activity(&self, io: &Io) -> &'static str {
        let any = |is: fn(&Stage) -> bool| self.streams.iter().any(|stream| is(&stream.stage));
        match () {
            () if any(|stage| matches!(stage, Stage::Running(..))) => "handler_running",
            () if any(|stage| matches!(stage, Stage::Streaming(..) | Stage::Delayed(..))) => {
                "reply_streaming"
            }
            #[cfg(feature = "ws")]
            () if any(|stage| matches!(stage, Stage::Socket(..))) => "websocket",
            () if self.is_active() => "body_incoming",
            () if io.unsent || !io.outbox.is_empty() => "reply_unsent",
            () if self.core.is_greeting() || self.core.is_mid_frame() => "head_incoming",
            () => "idle",
        }
    }

    fn closed(&mut self, env: &mut Env, io: &mut Io) {
        self.lose_all(env, io);
        self.woken.close();
        env.counters.h2_streams.sub(std::mem::take(&mut self.counted_streams) as u64);
        env.counters.h2_connections.sub(1);
    }
}

impl H2 {
    /// Begins a connection whose client's preface has not been read, and writes the server's SETTINGS.
    pub(super) fn new(env: &Env, io: &mut Io) -> Self {
        let core = Core::new(&env.h2_limits, env.now, io.outbox.buffer());
        Self::with_core(core, env, io)
    }

    fn with_core(core: Core, env: &Env, io: &mut Io) -> Self {
        env.counters.h2_connections.add(1);
        Self {
            core,
            streams: StreamTable::default(),
            woken: Woken::new(io.waker(env)),
            has_fin: false,
            last_activity: env.now,
            unsent_bytes: 0,
            delayed: VecDeque::new(),
            deferred: Vec::new(),
            owes_credit: false,
            counted_streams: 0,
            ready: Vec::new(),
            filled: Vec::new(),
        }
    }

    /// Makes progress: takes the input, advances streams that were woken, sends data. What is left after
    /// [`ROUNDS_PER_CALL`] rounds continues in the next turn of the event loop.
    fn drive(&mut self, env: &mut Env, io: &mut Io, bytes: &[u8]) {
        let before = io.outbox.len();
        self.woken.enter();
        self.send_events(env, io);
        self.take_input(env, io, bytes);
        let mut is_done = false;
        for _ in 0..ROUNDS_PER_CALL {
            self.advance_woken(env, io);
            self.grant_credit(env, io);
            self.start_delayed(env, io);
            let had_backlog = self.has_backlog(env);
            let has_more = self.send_data(env, io) || had_backlog && !self.has_backlog(env);
            // The last stream of a connection that leaves may have ended.
            self.take_input(env, io, &[]);
            is_done = self.woken.leave();
            if is_done && !has_more {
                break;
            }
            self.woken.enter();
            is_done = false;
        }
        if !is_done {
            self.woken.pause();
            io.waker(env).wake();
        }
        self.core.sent(io.outbox.len().saturating_sub(before), &env.h2_limits);
    }

    /// Passes input to the core and handles what comes of it.
    fn take_input(&mut self, env: &mut Env, io: &mut Io, mut input: &[u8]) {
        // The head stays in the shard's memory: a request that is answered at once copies nothing of it.
        let mut head = std::mem::take(&mut env.h2_head);
        loop {
            let (limits, now) = (&env.h2_limits, env.now);
            let mut cx = Context { limits, now, head: &mut head, out: io.outbox.buffer() };
            let Some(event) = self.core.next(&mut input, &mut cx) else { break };
            self.handle(env, io, &head, event);
        }
        env.h2_head = head;
    }

    #[inline]
    fn handle(&mut self, env: &mut Env, io: &mut Io, head: &Head, event: Event<'_>) {
        match event {
            Event::Request { stream, ends } => self.request(env, io, head, stream, ends),
            Event::Refused { stream, ends, reject } => self.refuse(env, io, head, stream, ends, reject),
            Event::Data { stream, bytes, ends } => self.data(env, io, stream, bytes, ends),
            Event::Trailers { stream, refused } => self.trailers(env, io, head, stream, refused),
            Event::Reset { stream, by } => self.reset_received(env, io, stream, by),
            Event::Malformed(fault) => env.counters.protocol_errors.add(fault.label),
            Event::Over(fault) => self.over(env, io, fault),
        }
    }

    /// Advances the streams whose bodies or sockets have woken the connection.
    fn advance_woken(&mut self, env: &mut Env, io: &mut Io) {
        let mut ready = std::mem::take(&mut self.ready);
        self.woken.take(&mut ready);
        for key in ready.drain(..) {
            if let Some(stream) = self.streams.take(key) {
                self.advance_stream(env, io, stream);
            }
        }
        self.ready = ready;
    }

    /// Keeps a stream that was not answered at once, and advances it.
    fn keep(&mut self, env: &mut Env, io: &mut Io, mut stream: Box<Stream>) {
        stream.waker = Some(self.woken.waker(stream.key));
        self.advance_stream(env, io, stream);
    }

    /// Makes the progress with a stream that is possible before it is scheduled, and puts it back unless it
    /// is done.
    fn advance_stream(&mut self, env: &mut Env, io: &mut Io, mut stream: Box<Stream>) {
        self.update_incoming(env, io, &mut stream);
        match stream.stage {
            Stage::Streaming(..) => self.advance_reply(env, io, stream),
            #[cfg(feature = "ws")]
            Stage::Socket(..) => self.advance_socket(env, io, stream),
            Stage::Discarding if stream.incoming.is_none() => self.finish_stream(io, stream.key),
            Stage::Collecting(..) | Stage::Delayed(..) | Stage::Running(..) | Stage::Discarding => {
                self.put_back(env, stream);
            }
        }
    }

    fn put_back(&mut self, env: &Env, stream: Box<Stream>) {
        let deadline = stream.deadline(env).map(|(at, _)| at);
        self.streams.put(stream, deadline);
    }

    /// Returns `true` if no stream is open: every request is answered, and its reply written.
    fn owes_nothing(&self) -> bool {
        self.core.open_streams() == 0
    }

    fn count_streams(&mut self, env: &Env) {
        let open = self.core.open_streams();
        let counted = std::mem::replace(&mut self.counted_streams, open);
        if open >= counted {
            env.counters.h2_streams.add((open - counted) as u64);
        } else {
            env.counters.h2_streams.sub((counted - open) as u64);
        }
    }
}
