//! Fan-out: many subscribers of one topic, one publisher, every event checked at every subscriber.
//!
//! One thread and one epoll for all, as in the other modes. Events are published on a schedule that waits neither for
//! the answers nor for the deliveries; each carries its number and the time it was sent at. A *request* of the tally
//! is a delivery; how long the answers to publishing took is reported apart (`publish_p50_us`, `publish_p99_us`).

mod event;
mod form;
mod publisher;
mod stalled;
mod subscriber;

use std::{
    io,
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use rustix::{
    buffer::spare_capacity,
    event::{Timespec, epoll},
    fd::OwnedFd,
};

use crate::{
    fault::{Fault, Kind},
    options::Options,
    pacing::Arrivals,
    refused, setup,
    tally::Tally,
};
pub(crate) use form::Form;
use publisher::Publisher;
use subscriber::Subscriber;

/// The topic, as both a subscriber and the publisher address it.
const PATH: &str = windlass_peers::workload::TOPIC;
/// Events of the kernel taken at once.
const EVENTS: usize = 256;
/// Longest wait, so that the end of the run is noticed.
const TICK: Duration = Duration::from_millis(50);

/// Subscribes, publishes for `--duration`, then waits until every subscriber has everything.
pub(crate) fn run(options: &Options, form: Form, subscribers: u32) -> io::Result<Tally> {
    let stalled = stalled::subscribe(options, form)?;
    let mut load = FanOut::new(options, form, subscribers as usize)?;
    load.await_heads()?;
    setup::pause(options, load.subscribers.len())?;
    let start = Instant::now();
    load.publish_until(start, start + options.duration)?;
    load.drain()?;
    stalled::check(&stalled, &mut load.tally);
    load.tally.elapsed = start.elapsed();
    Ok(load.finish())
}

struct FanOut<'a> {
    options: &'a Options,
    epoll: OwnedFd,
    subscribers: Vec<Subscriber>,
    publisher: Publisher,
    tally: Tally,
    /// What the times in events count from.
    epoch: Instant,
}

impl<'a> FanOut<'a> {
    fn new(options: &'a Options, form: Form, subscribers: usize) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let register = |stream: &TcpStream, index: usize| {
            epoll::add(&epoll, stream, epoll::EventData::new_u64(index as u64), epoll::EventFlags::IN)
        };
        let open = |index: usize| {
            let (stream, host) = connect(options, index)?;
            register(&stream, index)?;
            Subscriber::new(stream, form, host)
        };
        let subscribers = (0..subscribers).map(open).collect::<io::Result<Vec<_>>>()?;
        let (stream, host) = connect(options, 0)?;
        register(&stream, subscribers.len())?;
        let publisher = Publisher::new(stream, host);
        Ok(Self { options, epoll, subscribers, publisher, tally: Tally::new(), epoch: Instant::now() })
    }

    /// Waits until the server has answered every subscription.
    fn await_heads(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + self.options.timeout;
        while !self.subscribers.iter().all(Subscriber::has_head) {
            self.turn(deadline)?;
            if Instant::now() > deadline || self.tally.errors() > 0 {
                return Err(refused(Fault::new(Kind::Timeout, "not every subscription was answered")));
            }
        }
        Ok(())
    }

    fn publish_until(&mut self, start: Instant, end: Instant) -> io::Result<()> {
        let rate = self.options.rate.unwrap_or(1.0);
        let mut arrivals = Arrivals::new(start, rate);
        while Instant::now() < end && !self.tally.hopeless() {
            let now = Instant::now().min(end);
            while let Some(due) = arrivals.pop(now) {
                let sent = Instant::now();
                self.tally.sent_late(sent.saturating_duration_since(due));
                self.publisher.publish(sent.saturating_duration_since(self.epoch))?;
            }
            self.turn(arrivals.next().min(end))?;
        }
        Ok(())
    }

    /// Waits for what is still on its way.
    fn drain(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + self.options.timeout;
        while self.owed() > 0 && Instant::now() < deadline && !self.tally.hopeless() {
            self.turn(deadline)?;
        }
        if self.owed() > 0 {
            let fault = Fault::new(Kind::Timeout, "deliveries or answers to publishing that never came");
            self.tally.failed(&fault, self.owed());
        }
        Ok(())
    }

    /// Deliveries and answers that have not come.
    fn owed(&self) -> u64 {
        let published = self.publisher.published();
        let deliveries =
            self.subscribers.iter().map(|subscriber| published.saturating_sub(subscriber.reached()));
        deliveries.sum::<u64>() + self.publisher.unanswered()
    }

    /// Waits for bytes until `until` or the next tick and checks them.
    fn turn(&mut self, until: Instant) -> io::Result<()> {
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
            return self.publisher.read(&mut self.tally).map_err(io::Error::other);
        };
        if let Err(fault) = subscriber.read(self.epoch, &mut self.tally) {
            self.tally.failed(&fault, 1);
            epoll::delete(&self.epoll, subscriber.stream())?;
        }
        Ok(())
    }

    fn finish(mut self) -> Tally {
        let counts = self.subscribers.iter().map(Subscriber::received);
        self.tally.per_connection = (counts.clone().min().unwrap_or(0), counts.max().unwrap_or(0));
        self.tally
    }
}

fn connect(options: &Options, index: usize) -> io::Result<(TcpStream, SocketAddr)> {
    let target = options.target_of(index);
    let stream = TcpStream::connect_timeout(&target, options.timeout)?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(options.timeout))?;
    Ok((stream, target))
}
