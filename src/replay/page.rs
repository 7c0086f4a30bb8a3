//! Reading back: what is asked, and the page that answers.

use bytes::Bytes;

use super::{Epoch, Event, Position};

/// Asks for the events of a topic from somewhere on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Query {
    /// The topic. One that never had an event is like one that has none.
    pub topic: Bytes,
    /// Where to begin.
    pub start: Start,
    /// How much to read at once.
    pub window: Window,
}

impl Query {
    /// Asks for a page of the default window.
    pub fn new(topic: impl Into<Bytes>, start: Start) -> Self {
        Self { topic: topic.into(), start, window: Window::default() }
    }

    /// Sets how much to read at once.
    pub fn window(self, window: Window) -> Self {
        Self { window, ..self }
    }
}

/// Says where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The oldest event still held. What went before was not asked for, so its absence is no gap.
    Earliest,
    /// The event after this one.
    After(Position),
}

/// Bounds one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Most events. Default 300. 0 counts as 1.
    pub events: usize,
    /// Most bytes, as [`Event::size_bytes`] counts them. Default 1 MiB. One event may be larger: a page has at least one.
    pub bytes: usize,
}

impl Default for Window {
    fn default() -> Self {
        Self { events: 300, bytes: 1024 * 1024 }
    }
}

/// A page of a topic: how it joins what the asker has, then events without a break.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page {
    /// What lies between the asker's position and this page.
    pub continuity: Continuity,
    /// Events in order; each position is one above the last. A page ends before a break: the next one tells it.
    pub events: Vec<Event>,
    /// What to ask after for the next page: the last event here, or the end of the gap if none follows it.
    pub resume: Position,
    /// The last position the topic has given out, as of this page.
    pub end: Position,
}

/// Says how a page joins what its asker has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continuity {
    /// Nothing is missing.
    Complete,
    /// Events between the asker's position and this page are no longer held, or were lost in a crash.
    Gap(Gap),
    /// The position says nothing about this topic. The page is empty and `resume` is the end: whoever wants what is held
    /// asks for [`Start::Earliest`].
    Reset(Reset),
}

/// A range of positions whose events cannot be had, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The first missing position.
    pub from: Position,
    /// The last missing position.
    pub to: Position,
}

/// Says why a position means nothing here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// Another store gave it out.
    UnknownEpoch,
    /// It is of this store, and beyond all that the topic ever gave out: made up, or of another topic.
    BeyondEnd,
}

/// What a store knows of one topic when a page is asked for; makes pages that keep the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The store's epoch.
    pub epoch: Epoch,
    /// The last number given out in the topic; 0 for none.
    pub end: u64,
}

impl Extent {
    /// Says after which number the events of the answer begin, or answers at once where none can.
    ///
    /// # Errors
    ///
    /// The page to answer with: the position means nothing here.
    pub fn after(self, start: Start) -> Result<u64, Page> {
        match start {
            Start::Earliest => Ok(0),
            Start::After(position) if position.epoch() != self.epoch => Err(self.reset(Reset::UnknownEpoch)),
            Start::After(position) if position.seq() > self.end => Err(self.reset(Reset::BeyondEnd)),
            Start::After(position) => Ok(position.seq()),
        }
    }

    fn reset(self, why: Reset) -> Page {
        let end = self.at(self.end);
        Page { continuity: Continuity::Reset(why), events: Vec::new(), resume: end, end }
    }

    fn at(self, seq: u64) -> Position {
        Position::new(self.epoch, seq)
    }

    /// Makes a page of the events held after the number that [`after`](Self::after) told, in order. Takes no more of
    /// them than fit, and stops before a break among them.
    ///
    /// # Errors
    ///
    /// The first error among the events taken.
    pub fn page<E>(
        self,
        start: Start,
        window: Window,
        held: impl IntoIterator<Item = Result<Event, E>>,
    ) -> Result<Page, E> {
        let mut last = match self.after(start) {
            Ok(seq) => seq,
            Err(page) => return Ok(page),
        };
        let (mut continuity, mut events, mut bytes) = (Continuity::Complete, Vec::new(), 0);
        for event in held {
            let event = event?;
            let seq = event.position.seq();
            let is_break = seq != last + 1;
            if is_break && !events.is_empty() {
                break;
            }
            bytes += event.size_bytes();
            if !events.is_empty() && (events.len() >= window.events || bytes > window.bytes) {
                break;
            }
            if is_break {
                continuity = self.gap(start, last, seq - 1);
            }
            last = seq;
            events.push(event);
        }
        // Nothing is held from here to the end.
        if events.is_empty() && last < self.end {
            continuity = self.gap(start, last, self.end);
            last = self.end;
        }
        Ok(Page { continuity, events, resume: self.at(last), end: self.at(self.end) })
    }

    fn gap(self, start: Start, last: u64, to: u64) -> Continuity {
        match start {
            Start::Earliest => Continuity::Complete,
            Start::After(_) => Continuity::Gap(Gap { from: self.at(last + 1), to: self.at(to) }),
        }
    }
}

impl Page {
    /// Says whether there is more to ask for: events, or a gap to be told.
    pub fn has_more(&self) -> bool {
        self.resume != self.end
    }
}
