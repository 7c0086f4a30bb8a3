//! How far a subscriber is: every event must come once and in order, or a gap must say which do not.

use std::time::Duration;

use super::events::{self, Event};
use crate::client::fault::{Fault, Kind};

/// What one event of the stream was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// An event that was due then.
    Delivery(Duration),
    /// The announcement that so many do not come.
    Gap(u64),
}

/// One subscriber's account.
#[derive(Debug, Default)]
pub(super) struct Follower {
    /// Number of our event that must come next: what was received and what gaps told of, together.
    next: u64,
    /// Number in the id of the last event.
    last: Option<u64>,
}

impl Follower {
    /// Returns how many of the published events are received or told of in gaps.
    pub(super) fn reached(&self) -> u64 {
        self.next
    }

    /// Takes the next event of the stream.
    ///
    /// # Errors
    ///
    /// It is not the one that must come: events were lost and no gap said so, or one came twice.
    pub(super) fn take(&mut self, event: &Event) -> Result<Seen, Fault> {
        if event.name == "gap" {
            return self.take_gap(event);
        }
        let stranger = || wrong(format_args!("an event that this run did not publish: {:.60}", event.data));
        let (number, due) = events::read(&event.data).ok_or_else(stranger)?;
        if let (Some(last), Some(id)) = (self.last, number_of(&event.id))
            && id != last + 1
        {
            return Err(wrong(format_args!("id {id} follows {last}, and no gap says why")));
        }
        if number != self.next {
            return Err(wrong(format_args!("event {number} came where {} must", self.next)));
        }
        self.next += 1;
        self.last = number_of(&event.id);
        Ok(Seen::Delivery(due))
    }

    fn take_gap(&mut self, event: &Event) -> Result<Seen, Fault> {
        let gap = || wrong(format_args!("a gap that tells no range: {:.100}", event.data));
        let told: serde_json::Value = serde_json::from_str(&event.data).map_err(|_| gap())?;
        let end = |name: &str| told.get(name)?.as_str().and_then(number_of);
        let (from, to) = end("from").zip(end("to")).filter(|(from, to)| from <= to).ok_or_else(gap)?;
        if let Some(last) = self.last
            && from != last + 1
        {
            return Err(wrong(format_args!("a gap begins with {from}, and {last} came before it")));
        }
        let missed = to - from + 1;
        self.next += missed;
        self.last = Some(to);
        Ok(Seen::Gap(missed))
    }
}

/// Returns the number in an id such as `1f-7`.
fn number_of(id: &str) -> Option<u64> {
    id.rsplit_once('-').map_or(id, |(_, number)| number).parse().ok()
}

fn wrong(detail: impl std::fmt::Display) -> Fault {
    Fault::new(Kind::Body, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: u64, number: u64) -> Event {
        let data = events::data(number, Duration::from_nanos(5), 40);
        Event { id: format!("e-{id}"), name: String::new(), data }
    }

    fn gap(from: u64, to: u64) -> Event {
        let data = format!(r#"{{"from":"e-{from}","to":"e-{to}"}}"#);
        Event { id: format!("e-{to}"), name: "gap".into(), data }
    }

    #[test]
    fn events_and_gaps_add_up() {
        let mut follower = Follower::default();
        assert_eq!(follower.take(&event(11, 0)).unwrap(), Seen::Delivery(Duration::from_nanos(5)));
        assert_eq!(follower.take(&gap(12, 14)).unwrap(), Seen::Gap(3));
        assert!(follower.take(&event(15, 4)).is_ok());
        assert_eq!(follower.reached(), 5);
    }

    #[test]
    fn a_hole_that_no_gap_announces_is_a_fault() {
        let mut follower = Follower::default();
        follower.take(&event(11, 0)).unwrap();
        assert!(follower.take(&event(13, 2)).is_err(), "an id is missing");
        assert!(follower.take(&event(12, 2)).is_err(), "a number is missing");
        assert!(follower.take(&event(11, 0)).is_err(), "it came twice");
        assert!(follower.take(&gap(13, 14)).is_err(), "the gap begins too late");
        assert!(follower.take(&gap(14, 13)).is_err());
        assert!(follower.take(&Event { name: "gap".into(), ..Event::default() }).is_err());
        assert!(follower.take(&Event { data: "hello".into(), ..Event::default() }).is_err());
        assert!(follower.take(&event(12, 1)).is_ok());
    }

    #[test]
    fn without_ids_the_numbers_decide() {
        let bare = |number| Event { id: String::new(), ..event(0, number) };
        let mut follower = Follower::default();
        assert!(follower.take(&bare(0)).is_ok() && follower.take(&bare(1)).is_ok());
        assert!(follower.take(&bare(3)).is_err());
    }
}
