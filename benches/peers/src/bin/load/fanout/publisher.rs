//! The connection that publishes.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use windlass_cli::client::{
    fault::{Fault, Kind},
    payload, response,
    totals::Totals,
};

use super::{EVENT_BYTES, PATH, link::Link};

/// Publishes events without waiting for the responses.
pub(crate) struct Publisher {
    link: Link,
    head: Vec<u8>,
    out: Vec<u8>,
    input: Vec<u8>,
    published: u64,
    /// Send times of the events without a response, oldest first.
    unanswered: VecDeque<Instant>,
}

impl Publisher {
    pub(crate) fn new(link: Link, host: SocketAddr) -> Self {
        let head = format!(
            "POST {PATH} HTTP/1.1\r\nhost: {host}\r\ncontent-type: text/plain\r\n\
             content-length: {EVENT_BYTES}\r\n\r\n"
        );
        let (out, input, unanswered) = (Vec::new(), Vec::new(), VecDeque::new());
        Self { link, head: head.into(), out, input, published: 0, unanswered }
    }

    /// Sends the next event, which carries the time `sent`.
    pub(crate) fn publish(&mut self, sent: Duration) -> io::Result<()> {
        self.out.clear();
        self.out.extend_from_slice(&self.head);
        self.out.extend_from_slice(&payload::event(self.published, sent, EVENT_BYTES));
        self.published += 1;
        self.unanswered.push_back(Instant::now());
        self.link.write_all(&self.out)
    }

    /// Checks the responses and records their latency.
    pub(crate) fn read(&mut self, totals: &mut Totals) -> Result<(), Fault> {
        self.link.receive(&mut self.input)?;
        let now = Instant::now();
        while let Some(response) = response::parse(&self.input)? {
            if !(200..300).contains(&response.status) {
                let detail = format_args!("publishing failed with status {}", response.status);
                return Err(Fault::new(Kind::Status, detail));
            }
            let used = response.len;
            self.input.drain(..used);
            let Some(sent) = self.unanswered.pop_front() else {
                return Err(Fault::new(Kind::Unsolicited, "response without a request"));
            };
            totals.published += 1;
            totals.publishing.record(now.saturating_duration_since(sent));
        }
        Ok(())
    }

    /// Returns the number of events sent.
    pub(crate) fn published(&self) -> u64 {
        self.published
    }

    /// Returns the number of events without a response.
    pub(crate) fn unanswered(&self) -> u64 {
        self.unanswered.len() as u64
    }
}
