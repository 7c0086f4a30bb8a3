//! The connection that publishes.

use std::{
    io::{self, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use super::{PATH, event, subscriber::receive};
use crate::{
    fault::{Fault, Kind},
    response,
};

/// Publishes one event after the other and does not wait for the answers.
pub(crate) struct Publisher {
    stream: TcpStream,
    head: Vec<u8>,
    out: Vec<u8>,
    input: Vec<u8>,
    published: u64,
    answered: u64,
}

impl Publisher {
    pub(crate) fn new(stream: TcpStream, host: SocketAddr) -> Self {
        let head = format!(
            "POST {PATH} HTTP/1.1\r\nhost: {host}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n",
            event::EVENT_BYTES
        );
        let (out, input) = (Vec::new(), Vec::new());
        Self { stream, head: head.into(), out, input, published: 0, answered: 0 }
    }

    /// Sends the next event; `sent` is the time it carries.
    pub(crate) fn publish(&mut self, sent: Duration) -> io::Result<()> {
        self.out.clear();
        self.out.extend_from_slice(&self.head);
        self.out.extend_from_slice(&event::data(self.published, sent));
        self.published += 1;
        self.stream.write_all(&self.out)
    }

    /// Checks that what was published was taken.
    pub(crate) fn read(&mut self) -> Result<(), Fault> {
        receive(&self.stream, &mut self.input)?;
        while let Some(response) = response::parse(&self.input)? {
            if !(200..300).contains(&response.status) {
                return Err(Fault::new(Kind::Status, format_args!("publishing was answered {}", response.status)));
            }
            let taken = response.taken;
            self.input.drain(..taken);
            self.answered += 1;
        }
        Ok(())
    }

    /// Returns the number of events sent.
    pub(crate) fn published(&self) -> u64 {
        self.published
    }

    /// Returns the number of events that no answer came for.
    pub(crate) fn unanswered(&self) -> u64 {
        self.published - self.answered
    }
}
