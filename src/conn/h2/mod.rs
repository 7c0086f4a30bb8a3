//! HTTP/2 on one connection: streams to handlers, each reply on its stream.
//!
//! ```text
//!  bytes ─► engine ─► requests ─► route ─┬─ static, or inline and ready ─► engine ─► outbox, once a batch
//!                        │               ├─ inline, pending ─► task ──┐
//!                        ▼               └─ async ───────────► pool ──┴► reply ─► engine
//!           whole or streamed body
//! ```
//!
//! All requests that came are taken from the engine before the first is answered, and all answers are in it
//! before it writes. A request that is answered at once leaves nothing behind; any other is a [`Stream`]
//! until its reply is sent. Nothing here names the engine's crate: see [`engine`].

mod alarms;
mod body;
mod endings;
mod engine;
mod head;
mod incoming;
mod meter;
mod pipe;
mod reply;
mod request;
#[cfg(feature = "ws")]
mod socket;
mod stream;
mod streaming;
#[cfg(feature = "ws")]
mod tunnel;
mod wait;
mod woken;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    task::{Context, Waker},
    time::Instant,
};

use crate::{
    conn::{env::Env, io::Io, message::Outcome, protocol::Protocol, timers::Timer},
    net::Ending,
};

use engine::{Accepted, Code, Engine, Event, Outbound};
use meter::Meter;
use pipe::Pipe;
use stream::{State, Stream};
use woken::Woken;

/// Rounds of reading, answering and writing in one call; what is left then is gone on with in the next turn,
/// so that one connection does not hold the shard.
const ROUNDS_PER_CALL: usize = 8;

/// Reading pauses while more than this waits for the engine, which itself waits for the peer to read, bytes.
const UNREAD_BYTES: usize = 64 * 1024;

/// Phase of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// The peer was asked to start no further stream.
    Leaving,
    Over,
}

/// The protocol's state.
pub(super) struct H2 {
    engine: Engine,
    pipe: Pipe,
    meter: Meter,
    /// Those not answered yet, by id.
    streams: BTreeMap<u32, Box<Stream>>,
    woken: Arc<Woken>,
    /// When streams have to be looked at, earliest first: at most one entry each.
    alarms: BTreeSet<(Instant, u32)>,
    phase: Phase,
    /// The engine has bytes to write and the outbox is full.
    blocked: bool,
    /// The peer sent FIN.
    ended: bool,
    /// When a stream last began or ended.
    touched: Instant,
    /// Kept for their memory.
    accepted: Vec<Accepted>,
    ready: Vec<u32>,
    /// Number of `streams` that are counted as open.
    counted: usize,
    /// Replies that broke off: their streams are reset once what they have sent is written.
    broken: Vec<Outbound>,
}

impl Protocol for H2 {
    fn received(&mut self, env: &mut Env, io: &mut Io, bytes: &[u8]) {
        if io.ending != Ending::Open {
            // Under TLS several pieces come in one call, and what an earlier one did ends the connection.
            return;
        }
        if let Err(flood) = self.meter.look(bytes, env.now) {
            return self.flooded(env, io, flood, bytes);
        }
        self.pipe.feed(bytes);
        self.drive(env, io);
    }

    fn fin_received(&mut self, env: &mut Env, io: &mut Io) {
        self.ended = true;
        self.drive(env, io);
    }

    fn reply_ready(&mut self, env: &mut Env, io: &mut Io, seq: u32, outcome: Outcome) {
        let Some(mut stream) = self.take_out(seq) else { return };
        match stream.state {
            State::Waiting(exchange, _) => {
                self.touched = env.now;
                self.answer(env, io, exchange, stream.incoming, outcome);
                self.drive(env, io);
            }
            state => {
                stream.state = state;
                self.put_back(env, stream);
            }
        }
    }

    fn advance(&mut self, env: &mut Env, io: &mut Io) {
        self.drive(env, io);
    }

    fn sent(&mut self, env: &mut Env, io: &mut Io) {
        if self.blocked {
            self.drive(env, io);
        }
    }

    fn rests(&mut self, env: &Env, io: &mut Io) -> bool {
        let rests = self.phase == Phase::Open && self.streams.is_empty() && !self.blocked && !self.ended;
        if rests && !env.is_draining() && self.pipe.unread() == 0 {
            io.wants_read = true;
            io.start_idle(env, self.touched);
            return true;
        }
        false
    }

    fn timer_expired(&mut self, env: &mut Env, io: &mut Io, timer: Timer) {
        match timer {
            Timer::Own => self.look_at_alarms(env, io),
            _ => {
                io.end(Ending::Finish, timer.name());
                self.quit(env, Code::Protocol, timer.name());
            }
        }
        self.drive(env, io);
    }

    fn announce_close(&mut self, env: &mut Env, io: &mut Io) {
        self.quit(env, Code::NoError, io.cause);
        self.drive(env, io);
    }

    fn after_event(&mut self, env: &mut Env, io: &mut Io) {
        // In the greeting no frame can be sent yet; the call that ends it comes by here again.
        if env.is_draining() && self.phase == Phase::Open && !self.engine.is_greeting() {
            self.leave(env, "drain");
            // Bodies without an end of their own are told by being polled.
            let endless = self.streams.values().filter(|stream| stream.is_endless());
            endless.filter_map(|stream| stream.waker.as_ref()).for_each(std::task::Waker::wake_by_ref);
            self.drive(env, io);
        }
        while self.ended && self.lose_hopeless(env, io) {
            self.drive(env, io);
        }
        self.count_streams(env);
        let owes_nothing = self.streams.is_empty() && !self.blocked;
        if self.ended && owes_nothing && io.ending == Ending::Open {
            io.end(Ending::Finish, "peer");
        }
        if io.ending != Ending::Open {
            return io.timers.clear_requests();
        }
        io.wants_read = !self.ended && self.pipe.unread() < UNREAD_BYTES && !self.blocked;
        io.timers.set_at(Timer::Own, self.alarms.first().map(|(at, _)| *at));
        if owes_nothing && !io.unsent && io.outbox.is_empty() {
            io.start_idle(env, self.touched);
        } else {
            io.timers.clear(Timer::Idle);
        }
        if self.engine.is_greeting() || self.meter.is_in_block() {
            io.timers.start(Timer::Header, env.now, env.timeouts.header);
        } else {
            io.timers.clear(Timer::Header);
        }
    }

    fn has_unwritten(&self) -> bool {
        self.blocked
    }

    fn is_active(&self) -> bool {
        !self.streams.is_empty()
    }

    fn activity(&self, io: &Io) -> &'static str {
        let any = |is: fn(&State) -> bool| self.streams.values().any(|stream| is(&stream.state));
        match () {
            () if any(|state| matches!(state, State::Waiting(..))) => "handler_running",
            () if any(|state| matches!(state, State::Streaming(..))) => "reply_streaming",
            #[cfg(feature = "ws")]
            () if any(|state| matches!(state, State::Socket(..))) => "websocket",
            () if !self.streams.is_empty() => "body_incoming",
            () if io.unsent || !io.outbox.is_empty() => "reply_unsent",
            () if self.engine.is_greeting() || self.meter.is_in_block() => "head_incoming",
            () => "idle",
        }
    }

    fn closed(&mut self, env: &mut Env, io: &mut Io) {
        self.lose_all(env, io);
        self.woken.close();
        self.count_streams(env);
        env.counters.h2_connections.sub(1);
    }
}

impl H2 {
    pub(super) fn new(env: &Env, io: &mut Io) -> Self {
        let pipe = Pipe::default();
        env.counters.h2_connections.add(1);
        Self {
            engine: Engine::new(&env.limits, pipe.clone()),
            pipe,
            meter: Meter::new(&env.limits.http2.rates(), env.now),
            streams: BTreeMap::new(),
            woken: Woken::new(io.waker(env)),
            alarms: BTreeSet::new(),
            phase: Phase::Open,
            blocked: false,
            ended: false,
            touched: env.now,
            accepted: Vec::new(),
            ready: Vec::new(),
            counted: 0,
            broken: Vec::new(),
        }
    }

    /// Goes on until nothing is left to go on with: takes every request, answers, writes.
    fn drive(&mut self, env: &mut Env, io: &mut Io) {
        if self.phase == Phase::Over {
            return;
        }
        self.woken.enter();
        for _ in 0..ROUNDS_PER_CALL {
            if self.turn_engine(env, io) {
                return self.over(env, io);
            }
            self.woken.take(&mut self.ready);
            let broken = !self.broken.is_empty();
            self.broken.drain(..).for_each(|out| out.reset(Code::Internal));
            if self.accepted.is_empty() && self.ready.is_empty() && !broken {
                if self.woken.leave() {
                    return;
                }
                continue;
            }
            self.answer_accepted(env, io);
            self.look_at_ready(env, io);
        }
        self.woken.pause();
        io.waker(env).wake();
    }

    /// Lets the engine read and write; takes the requests that came. Says whether the connection is over.
    fn turn_engine(&mut self, env: &mut Env, io: &mut Io) -> bool {
        // What the driver holds in flight is at most as much again.
        let room = (env.limits.http2.outbound_bytes / 2).saturating_sub(io.queued());
        let before = io.outbox.len();
        self.pipe.swap_output(io.outbox.buffer(), room);
        let over = loop {
            match self.engine.next() {
                Event::Request(accepted) => self.accepted.push(*accepted),
                Event::Idle => break false,
                Event::Over(fault) => {
                    self.note_over(env, io, fault);
                    break true;
                }
            }
        };
        self.pipe.swap_output(io.outbox.buffer(), 0);
        self.blocked = self.pipe.take_blocked();
        self.meter.sent((io.outbox.len() - before) as u64);
        over
    }

    fn answer_accepted(&mut self, env: &mut Env, io: &mut Io) {
        if self.accepted.is_empty() {
            return;
        }
        self.touched = env.now;
        let mut accepted = std::mem::take(&mut self.accepted);
        for accepted in accepted.drain(..) {
            self.request(env, io, accepted);
        }
        self.accepted = accepted;
    }

    fn look_at_ready(&mut self, env: &mut Env, io: &mut Io) {
        let mut ready = std::mem::take(&mut self.ready);
        for id in ready.drain(..) {
            if let Some(stream) = self.take_out(id) {
                self.advance_stream(env, io, stream);
            }
        }
        self.ready = ready;
    }

    /// Takes up a stream that was not answered at once.
    fn keep(&mut self, env: &mut Env, io: &mut Io, mut stream: Box<Stream>) {
        stream.waker = Some(self.woken.waker(stream.id));
        self.advance_stream(env, io, stream);
    }

    /// Goes on with a stream as far as it goes; puts it back unless it is done.
    fn advance_stream(&mut self, env: &mut Env, io: &mut Io, stream: Box<Stream>) {
        let waker = stream.waker.clone().unwrap_or_else(|| Waker::noop().clone());
        let mut cx = Context::from_waker(&waker);
        let Some(mut stream) = self.take_body(env, io, stream, &mut cx) else { return };
        match &mut stream.state {
            State::Streaming(..) => self.go_on(env, io, stream, &mut cx),
            #[cfg(feature = "ws")]
            State::Socket(..) => self.go_on_socket(env, io, stream, &mut cx),
            State::Waiting(exchange, _) => match exchange.reply.poll_gone(&mut cx) {
                true => self.lost(env, io, stream),
                false => self.put_back(env, stream),
            },
            State::Leaving if stream.incoming.is_none() => {}
            State::Collecting(..) | State::Leaving => self.put_back(env, stream),
        }
    }

    fn take_out(&mut self, id: u32) -> Option<Box<Stream>> {
        let mut stream = self.streams.remove(&id)?;
        if let Some(at) = stream.alarm.take() {
            self.alarms.remove(&(at, id));
        }
        Some(stream)
    }

    fn put_back(&mut self, env: &Env, mut stream: Box<Stream>) {
        stream.alarm = stream.due(&env.timeouts).map(|(at, _)| at);
        if let Some(at) = stream.alarm {
            self.alarms.insert((at, stream.id));
        }
        self.streams.insert(stream.id, stream);
    }

    fn count_streams(&mut self, env: &Env) {
        let (open, counted) = (self.streams.len(), std::mem::replace(&mut self.counted, self.streams.len()));
        if open >= counted {
            env.counters.h2_streams.add((open - counted) as u64);
        } else {
            env.counters.h2_streams.sub((counted - open) as u64);
        }
    }
}
