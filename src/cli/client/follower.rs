//! Order of the events of one subscriber: each event exactly once and in order, or a gap that reports those
//! that are missing.

use std::time::Duration;

use super::{
    events::Event,
    fault::{Fault, Kind},
    payload,
};

/// Event that a subscriber received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// A published event, with the time it carries.
    Event(Duration),
    /// A report that this many events are missing.
    Gap(u64),
}

/// Position of one subscriber in the sequence of published events.
#[derive(Debug)]
pub struct Follower {
    /// Size of the data of an event.
    event_bytes: usize,
    /// Number of the next event. The events before it were received or reported missing.
    next: u64,
    /// Number in the id of the last event.
    last_id: Option<u64>,
}

impl Follower {
    /// Starts at the first event. The data of each event has `event_bytes` bytes.
    pub fn new(event_bytes: usize) -> Self {
        Self { event_bytes, next: 0, last_id: None }
    }

    /// Returns the number of the next event: that of the events received or reported missing.
    pub fn next_number(&self) -> u64 {
        self.next
    }

    /// Checks the next event of the stream, which may be a `gap` event.
    ///
    /// # Errors
    ///
    /// The event is not the next one (events are missing without a gap, or an event arrived twice), its data
    /// is wrong, or a gap does not start after the last event. After an event out of order the follower
    /// continues behind it; after wrong data or a wrong gap its position stays.
    pub fn check(&mut self, event: &Event<'_>) -> Result<Received, Fault> {
        if event.name == b"gap" {
            return self.check_gap(event);
        }
        let found = payload::parse_event(&event.data, self.event_bytes);
        let (number, sent) = found.ok_or_else(|| unexpected(event))?;
        let (id, expected) =
            (number_of(event.id), std::mem::replace(&mut self.next, number.saturating_add(1)));
        let last_id = std::mem::replace(&mut self.last_id, id);
        if number != expected {
            self.next = self.next.max(expected);
            return Err(wrong(format_args!(
                "received event {number}, expected event {expected} or a gap event"
            )));
        }
        match (last_id, id) {
            (Some(last), Some(id)) if id != last + 1 => Err(wrong(format_args!(
                "the event with id {id} follows id {last} without a gap event between them"
            ))),
            _ => Ok(Received::Event(sent)),
        }
    }

    fn check_gap(&mut self, event: &Event<'_>) -> Result<Received, Fault> {
        let gap: serde_json::Value = serde_json::from_slice(&event.data).map_err(|_| unexpected(event))?;
        let end = |name: &str| number_of(gap.get(name)?.as_str()?.as_bytes());
        let range = end("from").zip(end("to")).filter(|(from, to)| from <= to);
        let (from, to) = range.ok_or_else(|| unexpected(event))?;
        if let Some(last) = self.last_id
            && from != last + 1
        {
            return Err(wrong(format_args!(
                "the gap event starts at id {from}, but the last received id is {last}"
            )));
        }
        let missing = to - from + 1;
        self.next += missing;
        self.last_id = Some(to);
        Ok(Received::Gap(missing))
    }
}

/// Returns the number of the event in an id such as `1f-7`: 7.
fn number_of(id: &[u8]) -> Option<u64> {
    let id = std::str::from_utf8(id).ok()?;
    id.rsplit_once('-').map_or(id, |(_, number)| number).parse().ok()
}

fn unexpected(event: &Event<'_>) -> Fault {
    let start = &event.data[..event.data.len().min(100)];
    let (name, start) = (event.name.escape_ascii(), start.escape_ascii());
    wrong(format_args!("received an unexpected event: name '{name}', data '{start}'"))
}

fn wrong(detail: impl std::fmt::Display) -> Fault {
    Fault::new(Kind::Body, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: usize = 40;

    /// Event as a text of its id, name and data.
    struct Owned(String, &'static str, Vec<u8>);

    impl Owned {
        fn event(id: u64, number: u64) -> Self {
            Self(format!("e-{id}"), "", payload::event(number, Duration::from_nanos(5), BYTES))
        }

        fn gap(from: u64, to: u64) -> Self {
            let data = format!(r#"{{"from":"e-{from}","to":"e-{to}"}}"#);
            Self(format!("e-{to}"), "gap", data.into())
        }

        fn check(&self, follower: &mut Follower) -> Result<Received, Fault> {
            let (id, name) = (self.0.as_bytes(), self.1.as_bytes());
            follower.check(&Event { id, name, data: self.2.as_slice().into() })
        }
    }

    #[test]
    fn events_and_gaps_add_up() {
        let mut follower = Follower::new(BYTES);
        let received = Received::Event(Duration::from_nanos(5));
        assert_eq!(Owned::event(11, 0).check(&mut follower).unwrap(), received);
        assert_eq!(Owned::gap(12, 14).check(&mut follower).unwrap(), Received::Gap(3));
        assert!(Owned::event(15, 4).check(&mut follower).is_ok());
        assert_eq!(follower.next_number(), 5);
    }

    #[test]
    fn missing_and_repeated_events_are_faults() {
        let after_one = || {
            let mut follower = Follower::new(BYTES);
            Owned::event(11, 0).check(&mut follower).unwrap();
            follower
        };
        for (event, reason) in [
            (Owned::event(13, 1), "an id is missing"),
            (Owned::event(12, 2), "a number is missing"),
            (Owned::event(11, 0), "the event arrived twice"),
            (Owned::gap(13, 14), "the gap starts too late"),
            (Owned::gap(14, 13), "the gap ends before it starts"),
            (Owned(String::new(), "gap", Vec::new()), "the gap has no data"),
            (Owned(String::new(), "", b"hello".to_vec()), "a foreign event"),
        ] {
            assert!(event.check(&mut after_one()).is_err(), "{reason}");
        }
        assert!(Owned::event(12, 1).check(&mut after_one()).is_ok());
    }

    #[test]
    fn a_follower_continues_after_a_fault() {
        let mut follower = Follower::new(BYTES);
        assert!(Owned::event(5, 2).check(&mut follower).is_err());
        assert!(Owned::event(6, 3).check(&mut follower).is_ok());
        assert!(Owned::event(6, 3).check(&mut follower).is_err());
        assert!(Owned::event(7, 4).check(&mut follower).is_ok());
    }

    #[test]
    fn without_ids_the_numbers_decide() {
        let bare = |number| Owned(String::new(), "", Owned::event(0, number).2);
        let mut follower = Follower::new(BYTES);
        assert!(bare(0).check(&mut follower).is_ok() && bare(1).check(&mut follower).is_ok());
        assert!(bare(3).check(&mut follower).is_err());
    }
}
