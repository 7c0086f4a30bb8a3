//! Fan-out: many subscribers of one topic, one publisher, and every event checked at every subscriber.
//!
//! One thread and one epoll drive everything, as in the other modes. Events are published on a schedule that
//! waits for neither responses nor deliveries. Each event carries its number and its send time. A *request*
//! of the report is a delivery. The latency of publishing is reported separately (`publish_p50_us`,
//! `publish_p99_us`).
//!
//! It must not know the other modes.

mod link;
mod multiplexed;
mod publisher;
mod stalled;
mod subscriber;
mod transport;

use std::{
    io,
    net::TcpStream,
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

use crate::{options::Options, refused, setup};
use link::Connector;
use publisher::Publisher;
use subscriber::Subscriber;
pub(crate) use transport::Transport;

/// Path of the topic for both subscribers and the publisher.
const PATH: &str = windlass_peers::workload::TOPIC;
/// Size of an event's data.
const EVENT_BYTES: usize = 256;
/// Maximum events of one epoll wait.
const EVENTS: usize = 256;
/// Maximum duration of one epoll wait, so that the end of the run is noticed.
const TICK: Duration = Duration::from_millis(50);

/// Subscribes, publishes for `--duration`, then waits until every subscriber has received every event.
pub(crate) fn run(options: &Options, transport: Transport, subscribers: u32) -> io::Result<Report> {
    let stalled = stalled::subscribe(options, transport)?;
    let mut load = FanOut::new(options, transport, subscribers as usize / transport.subscriptions())?;
    load.wait_for_subscriptions()?;
    setup::pause(options, subscribers as usize)?;
    let start = Instant::now();
    load.publish_until(start, start + options.duration)?;
    load.drain()?;
    stalled::check(&stalled, &mut load.totals);
    let counts = load.subscribers.iter().flat_map(Subscriber::received);
    let per_connection = counts.clone().min().zip(counts.max());
    Ok(Report { elapsed: start.elapsed(), totals: load.totals, per_connection })
}

struct FanOut<'a> {
    options: &'a Options,
    epoll: OwnedFd,
    subscribers: Vec<Subscriber>,
    publisher: Publisher,
    totals: Totals,
    /// Start of the time scale of the events.
    epoch: Instant,
}

impl<'a> FanOut<'a> {
    fn new(options: &'a Options, transport: Transport, connections: usize) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let register = |stream: &TcpStream, index: usize| {
            epoll::add(&epoll, stream, epoll::EventData::new_u64(index as u64), epoll::EventFlags::IN)
        };
        let connector = Connector::new(options)?;
        let open = |index: usize| {
            let (link, host) = connector.open(index)?;
            register(link.stream(), index)?;
            Subscriber::new(link, transport, host)
        };
        let subscribers = (0..connections).map(open).collect::<io::Result<Vec<_>>>()?;
        let (link, host) = connector.open(0)?;
        register(link.stream(), subscribers.len())?;
        let publisher = Publisher::new(link, host);
        let (totals, epoch) = (Totals::default(), Instant::now());
        Ok(Self { options, epoll, subscribers, publisher, totals, epoch })
    }

    /// Waits until the server has answered every subscription.
    fn wait_for_subscriptions(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + self.options.timeout;
        while !self.subscribers.iter().all(Subscriber::is_answered) {
            self.poll(deadline)?;
            if Instant::now() > deadline || self.totals.errors() > 0 {
                return Err(refused(Fault::new(Kind::Timeout, "subscriptions were not answered in time")));
            }
        }
        Ok(())
    }

    fn publish_until(&mut self, start: Instant, end: Instant) -> io::Result<()> {
        let rate = self.options.rate.unwrap_or(1.0);
        let mut arrivals = Arrivals::new(start, rate);
        while Instant::now() < end && self.totals.errors() < MAX_ERRORS {
            let now = Instant::now().min(end);
            while let Some(due) = arrivals.pop(now) {
                let sent = Instant::now();
                self.totals.late.record(sent.saturating_duration_since(due));
                self.publisher.publish(sent.saturating_duration_since(self.epoch))?;
            }
            self.poll(arrivals.next().min(end))?;
        }
        Ok(())
    }

    /// Waits for outstanding deliveries and responses.
    fn drain(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + self.options.timeout;
        while self.outstanding() > 0 && Instant::now() < deadline && self.totals.errors() < MAX_ERRORS {
            self.poll(deadline)?;
        }
        if self.outstanding() > 0 {
            let fault = Fault::new(Kind::Timeout, "deliveries or publish responses missing at the end");
            self.totals.failed(&fault, self.outstanding());
        }
        Ok(())
    }

    /// Returns the number of outstanding deliveries and publish responses.
    fn outstanding(&self) -> u64 {
        let published = self.publisher.published();
        let deliveries = self.subscribers.iter().map(|subscriber| subscriber.outstanding(published));
        deliveries.sum::<u64>() + self.publisher.unanswered()
    }

    /// Waits until `until` at the latest, for at most one tick, and processes the sockets that are ready.
    fn poll(&mut self, until: Instant) -> io::Result<()> {
        let wait = until.saturating_duration_since(Instant::now()).min(TICK);
        let wait = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) };
        let mut events = Vec::with_capacity(EVENTS);
        match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            self.ready(event.data.u64() as usize)?;
        }
        Ok(())
    }

    fn ready(&mut self, index: usize) -> io::Result<()> {
        let Some(subscriber) = self.subscribers.get_mut(index) else {
            return self.publisher.read(&mut self.totals).map_err(io::Error::other);
        };
        if let Err(fault) = subscriber.read(self.epoch, &mut self.totals) {
            self.totals.failed(&fault, 1);
            epoll::delete(&self.epoll, subscriber.stream())?;
        }
        Ok(())
    }
}
