//! A subscription: an event stream over HTTP/1.1, read at once or at a rate.

use std::time::{Duration, Instant};

use bytes::BufMut;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep_until,
};

use super::{
    connect::{broken, connect_with, receive},
    events::{self, Parser},
    run::Load,
    topic::Pace,
};
use crate::client::{
    fault::{Fault, Kind},
    response,
};
use windlass::proto::h1::chunk::Chunked;

/// The receive buffer a slow subscriber asks for; the system may give twice as much.
const SLOW_BUFFER_BYTES: u32 = 4096;
/// What a slow subscriber reads at once: the bytes of so long. Also how far it may be behind its rate and make it up.
const PORTION: Duration = Duration::from_millis(50);

/// Says when so many bytes a second may be read.
#[derive(Debug)]
struct Allowance {
    bytes_per_second: u32,
    next: Instant,
}

impl Allowance {
    fn new(bytes_per_second: u32, now: Instant) -> Self {
        Self { bytes_per_second, next: now }
    }

    /// Returns how much may be read at once.
    fn portion(&self) -> usize {
        (f64::from(self.bytes_per_second) * PORTION.as_secs_f64()) as usize
    }

    /// Takes off what was read.
    fn spend(&mut self, bytes: usize, now: Instant) {
        let worth = Duration::from_secs_f64(bytes as f64 / f64::from(self.bytes_per_second));
        // What was not read while nothing came is not read all at once later.
        let earliest = now.checked_sub(PORTION).unwrap_or(now);
        self.next = self.next.max(earliest) + worth;
    }
}

/// An event stream.
pub(super) struct Stream {
    stream: TcpStream,
    allowance: Allowance,
    input: Vec<u8>,
    chunks: Chunked,
    data: Vec<u8>,
    parser: Parser,
}

impl Stream {
    /// Sends the request and reads the answer's head.
    pub(super) async fn open(load: &Load, pace: Pace) -> Result<Self, Fault> {
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
        let allowance = Allowance::new(load.plan.traffic.slow_rate, Instant::now());
        Ok(Self {
            stream,
            allowance,
            input,
            chunks: response::chunks(),
            data: Vec::new(),
            parser: Parser::default(),
        })
    }

    /// Reads what is there, or as much of it as a slow subscriber may.
    pub(super) async fn read(&mut self, slowly: bool) -> Result<(), Fault> {
        if !slowly {
            return receive(&mut self.stream, &mut self.input).await;
        }
        sleep_until(self.allowance.next.into()).await;
        match self.stream.read_buf(&mut (&mut self.input).limit(self.allowance.portion())).await {
            Ok(0) => Err(Fault::new(Kind::Closed, "the server closed an event stream")),
            Ok(bytes) => {
                self.allowance.spend(bytes, Instant::now());
                Ok(())
            }
            Err(error) => Err(broken(&error)),
        }
    }

    /// Takes the events that are whole.
    pub(super) fn events(&mut self) -> Result<Vec<events::Event>, Fault> {
        self.data.clear();
        if response::decode_chunks(&mut self.chunks, &self.input, &mut self.data)? {
            return Err(Fault::new(Kind::Closed, "the server ended an event stream"));
        }
        self.parser.push(&self.data)?;
        self.input.clear();
        self.parser.drain()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_however_late_the_reader_wakes() {
        let start = Instant::now();
        let mut allowance = Allowance::new(20_000, start);
        let (mut now, mut read) = (start, 0);
        while now < start + Duration::from_secs(10) {
            // It wakes a little late each time.
            now = allowance.next.max(now) + Duration::from_millis(3);
            read += allowance.portion();
            allowance.spend(allowance.portion(), now);
        }
        assert!((198_000..=203_000).contains(&read), "{read} bytes in 10 s");
    }

    #[test]
    fn what_was_not_read_in_time_is_not_made_up() {
        let start = Instant::now();
        let mut allowance = Allowance::new(20_000, start);
        let later = start + Duration::from_secs(60);
        allowance.spend(1000, later);
        allowance.spend(1000, later);
        assert!(allowance.next > later, "a minute of silence allows two portions at most");
    }
}
