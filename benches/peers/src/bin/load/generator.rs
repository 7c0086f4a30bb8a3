//! The loop: arrivals in, requests out, responses counted.

use std::{
    collections::VecDeque,
    io,
    time::{Duration, Instant},
};

use rustix::{
    buffer::spare_capacity,
    event::{Timespec, epoll},
    fd::OwnedFd,
};

use crate::{
    connection::{Connection, Progress},
    fault::{Fault, Kind},
    options::Options,
    pacing::Arrivals,
    setup,
    tally::Tally,
    template::Template,
};

/// Events taken at once.
const EVENTS: usize = 256;
/// How often time-outs are looked for.
const TICK: Duration = Duration::from_millis(50);
/// Events that say that no byte follows those already received.
const ENDS: epoll::EventFlags =
    epoll::EventFlags::RDHUP.union(epoll::EventFlags::HUP).union(epoll::EventFlags::ERR);
/// Arrivals that may wait for a free connection; the next one is an error.
const MAX_WAITING: usize = 1_000_000;

/// Drives all connections on one thread.
///
/// A *turn to ask* is the right to have one request in flight: each connection has `--pipeline` of them. In a
/// closed loop a turn that comes back asks again at once; in an open loop it goes to the oldest arrival that
/// waits, else it lies in `free`.
pub(crate) struct Generator<'a> {
    options: &'a Options,
    templates: Vec<Template>,
    epoll: OwnedFd,
    connections: Vec<Connection>,
    tally: Tally,
    serial: u64,
    in_flight: usize,
    arrivals: Option<Arrivals>,
    /// Connections of a closed loop that have not started, and when they do; soonest first.
    starts: VecDeque<(Instant, usize)>,
    free: VecDeque<usize>,
    waiting: VecDeque<Instant>,
    /// Connections that failed and have something to say again.
    reopen: Vec<usize>,
    next_check: Instant,
    stopping: bool,
}

impl<'a> Generator<'a> {
    pub(crate) fn new(options: &'a Options, templates: Vec<Template>) -> io::Result<Self> {
        let connection = |index: usize| {
            let template = index % templates.len();
            Connection::new(template, options.churn, templates[template].handshake())
        };
        let connections = (0..options.connections as usize).map(connection);
        Ok(Self {
            options,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            connections: connections.collect(),
            templates,
            tally: Tally::new(),
            serial: 0,
            in_flight: 0,
            arrivals: None,
            starts: VecDeque::new(),
            free: VecDeque::new(),
            waiting: VecDeque::new(),
            reopen: Vec::new(),
            next_check: Instant::now() + TICK,
            stopping: false,
        })
    }

    /// Runs to the end: asks for `--duration`, then waits for what is owed.
    pub(crate) fn run(mut self) -> io::Result<Tally> {
        self.establish()?;
        let start = Instant::now();
        let end = start + self.options.duration;
        self.arrivals = self.options.rate.map(|rate| Arrivals::new(start, rate));
        self.start(start);
        while Instant::now() < end && !self.tally.hopeless() {
            self.release(end);
            self.turn(end)?;
        }
        self.stopping = true;
        self.drain()?;
        self.tally.elapsed = start.elapsed();
        let counts = self.connections.iter().map(|connection| connection.answered);
        self.tally.per_connection = (counts.clone().min().unwrap_or(0), counts.max().unwrap_or(0));
        Ok(self.tally)
    }

    /// Connects before the clock runs, unless connecting is what is measured.
    fn establish(&mut self) -> io::Result<()> {
        if self.options.churn {
            return Ok(());
        }
        let deadline = Instant::now() + self.options.timeout;
        for index in 0..self.connections.len() {
            self.open(index).map_err(io::Error::other)?;
        }
        while !self.connections.iter().all(Connection::is_open) {
            self.turn(deadline)?;
            if Instant::now() > deadline || self.tally.errors() > 0 {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "not every connection was established"));
            }
        }
        // With idle connections the pause was before: servers give a new connection little time for its first head.
        if self.options.idle == 0 { setup::pause(self.options, self.connections.len()) } else { Ok(()) }
    }

    fn start(&mut self, now: Instant) {
        let count = self.connections.len();
        if self.arrivals.is_some() {
            let turns = (0..self.options.pipeline).flat_map(|_| 0..count);
            self.free.extend(turns);
            return;
        }
        let step = self.options.ramp / self.options.connections;
        self.starts.extend((0..count).map(|index| (now + step * index as u32, index)));
    }

    /// Starts the connections whose time has come and handles the arrivals that are due.
    fn release(&mut self, end: Instant) {
        let now = Instant::now().min(end);
        while let Some((_, index)) = self.starts.pop_front_if(|(start, _)| *start <= now) {
            (0..self.options.pipeline).for_each(|_| self.ask(index, Instant::now()));
            self.flush(index);
        }
        while let Some(due) = self.arrivals.as_mut().and_then(|arrivals| arrivals.pop(now)) {
            self.arrive(due);
        }
    }

    /// Sends an arrival; one that finds no free connection waits.
    fn arrive(&mut self, due: Instant) {
        if let Some(index) = self.free.pop_front() {
            let now = Instant::now();
            self.tally.sent_late(now.saturating_duration_since(due));
            self.ask(index, now);
            self.flush(index);
        } else if self.waiting.len() < MAX_WAITING {
            self.waiting.push_back(due);
        } else {
            self.tally.failed(&Fault::new(Kind::Timeout, "the server is too far behind the rate"), 1);
        }
    }

    /// Waits for events until `end`, the next arrival or the next tick and handles them.
    fn turn(&mut self, end: Instant) -> io::Result<()> {
        for index in std::mem::take(&mut self.reopen) {
            self.flush(index);
        }
        let now = Instant::now();
        let wait = self.next_due().map_or(end, |due| due.min(end)).saturating_duration_since(now).min(TICK);
        let wait = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) };
        let mut events = Vec::with_capacity(EVENTS);
        match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            let index = event.data.u64() as usize;
            if { event.flags }.intersects(ENDS) {
                self.connections[index].note_end();
            }
            self.ready(index);
        }
        self.fail_overdue();
        Ok(())
    }

    /// Returns when something is to be done although no event came.
    fn next_due(&self) -> Option<Instant> {
        let start = self.starts.front().map(|(start, _)| *start);
        start.or(self.arrivals.as_ref().map(Arrivals::next)).filter(|_| !self.stopping)
    }

    fn drain(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + self.options.timeout + TICK;
        while self.in_flight > 0 && Instant::now() < deadline && !self.tally.hopeless() {
            self.turn(deadline)?;
        }
        let lost = self.in_flight + self.waiting.len();
        if lost > 0 {
            self.tally.failed(&Fault::new(Kind::Timeout, "requests unanswered at the end"), lost as u64);
        }
        Ok(())
    }

    fn ready(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        let mut progress = Progress::default();
        let result = connection
            .flush()
            .and_then(|()| connection.read(&self.templates, &mut self.tally, &mut progress));
        if progress.ended {
            self.ended(index);
        }
        // With a connection for each request the turn comes back when the server has closed.
        let turns = if self.options.churn { usize::from(progress.ended) } else { progress.answered };
        self.turns_back(index, turns);
        match result {
            Ok(()) => self.flush(index),
            Err(fault) => self.fail(index, &fault),
        }
    }

    fn ended(&mut self, index: usize) {
        self.connections[index].reset();
        if !self.options.churn {
            self.tally.reconnects += 1;
        }
    }

    fn turns_back(&mut self, index: usize, turns: usize) {
        self.in_flight -= turns;
        for _ in 0..turns {
            if self.arrivals.is_none() {
                if !self.stopping {
                    self.ask(index, Instant::now());
                }
            } else if let Some(due) = self.waiting.pop_front() {
                self.ask(index, due);
            } else {
                self.free.push_back(index);
            }
        }
    }

    fn ask(&mut self, index: usize, since: Instant) {
        self.connections[index].ask(&self.templates, self.serial, since);
        self.serial += 1;
        self.in_flight += 1;
    }

    /// Writes what the connection has to say, opening it if it must.
    fn flush(&mut self, index: usize) {
        let opened = if self.connections[index].wants_socket() { self.open(index) } else { Ok(()) };
        if let Err(fault) = opened.and_then(|()| self.connections[index].flush()) {
            self.fail(index, &fault);
        }
    }

    fn open(&mut self, index: usize) -> Result<(), Fault> {
        let stream = self.connections[index].open(self.options.target_of(index));
        let registered = stream.and_then(|stream| {
            let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET | ENDS;
            Ok(epoll::add(&self.epoll, stream, epoll::EventData::new_u64(index as u64), flags)?)
        });
        registered.map_err(|error| Fault::new(Kind::Connect, error))
    }

    fn fail_overdue(&mut self) {
        let now = Instant::now();
        if now < self.next_check {
            return;
        }
        self.next_check = now + TICK;
        for index in 0..self.connections.len() {
            if self.connections[index].is_overdue(now, self.options.timeout) {
                let fault = Fault::new(Kind::Timeout, "no response, or no end of the connection, in time");
                self.fail(index, &fault);
            }
        }
    }

    /// Counts a fault with all it cost and gives the turns back.
    fn fail(&mut self, index: usize, fault: &Fault) {
        let lost = self.connections[index].reset();
        self.tally.failed(fault, lost as u64);
        let turns = if self.options.churn { self.in_flight.min(1) } else { lost };
        self.turns_back(index, turns);
        self.reopen.push(index);
    }
}
