//! One topic, its publisher and its subscribers, who must all get what was published or be told what they do not get.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::BufMut;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{
    connect::{broken, connect_with, receive},
    events::{self, Parser},
    follow::{Follower, Seen},
    gate::Gate,
    h1::Connection,
    run::Load,
};
use crate::{
    client::{
        fault::{Fault, Kind},
        response,
    },
    proto::h1::{Limits, Step, chunk::Chunked},
};

/// How long a slow subscriber does not read, and how much it reads then: 20 KB a second.
const SLOW_PAUSE: Duration = Duration::from_millis(100);
const SLOW_BYTES: usize = 2048;
/// The receive buffer it asks for; the system may give twice as much.
const SLOW_BUFFER_BYTES: u32 = 4096;
/// How often it is looked whether all have everything.
const LOOK: Duration = Duration::from_millis(10);
/// After so long without a delivery another event is published: a gap at the end is told before the next event.
const SILENCE: Duration = Duration::from_millis(250);

/// How fast a subscriber reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    Fast,
    /// With pauses, until nothing more is published.
    Slow,
}

/// What the publisher and the subscribers know of each other.
#[derive(Debug)]
pub(super) struct Topic {
    /// When events are due.
    pub(super) gate: Gate,
    /// What the times in events count from.
    epoch: Instant,
    published: Cell<u64>,
    /// Subscribers that were answered or failed.
    begun: Cell<u32>,
    /// How far each subscriber is that did not fail.
    reached: RefCell<Vec<Option<u64>>>,
    /// Whether slow subscribers read what is there.
    is_over: Cell<bool>,
}

impl Topic {
    pub(super) fn new(gate: Gate, subscribers: u32) -> Self {
        Self {
            gate,
            epoch: Instant::now(),
            published: Cell::new(0),
            begun: Cell::new(0),
            reached: RefCell::new(vec![Some(0); subscribers as usize]),
            is_over: Cell::new(false),
        }
    }

    /// Returns how many deliveries have not come.
    fn owed(&self) -> u64 {
        let published = self.published.get();
        self.reached.borrow().iter().flatten().map(|reached| published.saturating_sub(*reached)).sum()
    }
}

/// Waits until every subscriber was answered, or failed.
pub(super) async fn begun(load: &Load) {
    let all = load.shares.subscribers();
    let answered = async {
        while load.topic.begun.get() < all {
            sleep(LOOK).await;
        }
    };
    if timeout(load.plan.traffic.timeout, answered).await.is_err() {
        let missing = all - load.topic.begun.get();
        load.fail(&Fault::new(Kind::Timeout, "a subscription was not answered"), u64::from(missing));
    }
}

/// Subscribes and follows until it is dropped, or fails.
pub(super) async fn subscribe(load: Rc<Load>, index: usize, pace: Pace) {
    let Err(fault) = follow(&load, index, pace).await;
    if load.topic.reached.borrow()[index] == Some(0) {
        // Perhaps it was not answered; too many begun do no harm.
        load.topic.begun.set(load.topic.begun.get() + 1);
    }
    load.topic.reached.borrow_mut()[index] = None;
    load.fail(&fault, 1);
}

async fn follow(load: &Load, index: usize, pace: Pace) -> Result<std::convert::Infallible, Fault> {
    let mut stream = Stream::open(load, pace).await?;
    load.tally.subscribed();
    load.topic.begun.set(load.topic.begun.get() + 1);
    let mut follower = Follower::default();
    loop {
        for event in stream.events()? {
            match follower.take(&event)? {
                Seen::Delivery(due) => {
                    let latency = load.topic.epoch.elapsed().saturating_sub(due);
                    load.deliver((pace == Pace::Fast).then_some(latency));
                }
                Seen::Gap(missed) => load.tally.dropped(missed, pace == Pace::Slow),
            }
        }
        load.topic.reached.borrow_mut()[index] = Some(follower.reached());
        stream.read(pace == Pace::Slow && !load.topic.is_over.get()).await?;
    }
}

/// An event stream over HTTP/1.1.
struct Stream {
    stream: TcpStream,
    input: Vec<u8>,
    chunks: Chunked,
    parser: Parser,
}

impl Stream {
    /// Sends the request and reads the answer's head.
    async fn open(load: &Load, pace: Pace) -> Result<Self, Fault> {
        let buffer = (pace == Pace::Slow).then_some(SLOW_BUFFER_BYTES);
        let mut stream = connect_with(load.plan.target.address, buffer).await?;
        let (path, host) = (&load.plan.traffic.topic, &load.plan.target.authority);
        let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\naccept: text/event-stream\r\n\r\n");
        stream.write_all(request.as_bytes()).await.map_err(|error| broken(&error))?;
        let mut input = Vec::new();
        let taken = loop {
            receive(&mut stream, &mut input).await?;
            if let Some(taken) = response::parse_stream_head(&input)? {
                break taken;
            }
        };
        input.drain(..taken);
        Ok(Self { stream, input, chunks: Chunked::new(&Limits::default()), parser: Parser::default() })
    }

    async fn read(&mut self, slowly: bool) -> Result<(), Fault> {
        if !slowly {
            return receive(&mut self.stream, &mut self.input).await;
        }
        sleep(SLOW_PAUSE).await;
        match self.stream.read_buf(&mut (&mut self.input).limit(SLOW_BYTES)).await {
            Ok(0) => Err(Fault::new(Kind::Closed, "the server closed an event stream")),
            Ok(_) => Ok(()),
            Err(error) => Err(broken(&error)),
        }
    }

    /// Takes the events that are whole.
    fn events(&mut self) -> Result<Vec<events::Event>, Fault> {
        let mut at = 0;
        loop {
            let step = self.chunks.decode(&self.input[at..]);
            match step.map_err(|reject| Fault::new(Kind::Malformed, format_args!("{reject:?}")))? {
                Step::NeedMore => break,
                Step::Data { consumed, data } => {
                    self.parser.push(&self.input[at..][data])?;
                    at += consumed;
                }
                Step::Done { .. } => return Err(Fault::new(Kind::Closed, "the server ended an event stream")),
            }
        }
        self.input.clear();
        self.parser.drain()
    }
}

/// Publishes whenever an event is due, or so many as there shall be; then waits until all have everything.
pub(super) async fn publish(load: Rc<Load>) {
    let mut publisher = Publisher { load: &load, connection: Connection::new(load.plan.target.address) };
    match load.plan.traffic.events {
        Some(events) => {
            for _ in 0..events {
                if load.topic.gate.is_over() || !publisher.publish(Instant::now()).await {
                    break;
                }
            }
        }
        None => {
            while let Some(due) = load.topic.gate.next().await {
                publisher.publish(due).await;
            }
        }
    }
    load.topic.is_over.set(true);
    publisher.settle().await;
}

struct Publisher<'a> {
    load: &'a Load,
    connection: Connection,
}

impl Publisher<'_> {
    /// Publishes the next event; says whether the server took it.
    async fn publish(&mut self, due: Instant) -> bool {
        let (load, traffic) = (self.load, &self.load.plan.traffic);
        let since = due.saturating_duration_since(load.topic.epoch);
        let data = events::data(load.topic.published.get(), since, traffic.event_bytes);
        let request = format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n{data}",
            traffic.topic,
            load.plan.target.authority,
            data.len()
        );
        let answered = timeout(traffic.timeout, self.connection.ask(request.as_bytes())).await;
        match answered.unwrap_or_else(|_| Err(Load::late())) {
            Ok(200..=299) => {
                load.topic.published.set(load.topic.published.get() + 1);
                load.tally.published();
                return true;
            }
            Ok(status) => load.fail(&Fault::new(Kind::Status, format_args!("publishing was answered {status}")), 1),
            Err(fault) => load.fail(&fault, 1),
        }
        sleep(super::run::RECOVERY).await;
        false
    }

    /// Waits until every subscriber has everything or was told what it does not get.
    async fn settle(&mut self) {
        let deadline = Instant::now() + self.load.plan.traffic.timeout;
        let (mut owed, mut since) = (self.load.topic.owed(), Instant::now());
        while owed > 0 && Instant::now() < deadline {
            sleep(LOOK).await;
            let before = std::mem::replace(&mut owed, self.load.topic.owed());
            if owed != before {
                since = Instant::now();
            } else if since.elapsed() > SILENCE {
                self.publish(Instant::now()).await;
                (owed, since) = (self.load.topic.owed(), Instant::now());
            }
        }
        if owed > 0 {
            self.load.tally.queued(owed);
            self.load.fail(&Fault::new(Kind::Timeout, "deliveries that never came and that no gap told of"), owed);
        }
    }
}
