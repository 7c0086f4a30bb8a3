//! Queries, and the pages of events that they return.

use bytes::Bytes;

use super::{Epoch, Event, Position};

/// Request for the events of a topic from a start on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Query {
    /// Topic name. A topic that never had an event reads as an empty one.
    pub topic: Bytes,
    /// Start of the page.
    pub start: Start,
    /// Size limits of the page.
    pub window: Window,
}

impl Query {
    /// Creates a query with the default window.
    pub fn new(topic: impl Into<Bytes>, start: Start) -> Self {
        Self { topic: topic.into(), start, window: Window::default() }
    }

    /// Sets the size limits of the page.
    pub fn window(self, window: Window) -> Self {
        Self { window, ..self }
    }
}

/// Start of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The oldest stored event. Events removed before it are not reported as a gap.
    Earliest,
    /// The event after this position.
    After(Position),
}

/// Size limits of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Maximum number of events. Default: 300. A value of 0 counts as 1.
    pub events: usize,
    /// Maximum bytes, as [`Event::size_bytes`] counts them. Default: 1 MiB. The first event of a page may
    /// exceed it.
    pub bytes: usize,
}

impl Default for Window {
    fn default() -> Self {
        Self { events: 300, bytes: 1024 * 1024 }
    }
}

/// Page of a topic: consecutive events, and how they connect to the position asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page {
    /// Relation of this page to the position asked for.
    pub continuity: Continuity,
    /// Events in order. Each position is one above the previous one: a page ends before a gap, and the next
    /// page reports it.
    pub events: Vec<Event>,
    /// Position to ask after for the next page: that of the last event of this page, or the end of the topic
    /// if the page is empty.
    pub resume: Position,
    /// Last position the topic had assigned when the page was read.
    pub end: Position,
}

impl Page {
    /// Returns `true` if another page follows, with events or with a gap.
    pub fn has_more(&self) -> bool {
        self.resume != self.end
    }
}

/// Relation of a page to the position asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continuity {
    /// No event is missing between the position asked for and this page, or the read began at
    /// [`Start::Earliest`].
    Complete,
    /// Events between the position asked for and this page have been removed by retention or lost in a crash.
    Gap(Gap),
    /// The position does not belong to this topic. The page is empty and `resume` is the end of the topic.
    /// Read from [`Start::Earliest`] to get the stored events.
    Reset(Reset),
}

/// Range of positions whose events are gone, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// First missing position.
    pub from: Position,
    /// Last missing position.
    pub to: Position,
}

/// Reason that a read cannot continue from a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// The position has another epoch: another store assigned it, or this one before it began anew.
    UnknownEpoch,
    /// The position is above the last one that the topic assigned. It is invented or belongs to another
    /// topic.
    BeyondEnd,
}

/// Builder of pages that fulfil the contract of [`ReplayStore`](super::ReplayStore), for implementations of a
/// store.
///
/// It holds the state of the topic at the time of the read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageBuilder {
    /// Epoch of the store.
    pub epoch: Epoch,
    /// Last number the topic assigned; 0 if none.
    pub end: u64,
}

impl PageBuilder {
    /// Returns the number after which the events of the page begin.
    ///
    /// # Errors
    ///
    /// The store cannot continue from the position. The error is the complete page to return.
    pub fn start_after(self, start: Start) -> Result<u64, Page> {
        match start {
            Start::Earliest => Ok(0),
            Start::After(position) if position.epoch() != self.epoch => Err(self.reset(Reset::UnknownEpoch)),
            Start::After(position) if position.seq() > self.end => Err(self.reset(Reset::BeyondEnd)),
            Start::After(position) => Ok(position.seq()),
        }
    }

    fn reset(self, reason: Reset) -> Page {
        let end = self.position(self.end);
        Page { continuity: Continuity::Reset(reason), events: Vec::new(), resume: end, end }
    }

    fn position(self, seq: u64) -> Position {
        Position::new(self.epoch, seq)
    }

    /// Builds a page from the stored events that follow [`start_after`](Self::start_after), in order. It
    /// takes only as many events as fit the window, and stops at the first gap between two of them.
    ///
    /// # Errors
    ///
    /// The first error that `stored` returns.
    pub fn build<E>(
        self,
        start: Start,
        window: Window,
        stored: impl IntoIterator<Item = Result<Event, E>>,
    ) -> Result<Page, E> {
        let mut last = match self.start_after(start) {
            Ok(seq) => seq,
            Err(page) => return Ok(page),
        };
        let (mut continuity, mut events, mut bytes) = (Continuity::Complete, Vec::new(), 0);
        for event in stored {
            let event = event?;
            let seq = event.position.seq();
            let is_gap = seq != last + 1;
            if is_gap && !events.is_empty() {
                break;
            }
            bytes += event.size_bytes();
            if !events.is_empty() && (events.len() >= window.events || bytes > window.bytes) {
                break;
            }
            if is_gap {
                continuity = self.gap(start, last, seq - 1);
            }
            last = seq;
            events.push(event);
        }
        // No event is stored between `last` and the end.
        if events.is_empty() && last < self.end {
            continuity = self.gap(start, last, self.end);
            last = self.end;
        }
        Ok(Page { continuity, events, resume: self.position(last), end: self.position(self.end) })
    }

    fn gap(self, start: Start, last: u64, to: u64) -> Continuity {
        match start {
            Start::Earliest => Continuity::Complete,
            Start::After(_) => Continuity::Gap(Gap { from: self.position(last + 1), to: self.position(to) }),
        }
    }
}
