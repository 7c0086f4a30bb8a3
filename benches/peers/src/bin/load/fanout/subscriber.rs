//! Subscriptions on one connection: receives chunks, frames or messages, and checks the events.

use std::{
    borrow::Cow,
    io,
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

use super::{EVENT_BYTES, Transport, link::Link, multiplexed};

/// Maximum size of buffered input, and so of a message.
const MAX_INPUT_BYTES: usize = 64 * 1024;

/// A connection with one subscription, or with several over HTTP/2.
pub(crate) struct Subscriber {
    link: Link,
    transport: Transport,
    /// Number of subscriptions that were answered.
    answered: usize,
    input: Vec<u8>,
    subscriptions: Vec<Subscription>,
}

/// Subscription and its position in the event sequence.
struct Subscription {
    events: EventReader,
    checks: Checks,
}

impl Subscriber {
    /// Sends the requests that subscribe.
    pub(crate) fn new(mut link: Link, transport: Transport, host: SocketAddr) -> io::Result<Self> {
        link.write_all(&transport.request(host))?;
        let subscriptions = (0..transport.subscriptions()).map(|_| Subscription::new()).collect();
        Ok(Self { link, transport, answered: 0, input: Vec::new(), subscriptions })
    }

    /// Reads the available bytes and checks every complete event.
    pub(crate) fn read(&mut self, epoch: Instant, totals: &mut Totals) -> Result<(), Fault> {
        self.link.receive(&mut self.input)?;
        let now = Instant::now().saturating_duration_since(epoch);
        if let Transport::Multiplexed { .. } = self.transport {
            return self.check_frames(now, totals);
        }
        if !self.is_answered() {
            let Some(used) = self.transport.parse_head(&self.input)? else { return Ok(()) };
            self.answered = 1;
            totals.subscribers += 1;
            self.input.drain(..used);
        }
        match self.transport {
            Transport::WebSocket => self.check_messages(now, totals),
            Transport::EventStream | Transport::Multiplexed { .. } => {
                self.subscriptions[0].events.push(&self.input)?;
                self.input.clear();
                self.subscriptions[0].check_events(now, totals)
            }
        }
    }

    fn check_frames(&mut self, now: Duration, totals: &mut Totals) -> Result<(), Fault> {
        let (mut at, mut replies) = (0, Vec::new());
        while let Some((used, received)) = multiplexed::parse(&self.input[at..], &mut replies)? {
            at += used;
            match received {
                multiplexed::Received::Head => {
                    self.answered += 1;
                    totals.subscribers += 1;
                }
                multiplexed::Received::Data(index, data) => {
                    let unknown = || Fault::new(Kind::Unsolicited, "data on a stream without a request");
                    let subscription = self.subscriptions.get_mut(index).ok_or_else(unknown)?;
                    subscription.events.push_data(data)?;
                    subscription.check_events(now, totals)?;
                }
                multiplexed::Received::Other => {}
            }
        }
        self.input.drain(..at);
        self.answer(&replies)
    }

    fn check_messages(&mut self, now: Duration, totals: &mut Totals) -> Result<(), Fault> {
        let (mut at, mut pongs) = (0, Vec::new());
        while let Some(message) = frames::parse(&self.input[at..], &mut pongs)? {
            let event = Event { data: Cow::Borrowed(data_of(&message.payload)), ..Event::default() };
            self.subscriptions[0].checks.check(&event, now, totals)?;
            at += message.used;
        }
        self.input.drain(..at);
        if self.input.len() > MAX_INPUT_BYTES {
            return Err(Fault::new(Kind::Malformed, "message exceeds 64 KiB"));
        }
        self.answer(&pongs)
    }

    fn answer(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let write_fault = |error| Fault::new(Kind::Io, format_args!("write failed: {error}"));
        self.link.write_all(bytes).map_err(write_fault)
    }

    /// Returns the socket.
    pub(crate) fn stream(&self) -> &TcpStream {
        self.link.stream()
    }

    /// Returns `true` if all subscriptions have been answered.
    pub(crate) fn is_answered(&self) -> bool {
        self.answered == self.subscriptions.len()
    }

    /// Returns how many of `published` events have not been received, of all subscriptions.
    pub(crate) fn outstanding(&self, published: u64) -> u64 {
        let next = self.subscriptions.iter().map(|subscription| subscription.checks.follower.next_number());
        next.map(|next| published.saturating_sub(next)).sum()
    }

    /// Returns the number of received events of each subscription.
    pub(crate) fn received(&self) -> impl Iterator<Item = u64> + Clone {
        self.subscriptions.iter().map(|subscription| subscription.checks.received)
    }
}

impl Subscription {
    fn new() -> Self {
        let checks = Checks { follower: Follower::new(EVENT_BYTES), received: 0 };
        Self { events: EventReader::default(), checks }
    }

    fn check_events(&mut self, now: Duration, totals: &mut Totals) -> Result<(), Fault> {
        while let Some(event) = self.events.next_event() {
            // Other servers choose ids as they like. The numbers in the data show the order.
            self.checks.check(&Event { id: b"", ..event }, now, totals)?;
        }
        Ok(())
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
