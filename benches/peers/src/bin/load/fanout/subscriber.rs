//! One subscription: receives chunks or frames and checks the events.

use std::{
    borrow::Cow,
    io::{self, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use windlass_cli::client::{
    events::{Event, EventReader},
    fault::{Fault, Kind},
    follower::{Follower, Received},
    frames,
    totals::Totals,
};

use super::{EVENT_BYTES, Transport, receive::receive};

/// Maximum size of buffered input, and so of a message.
const MAX_INPUT_BYTES: usize = 64 * 1024;

/// Subscription and its position in the event sequence.
pub(crate) struct Subscriber {
    stream: TcpStream,
    transport: Transport,
    has_head: bool,
    input: Vec<u8>,
    events: EventReader,
    checks: Checks,
}

impl Subscriber {
    /// Sends the request that subscribes.
    pub(crate) fn new(mut stream: TcpStream, transport: Transport, host: SocketAddr) -> io::Result<Self> {
        stream.write_all(&transport.request(host))?;
        let checks = Checks { follower: Follower::new(EVENT_BYTES), received: 0 };
        let (input, events) = (Vec::new(), EventReader::default());
        Ok(Self { stream, transport, has_head: false, input, events, checks })
    }

    /// Reads the available bytes and checks every complete event.
    pub(crate) fn read(&mut self, epoch: Instant, totals: &mut Totals) -> Result<(), Fault> {
        receive(&self.stream, &mut self.input)?;
        let now = Instant::now().saturating_duration_since(epoch);
        if !self.has_head {
            let Some(used) = self.transport.parse_head(&self.input)? else { return Ok(()) };
            self.has_head = true;
            totals.subscribers += 1;
            self.input.drain(..used);
        }
        match self.transport {
            Transport::EventStream => self.check_events(now, totals),
            Transport::WebSocket => self.check_messages(now, totals),
        }
    }

    fn check_events(&mut self, now: Duration, totals: &mut Totals) -> Result<(), Fault> {
        self.events.push(&self.input)?;
        self.input.clear();
        while let Some(event) = self.events.next_event() {
            // Other servers choose ids as they like. The numbers in the data show the order.
            self.checks.check(&Event { id: b"", ..event }, now, totals)?;
        }
        Ok(())
    }

    fn check_messages(&mut self, now: Duration, totals: &mut Totals) -> Result<(), Fault> {
        let (mut at, mut pongs) = (0, Vec::new());
        while let Some(message) = frames::parse(&self.input[at..], &mut pongs)? {
            let event = Event { data: Cow::Borrowed(data_of(&message.payload)), ..Event::default() };
            self.checks.check(&event, now, totals)?;
            at += message.used;
        }
        self.input.drain(..at);
        if self.input.len() > MAX_INPUT_BYTES {
            return Err(Fault::new(Kind::Malformed, "message exceeds 64 KiB"));
        }
        let write_fault = |error| Fault::new(Kind::Io, format_args!("write failed: {error}"));
        self.stream.write_all(&pongs).map_err(write_fault)
    }

    /// Returns the socket.
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Returns `true` if the subscription has been answered.
    pub(crate) fn has_head(&self) -> bool {
        self.has_head
    }

    /// Returns the number of the next expected event.
    pub(crate) fn next_expected(&self) -> u64 {
        self.checks.follower.next_number()
    }

    /// Returns the number of received events.
    pub(crate) fn received(&self) -> u64 {
        self.checks.received
    }
}

/// Checks of the received events.
struct Checks {
    follower: Follower,
    received: u64,
}

impl Checks {
    /// Checks and counts an event. An event in the wrong order is a fault, after which the load continues.
    fn check(&mut self, event: &Event<'_>, now: Duration, totals: &mut Totals) -> Result<(), Fault> {
        let expected = self.follower.next_number();
        match self.follower.check(event) {
            Ok(Received::Event(sent)) => {
                self.received += 1;
                totals.delivered(Some(now.saturating_sub(sent)));
            }
            Ok(Received::Gap(events)) => {
                let detail = format_args!("gap of {events} events: the server must not drop any");
                return Err(Fault::new(Kind::Body, detail));
            }
            Err(fault) if self.follower.next_number() != expected => totals.failed(&fault, 1),
            Err(fault) => return Err(fault),
        }
        Ok(())
    }
}

/// Returns the data of an event received as a text message: all of it, or the last value of a JSON object.
fn data_of(message: &[u8]) -> &[u8] {
    let object = message.strip_prefix(b"{").and_then(|object| object.strip_suffix(b"\"}"));
    let value = object.and_then(|object| {
        let (names, data) = object.split_at_checked(object.len().checked_sub(EVENT_BYTES)?)?;
        names.ends_with(b"\"data\":\"").then_some(data)
    });
    value.unwrap_or(message)
}

#[cfg(test)]
mod tests {
    use windlass_cli::client::payload;

    use super::*;

    #[test]
    fn a_message_is_the_data_or_an_object_that_ends_with_the_data() {
        let data = payload::event(7, Duration::from_nanos(5), EVENT_BYTES);
        assert_eq!(data_of(&data), data);
        let object = [b"{\"id\":\"1-7\",\"data\":\"".as_slice(), &data, b"\"}"].concat();
        assert_eq!(data_of(&object), data);
        for other in [&object[1..], b"{\"id\":\"1-7\",\"gap\":{\"from\":1,\"to\":2}}", b""] {
            assert_eq!(data_of(other), other);
        }
    }
}
