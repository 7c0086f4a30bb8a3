//! The connection that publishes.

use std::{
    collections::VecDeque,
    io::{self, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use super::{PATH, event, subscriber::receive};
use crate::{
    fault::{Fault, Kind},
    response,
    tally::Tally,
};

/// Publishes one event after the other and does not wait for the answers.
pub(crate) struct Publisher {
    stream: TcpStream,
    head: Vec<u8>,
    out: Vec<u8>,
    input: Vec<u8>,
    published: u64,
    /// When what was not answered yet was sent.
    unanswered: VecDeque<Instant>,
}

impl Publisher {
    pub(crate) fn new(stream: TcpStream, host: SocketAddr) -> Self {
        let head = format!(
            "POST {PATH} HTTP/1.1\r\nhost: {host}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n",
            event::EVENT_BYTES
        );
        let (out, input, unanswered) = (Vec::new(), Vec::new(), VecDeque::new());
        Self { stream, head: head.into(), out, input, published: 0, unanswered }
    }

    /// Sends the next event; `sent` is the time it carries.
    pub(crate) fn publish(&mut self, sent: Duration) -> io::Result<()> {
        self.out.clear();
        self.out.extend_from_slice(&self.head);
        self.out.extend_from_slice(&event::data(self.published, sent));
        self.published += 1;
        self.unanswered.push_back(Instant::now());
        self.stream.write_all(&self.out)
    }

    /// Checks that what was published was taken, and notes how long that took.
    pub(crate) fn read(&mut self, tally: &mut Tally) -> Result<(), Fault> {
        receive(&self.stream, &mut self.input)?;
        let now = Instant::now();
        while let Some(response) = response::parse(&self.input)? {
            if !(200..300).contains(&response.status) {
                return Err(Fault::new(
                    Kind::Status,
                    format_args!("publishing was answered {}", response.status),
                ));
            }
            let taken = response.len;
            self.input.drain(..taken);
            let Some(sent) = self.unanswered.pop_front() else {
                return Err(Fault::new(Kind::Unsolicited, "an answer to no publishing"));
            };
            tally.published(now.saturating_duration_since(sent));
        }
        Ok(())
    }

    /// Returns the number of events sent.
    pub(crate) fn published(&self) -> u64 {
        self.published
    }

    /// Returns the number of events that no answer came for.
    pub(crate) fn unanswered(&self) -> u64 {
        self.unanswered.len() as u64
    }
}
