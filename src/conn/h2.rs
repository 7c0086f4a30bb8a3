//! HTTP/2 on one connection: streams to handlers, each reply on its stream.
//!
//! ```text
//!  bytes ─► engine ─► requests ─► route ─┬─ static, or inline and ready ─► engine ─► outbox, once a batch
//!                        │               ├─ inline, pending ─► guest ─┐
//!                        ▼               └─ async ───────────► pool ──┴► reply ─► engine
//!           whole or streamed body
//! ```
//!
//! All requests that came are taken from the engine before the first is answered, and all answers are in it before
//! it writes. A request that is answered at once leaves nothing behind; any other is a [`Stream`] until its reply is
//! sent. Nothing here names the engine's crate: see [`engine`].

mod engine;
mod head;
mod incoming;
mod pipe;
mod reply;
mod request;
mod stream;
mod woken;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    task::{Context, Waker},
    time::Instant,
};

use http::StatusCode;

use crate::{
    conn::{DRAINED, Env, Io, Outcome, Protocol, Timer, account::ENDED_FIRST, answers, job, pace},
    net::Ending,
    proto::h2::meter::{Flood, Meter},
    response::plain,
};

use engine::{Accepted, Code, Engine, Event, Outbound};
use incoming::{Incoming, Taken};
use pipe::Pipe;
use stream::{Late, State, Stream};
use woken::Woken;

/// Rounds of reading, answering and writing in one call; what is left then is gone on with in the next turn, so that
/// one connection does not hold the shard.
const ROUNDS_PER_CALL: usize = 8;

/// Reading pauses while more than this waits for the engine, which itself waits for the peer to read, bytes.
const UNREAD_BYTES: usize = 64 * 1024;

/// Whether the connection takes requests.
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
    /// How many of `streams` are counted as open.
    counted: usize,
    /// Replies that broke off: their streams are reset once what they have sent is written.
    broken: Vec<Outbound>,
}

impl Protocol for H2 {
    fn received(&mut self, env: &mut Env, io: &mut Io, bytes: &[u8]) {
        if let Err(flood) = self.meter.look(bytes, env.now) {
            return self.flooded(env, io, flood, bytes);
        }
        self.pipe.feed(bytes);
        self.drive(env, io);
    }

    fn ended(&mut self, env: &mut Env, io: &mut Io) {
        self.ended = true;
        // Bodies that are not complete never will be, no window opens any more, and replies without an end of their own
        // have nobody to go to.
        let ids = self.streams.keys().copied().collect::<Vec<_>>();
        for id in ids {
            if self.streams.get(&id).is_some_and(|stream| stream.incoming.is_some() || stream.ends_with_peer()) {
                self.lose(env, io, id);
            }
        }
        self.drive(env, io);
    }

    fn replied(&mut self, env: &mut Env, io: &mut Io, seq: u32, outcome: Outcome) {
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

    fn pump(&mut self, env: &mut Env, io: &mut Io) {
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
            self.start_idle(env, io);
            return true;
        }
        false
    }

    fn expired(&mut self, env: &mut Env, io: &mut Io, timer: Timer) {
        match timer {
            Timer::Own => self.look_at_alarms(env, io),
            _ => {
                io.end(Ending::Finish, timer.name());
                self.quit(env, Code::Protocol, timer.name());
            }
        }
        self.drive(env, io);
    }

    fn farewell(&mut self, env: &mut Env, io: &mut Io) {
        self.quit(env, Code::NoError, io.cause);
        self.drive(env, io);
    }

    fn settle(&mut self, env: &mut Env, io: &mut Io) {
        if env.is_draining() && self.phase == Phase::Open {
            self.leave(env, "drain");
            self.drive(env, io);
        }
        self.count_streams(env);
        if self.ended {
            self.lose_stuck(env, io);
        }
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
            self.start_idle(env, io);
        } else {
            io.timers.clear(Timer::Idle);
        }
        if self.engine.is_greeting() || self.meter.is_in_block() {
            io.timers.start(Timer::Header, env.now, env.timeouts.header);
        } else {
            io.timers.clear(Timer::Header);
        }
    }

    fn is_active(&self) -> bool {
        !self.streams.is_empty()
    }

    fn doing(&self, io: &Io) -> &'static str {
        let any = |is: fn(&State) -> bool| self.streams.values().any(|stream| is(&stream.state));
        match () {
            () if any(|state| matches!(state, State::Waiting(..))) => "handler_running",
            () if any(|state| matches!(state, State::Streaming(..))) => "reply_streaming",
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
        env.cells.h2_connections.sub(1);
    }
}

impl H2 {
    pub(super) fn new(env: &Env, io: &mut Io) -> Self {
        let pipe = Pipe::default();
        env.cells.h2_connections.add(1);
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
                self.advance(env, io, stream);
            }
        }
        self.ready = ready;
    }

    /// Takes up a stream that was not answered at once.
    fn keep(&mut self, env: &mut Env, io: &mut Io, mut stream: Box<Stream>) {
        stream.waker = Some(self.woken.waker(stream.id));
        self.advance(env, io, stream);
    }

    /// Goes on with a stream as far as it goes; puts it back unless it is done.
    fn advance(&mut self, env: &mut Env, io: &mut Io, mut stream: Box<Stream>) {
        let waker = stream.waker.clone().unwrap_or_else(|| Waker::noop().clone());
        let mut cx = Context::from_waker(&waker);
        match stream.incoming.as_mut().map(|incoming| incoming.take(env.now, &mut cx)) {
            None | Some(Taken::Part) => {}
            Some(Taken::Passed) => stream.incoming = None,
            Some(Taken::Whole(bytes)) => {
                if let State::Collecting(exchange, pending) = stream.state {
                    self.start(env, io, exchange, *pending, bytes.into(), None);
                }
                return;
            }
            Some(Taken::TooLarge) => {
                // Of what is only thrown away it is enough.
                if let State::Collecting(exchange, _) = stream.state {
                    self.answer(env, io, exchange, None, answers::too_large());
                }
                return;
            }
            Some(Taken::Gone) => return self.lost(env, io, stream),
        }
        match &mut stream.state {
            State::Streaming(..) => self.go_on(env, io, stream, &mut cx),
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

    /// Ends a stream that nobody waits for any more.
    fn lost(&mut self, env: &Env, io: &Io, stream: Box<Stream>) {
        if !matches!(stream.state, State::Leaving) {
            env.cells.h2_resets.add("peer");
        }
        self.forget(env, io, *stream, Code::Cancel);
    }

    fn lose(&mut self, env: &Env, io: &Io, id: u32) {
        if let Some(stream) = self.take_out(id) {
            self.lost(env, io, stream);
        }
    }

    fn forget(&mut self, env: &Env, io: &Io, stream: Stream, code: Code) {
        let (account, status, written) = match stream.state {
            State::Collecting(exchange, _) => {
                exchange.reply.reset(code);
                (exchange.account, None, 0)
            }
            State::Waiting(exchange, task) => {
                task.cancel();
                exchange.reply.reset(code);
                (exchange.account, None, 0)
            }
            State::Streaming(account, streaming) => {
                let (status, written) = (streaming.status, streaming.written);
                streaming.reset(code);
                (account, Some(status), written)
            }
            State::Leaving => return,
        };
        account.finish(env, io, status, Some(ENDED_FIRST), written);
    }

    /// Gives up the replies that wait for a window: nothing opens it behind the peer's FIN.
    fn lose_stuck(&mut self, env: &Env, io: &Io) {
        if self.blocked {
            // Windows may be open: it is the socket that takes nothing.
            return;
        }
        let stuck = |stream: &Stream| matches!(&stream.state, State::Streaming(_, reply) if reply.is_stuck());
        let stuck: Vec<u32> = self.streams.values().filter(|stream| stuck(stream)).map(|stream| stream.id).collect();
        stuck.into_iter().for_each(|id| self.lose(env, io, id));
    }

    fn lose_all(&mut self, env: &Env, io: &Io) {
        self.alarms.clear();
        for (_, stream) in std::mem::take(&mut self.streams) {
            self.forget(env, io, *stream, Code::Cancel);
        }
        self.accepted.clear();
        self.broken.clear();
    }

    fn look_at_alarms(&mut self, env: &mut Env, io: &mut Io) {
        while let Some((at, id)) = self.alarms.first().copied().filter(|(at, _)| *at <= env.now) {
            self.alarms.remove(&(at, id));
            let Some(mut stream) = self.take_out(id) else { continue };
            stream.alarm = None;
            match stream.due(&env.timeouts) {
                Some((due, late)) if due <= env.now => self.late(env, io, stream, late),
                _ => self.put_back(env, stream),
            }
        }
    }

    /// Ends what took too long.
    fn late(&mut self, env: &mut Env, io: &mut Io, mut stream: Box<Stream>, late: Late) {
        env.cells.timeouts.add(timer_name(late));
        match (late, stream.state) {
            (Late::Body, State::Collecting(exchange, _)) => {
                let response = plain(StatusCode::REQUEST_TIMEOUT, pace::TOO_SLOW);
                self.answer(env, io, exchange, None, response.into());
            }
            (Late::Job, State::Waiting(exchange, task)) => {
                task.cancel();
                self.answer(env, io, exchange, None, job::late());
            }
            // The client had its time: the stream is let go.
            (Late::Body, State::Leaving) => {}
            (Late::Body, state) => {
                stream.state = state;
                if let Some(incoming) = stream.incoming.take() {
                    Incoming::fail_late(incoming);
                }
                self.put_back(env, stream);
            }
            (late, state) => {
                stream.state = state;
                env.cells.h2_resets.add(timer_name(late));
                let code = if late == Late::Producer { Code::Internal } else { Code::Cancel };
                self.forget(env, io, *stream, code);
            }
        }
    }

    /// Asks the peer to start no further stream.
    fn leave(&mut self, env: &Env, cause: &'static str) {
        if self.phase == Phase::Open {
            self.phase = Phase::Leaving;
            // What is only thrown away keeps no connection open.
            let is_done = |stream: &Stream| matches!(stream.state, State::Leaving);
            let done = self.streams.values().filter(|stream| is_done(stream)).map(|stream| stream.id);
            done.collect::<Vec<_>>().into_iter().for_each(|id| drop(self.take_out(id)));
            env.cells.h2_goaways.add(cause);
            self.engine.leave();
        }
    }

    /// Ends the connection with everything on it.
    fn quit(&mut self, env: &Env, code: Code, cause: &'static str) {
        if self.phase == Phase::Open {
            env.cells.h2_goaways.add(cause);
        }
        self.engine.quit(code);
    }

    fn count_streams(&mut self, env: &Env) {
        let (open, counted) = (self.streams.len(), std::mem::replace(&mut self.counted, self.streams.len()));
        if open >= counted {
            env.cells.h2_streams.add((open - counted) as u64);
        } else {
            env.cells.h2_streams.sub((counted - open) as u64);
        }
    }

    /// Ends a connection that sends frames faster than it may; what came before the one too many is taken.
    fn flooded(&mut self, env: &mut Env, io: &mut Io, flood: Flood, bytes: &[u8]) {
        self.pipe.feed(&bytes[..flood.at]);
        self.drive(env, io);
        if self.phase == Phase::Over {
            return;
        }
        self.note_fault(env, io, flood.kind.label());
        self.quit(env, Code::Calm, flood.kind.label());
        self.drive(env, io);
    }

    fn note_over(&mut self, env: &mut Env, io: &mut Io, fault: Option<&'static str>) {
        let Some(fault) = fault else {
            return io.end(Ending::Finish, if env.is_draining() { DRAINED } else { "done" });
        };
        if self.phase == Phase::Open {
            env.cells.h2_goaways.add(fault);
        }
        self.note_fault(env, io, fault);
    }

    fn note_fault(&self, env: &mut Env, io: &mut Io, fault: &'static str) {
        env.cells.protocol_errors.add(fault);
        if env.may_warn() {
            tracing::debug!(peer = ?io.peer, cause = fault, "an HTTP/2 connection ends");
        }
        io.end(Ending::Finish, "protocol_error");
    }

    /// Ends everything: the engine has written its last.
    fn over(&mut self, env: &mut Env, io: &mut Io) {
        self.phase = Phase::Over;
        self.lose_all(env, io);
        self.woken.close();
    }

    fn start_idle(&self, env: &Env, io: &mut Io) {
        // A draining server waits only for what a busy client has already sent.
        let draining = env.is_draining().then_some(env.timeouts.drain_idle);
        io.timers.set(Timer::Idle, self.touched, draining.or(env.timeouts.keep_alive));
    }
}

fn timer_name(late: Late) -> &'static str {
    match late {
        Late::Body => Timer::Body.name(),
        Late::Job => Timer::Job.name(),
        Late::Window => Timer::Write.name(),
        Late::Producer => Timer::Stream.name(),
    }
}
