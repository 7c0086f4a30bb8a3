//! Subscribers of the topic: event streams over HTTP/1.1, read at once or at a limited rate.

use std::{
    convert::Infallible,
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::BufMut;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep_until,
};

use super::{
    connect::{connect_with, io_fault, receive},
    run::Run,
    topic::Pace,
};
use crate::client::{
    events::EventReader,
    fault::{Fault, Kind},
    follower::{Follower, Received},
    response,
};

/// Size of the receive buffer that a slow subscriber requests. The kernel may double it.
const SLOW_BUFFER_BYTES: u32 = 4096;
/// Time at the limited rate that one read of a slow subscriber may use. Also the longest delay that the
/// subscriber makes up for.
const PORTION: Duration = Duration::from_millis(50);

/// Subscribes and receives events until it is dropped or fails.
pub(super) async fn subscribe(run: Rc<Run>, index: usize, pace: Pace) {
    let opened = Subscription::open(&run, pace).await;
    run.topic.count_answered();
    let result = match opened {
        Ok(subscription) => follow(&run, index, pace, subscription).await,
        Err(fault) => Err(fault),
    };
    let Err(fault) = result;
    run.topic.set_received(index, None);
    run.count_fault(&fault, 1);
}

/// Receives and checks events until a fault.
async fn follow(
    run: &Run,
    index: usize,
    pace: Pace,
    mut subscription: Subscription,
) -> Result<Infallible, Fault> {
    run.tally.update(|totals| totals.subscribers += 1);
    let mut follower = Follower::new(run.plan.traffic.event_bytes as usize);
    loop {
        while let Some(event) = subscription.events.next_event() {
            match follower.check(&event)? {
                Received::Event(due) => {
                    let latency = run.topic.time(Instant::now()).saturating_sub(due);
                    run.count_delivery((pace == Pace::Fast).then_some(latency));
                }
                Received::Gap(missing) if pace == Pace::Fast => {
                    run.tally.update(|totals| totals.dropped_fast += missing);
                }
                Received::Gap(missing) => run.tally.update(|totals| totals.dropped_slow += missing),
            }
        }
        run.topic.set_received(index, Some(follower.next_number()));
        let pace = if run.topic.is_over() { Pace::Fast } else { pace };
        subscription.receive(pace).await?;
    }
}

/// Event stream of a subscriber.
struct Subscription {
    stream: TcpStream,
    allowance: Allowance,
    input: Vec<u8>,
    events: EventReader,
}

impl Subscription {
    /// Sends the request and receives the head of the response.
    async fn open(run: &Run, pace: Pace) -> Result<Self, Fault> {
        let buffer = (pace == Pace::Slow).then_some(SLOW_BUFFER_BYTES);
        let mut stream = connect_with(run.plan.target.address, buffer).await?;
        let (path, host) = (&run.plan.traffic.topic, &run.plan.target.authority);
        let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\naccept: text/event-stream\r\n\r\n");
        stream.write_all(request.as_bytes()).await.map_err(|error| io_fault(&error))?;
        let mut input = Vec::new();
        let used = loop {
            receive(&mut stream, &mut input).await?;
            if let Some(used) = response::parse_stream_head(&input)? {
                break used;
            }
        };
        let mut events = EventReader::default();
        events.push(&input[used..])?;
        input.clear();
        let allowance = Allowance::new(run.plan.traffic.slow_rate, Instant::now());
        Ok(Self { stream, allowance, input, events })
    }

    /// Waits for input: all of it, or as much as the rate of a slow subscriber permits.
    async fn receive(&mut self, pace: Pace) -> Result<(), Fault> {
        match pace {
            Pace::Fast => receive(&mut self.stream, &mut self.input).await?,
            Pace::Slow => self.receive_slowly().await?,
        }
        self.events.push(&self.input)?;
        self.input.clear();
        Ok(())
    }

    async fn receive_slowly(&mut self) -> Result<(), Fault> {
        sleep_until(self.allowance.next.into()).await;
        match self.stream.read_buf(&mut (&mut self.input).limit(self.allowance.portion())).await {
            Ok(0) => Err(Fault::new(Kind::Closed, "server closed the event stream")),
            Ok(bytes) => {
                self.allowance.spend(bytes, Instant::now());
                Ok(())
            }
            Err(error) => Err(io_fault(&error)),
        }
    }
}

/// Rate limit of a reader.
#[derive(Debug)]
struct Allowance {
    bytes_per_second: u32,
    /// Time of the next read.
    next: Instant,
}

impl Allowance {
    fn new(bytes_per_second: u32, now: Instant) -> Self {
        Self { bytes_per_second, next: now }
    }

    /// Returns the number of bytes that one read may take.
    fn portion(&self) -> usize {
        (f64::from(self.bytes_per_second) * PORTION.as_secs_f64()) as usize
    }

    /// Delays the next read by the time that `bytes` take at the limited rate.
    fn spend(&mut self, bytes: usize, now: Instant) {
        let cost = Duration::from_secs_f64(bytes as f64 / f64::from(self.bytes_per_second));
        // A longer silence is not made up for.
        let earliest = now.checked_sub(PORTION).unwrap_or(now);
        self.next = self.next.max(earliest) + cost;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_wake_ups_do_not_reduce_the_rate() {
        let start = Instant::now();
        let mut allowance = Allowance::new(20_000, start);
        let (mut now, mut read) = (start, 0);
        while now < start + Duration::from_secs(10) {
            // The reader wakes a little late each time.
            now = allowance.next.max(now) + Duration::from_millis(3);
            read += allowance.portion();
            allowance.spend(allowance.portion(), now);
        }
        assert!((198_000..=203_000).contains(&read), "{read} bytes in 10 s");
    }

    #[test]
    fn a_long_silence_is_not_made_up_for() {
        let start = Instant::now();
        let mut allowance = Allowance::new(20_000, start);
        let later = start + Duration::from_secs(60);
        allowance.spend(1000, later);
        allowance.spend(1000, later);
        assert!(allowance.next > later, "a minute of silence permits two portions at most");
    }
}
