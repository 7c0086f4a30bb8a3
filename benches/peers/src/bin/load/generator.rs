//! The event loop: sends requests on schedule and checks the responses.

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

use windlass_cli::client::{
    fault::{Fault, Kind},
    pacing::Arrivals,
    report::Report,
    totals::{MAX_ERRORS, Totals},
};

use crate::{
    connection::{Connection, Progress},
    options::Options,
    setup,
    template::Template,
};

/// Maximum events of one epoll wait.
const EVENTS: usize = 256;
/// Interval of the timeout checks, and maximum duration of one epoll wait.
const TICK: Duration = Duration::from_millis(50);
/// Events that announce the end of the stream: no more bytes will arrive.
const ENDS: epoll::EventFlags =
    epoll::EventFlags::RDHUP.union(epoll::EventFlags::HUP).union(epoll::EventFlags::ERR);
/// Maximum arrivals in the backlog. Further arrivals are errors.
const MAX_BACKLOG: usize = 1_000_000;

/// Drives all connections on one thread.
///
/// A connection has `--pipeline` *slots*; each allows one request in flight. In a closed loop, a slot that
/// becomes free sends the next request at once. In an open loop, it takes the oldest arrival of the backlog,
/// or is added to `free_slots`.
pub(crate) struct Generator<'a> {
    options: &'a Options,
    templates: Vec<Template>,
    epoll: OwnedFd,
    connections: Vec<Connection>,
    totals: Totals,
    serial: u64,
    in_flight: usize,
    arrivals: Option<Arrivals>,
    /// Start times of closed-loop connections that have not started, soonest first.
    starts: VecDeque<(Instant, usize)>,
    /// Connection index of each free slot of an open loop.
    free_slots: VecDeque<usize>,
    /// Arrival times of requests that wait for a slot, oldest first.
    backlog: VecDeque<Instant>,
    /// Connections that failed and must be opened again.
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
            totals: Totals::default(),
            serial: 0,
            in_flight: 0,
            arrivals: None,
            starts: VecDeque::new(),
            free_slots: VecDeque::new(),
            backlog: VecDeque::new(),
            reopen: Vec::new(),
            next_check: Instant::now() + TICK,
            stopping: false,
        })
    }

    /// Sends requests for `--duration`, then waits for the requests in flight.
    pub(crate) fn run(mut self) -> io::Result<Report> {
        self.establish()?;
        let start = Instant::now();
        let end = start + self.options.duration;
        self.arrivals = self.options.rate.map(|rate| Arrivals::new(start, rate));
        self.start(start);
        while Instant::now() < end && self.totals.errors() < MAX_ERRORS {
            self.start_due(end);
            self.poll(end)?;
        }
        self.stopping = true;
        self.drain()?;
        let counts = self.connections.iter().map(|connection| connection.answered);
        let per_connection = counts.clone().min().zip(counts.max());
        Ok(Report { elapsed: start.elapsed(), totals: self.totals, per_connection })
    }

    /// Opens the connections before the measurement starts, except with `--churn`, which measures connecting.
    fn establish(&mut self) -> io::Result<()> {
        if self.options.churn {
            return Ok(());
        }
        let deadline = Instant::now() + self.options.timeout;
        for index in 0..self.connections.len() {
            self.open(index).map_err(io::Error::other)?;
        }
        while !self.connections.iter().all(Connection::is_open) {
            self.poll(deadline)?;
            if Instant::now() > deadline || self.totals.errors() > 0 {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "connections were not established in time",
                ));
            }
        }
        // With idle connections the pause was before: servers give a new connection little time for its first
        // request head.
        if self.options.idle == 0 { setup::pause(self.options, self.connections.len()) } else { Ok(()) }
    }

    fn start(&mut self, now: Instant) {
        let count = self.connections.len();
        if self.arrivals.is_some() {
            let slots = (0..self.options.pipeline).flat_map(|_| 0..count);
            self.free_slots.extend(slots);
            return;
        }
        let step = self.options.ramp / self.options.connections;
        self.starts.extend((0..count).map(|index| (now + step * index as u32, index)));
    }

    /// Starts the connections and processes the arrivals that are due.
    fn start_due(&mut self, end: Instant) {
        let now = Instant::now().min(end);
        while let Some((_, index)) = self.starts.pop_front_if(|(start, _)| *start <= now) {
            (0..self.options.pipeline).for_each(|_| self.queue_request(index, Instant::now()));
            self.flush(index);
        }
        while let Some(due) = self.arrivals.as_mut().and_then(|arrivals| arrivals.pop(now)) {
            self.handle_arrival(due);
        }
    }

    /// Sends a request for an arrival, or adds it to the backlog if no slot is free.
    fn handle_arrival(&mut self, due: Instant) {
        if let Some(index) = self.free_slots.pop_front() {
            let now = Instant::now();
            self.totals.late.record(now.saturating_duration_since(due));
            self.queue_request(index, now);
            self.flush(index);
        } else if self.backlog.len() < MAX_BACKLOG {
            self.backlog.push_back(due);
        } else {
            self.totals.failed(&Fault::new(Kind::Timeout, "server cannot keep up with the rate"), 1);
        }
    }

    /// Waits for events until `end`, the next arrival or the next tick, and processes them.
    fn poll(&mut self, end: Instant) -> io::Result<()> {
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
                self.connections[index].set_peer_ended();
            }
            self.ready(index);
        }
        self.fail_timed_out();
        Ok(())
    }

    /// Returns the next time that requires action without an event.
    fn next_due(&self) -> Option<Instant> {
        let start = self.starts.front().map(|(start, _)| *start);
        start.or(self.arrivals.as_ref().map(Arrivals::next)).filter(|_| !self.stopping)
    }

    fn drain(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + self.options.timeout + TICK;
        while self.in_flight > 0 && Instant::now() < deadline && self.totals.errors() < MAX_ERRORS {
            self.poll(deadline)?;
        }
        let lost = self.in_flight + self.backlog.len();
        if lost > 0 {
            let fault = Fault::new(Kind::Timeout, "requests without a response at the end");
            self.totals.failed(&fault, lost as u64);
        }
        Ok(())
    }

    fn ready(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        let mut progress = Progress::default();
        let result = connection
            .flush()
            .and_then(|()| connection.read(&self.templates, &mut self.totals, &mut progress));
        if progress.ended {
            self.handle_end(index);
        }
        // With `--churn`, the slot is free once the server has closed the connection.
        let freed = if self.options.churn { usize::from(progress.ended) } else { progress.answered };
        self.free_slots(index, freed);
        match result {
            Ok(()) => self.flush(index),
            Err(fault) => self.fail(index, &fault),
        }
    }

    fn handle_end(&mut self, index: usize) {
        self.connections[index].reset();
        if !self.options.churn {
            self.totals.reconnects += 1;
        }
    }

    fn free_slots(&mut self, index: usize, freed: usize) {
        self.in_flight -= freed;
        for _ in 0..freed {
            if self.arrivals.is_none() {
                if !self.stopping {
                    self.queue_request(index, Instant::now());
                }
            } else if let Some(due) = self.backlog.pop_front() {
                self.queue_request(index, due);
            } else {
                self.free_slots.push_back(index);
            }
        }
    }

    fn queue_request(&mut self, index: usize, since: Instant) {
        self.connections[index].queue_request(&self.templates, self.serial, since);
        self.serial += 1;
        self.in_flight += 1;
    }

    /// Writes the queued bytes of a connection and opens it first if necessary.
    fn flush(&mut self, index: usize) {
        let opened = if self.connections[index].needs_socket() { self.open(index) } else { Ok(()) };
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

    fn fail_timed_out(&mut self) {
        let now = Instant::now();
        if now < self.next_check {
            return;
        }
        self.next_check = now + TICK;
        for index in 0..self.connections.len() {
            if self.connections[index].has_timed_out(now, self.options.timeout) {
                let fault = Fault::new(
                    Kind::Timeout,
                    "no response, or no close of the connection, within the timeout",
                );
                self.fail(index, &fault);
            }
        }
    }

    /// Records a fault for all requests in flight on the connection, and frees their slots.
    fn fail(&mut self, index: usize, fault: &Fault) {
        let lost = self.connections[index].reset();
        self.totals.failed(fault, lost as u64);
        let freed = if self.options.churn { self.in_flight.min(1) } else { lost };
        self.free_slots(index, freed);
        self.reopen.push(index);
    }
}
