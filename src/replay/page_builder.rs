//! The builder of pages: it applies the filter and the window, and finds the gaps.

use std::ops::ControlFlow;

use super::{Continuity, Epoch, Event, Gap, GapReason, Page, Position, Query, Reset, Start};

/// Builder of pages that fulfil the contract of [`ReplayStore`](super::ReplayStore), for implementations of a
/// store.
///
/// It holds the state of the log at the time of the read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageBuilder<'a> {
    epoch: Epoch,
    end: u64,
    trimmed_to: u64,
    lost: &'a [(u64, u64)],
}

/// Event of a log, as a store passes it to a [`PageBuilder`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Entry {
    /// An event. The builder applies the filter.
    Event(Event),
    /// Number of a stored event that the filter does not match.
    Other(u64),
    /// Number of an event whose stored form is damaged.
    Corrupt(u64),
}

impl From<Event> for Entry {
    fn from(event: Event) -> Self {
        Self::Event(event)
    }
}

impl Entry {
    fn seq(&self) -> u64 {
        match self {
            Self::Event(event) => event.position.seq(),
            Self::Other(seq) | Self::Corrupt(seq) => *seq,
        }
    }
}

impl<'a> PageBuilder<'a> {
    /// Creates the builder for a log whose last assigned number is `end`; 0 if it assigned none.
    ///
    /// Each number that is not stored counts as one that the filter may match.
    pub const fn new(epoch: Epoch, end: u64) -> Self {
        Self { epoch, end, trimmed_to: end, lost: &[] }
    }

    /// Sets the largest number of a removed event that the filter may match; 0 if there is none.
    #[must_use]
    pub const fn trimmed_to(self, seq: u64) -> Self {
        Self { trimmed_to: seq, ..self }
    }

    /// Sets the ranges of numbers lost in crashes, both ends included.
    #[must_use]
    pub const fn lost(self, ranges: &'a [(u64, u64)]) -> Self {
        Self { lost: ranges, ..self }
    }

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
        self.page(Continuity::Reset(reason), Vec::new(), self.end)
    }

    fn page(self, continuity: Continuity, events: Vec<Event>, scanned_to: u64) -> Page {
        let resume = self.position(scanned_to);
        Page { continuity, events, resume, scanned_to: resume, end: self.position(self.end) }
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
        query: &Query,
        stored: impl IntoIterator<Item = Result<Entry, E>>,
    ) -> Result<Page, E> {
        let after = match self.start_after(query.start) {
            Ok(seq) => seq,
            Err(page) => return Ok(page),
        };
        let mut draft = Draft::new(self, query, after);
        for entry in stored {
            if draft.add(entry?).is_break() {
                return Ok(draft.finish());
            }
        }
        draft.add_end();
        Ok(draft.finish())
    }

    /// Returns the last number between `last` and `next` whose event is gone although the filter may match
    /// it, and the reason. Neither `last` nor `next` is included.
    fn gap_between(self, last: u64, next: u64, is_all: bool) -> Option<(u64, GapReason)> {
        if next <= last.saturating_add(1) {
            return None;
        }
        let lost = self.lost.iter().filter(|(from, to)| *from < next && *to > last);
        let lost_to = lost.map(|(_, to)| (*to).min(next - 1)).max();
        let expired_to = if is_all { next - 1 } else { self.trimmed_to.min(next - 1) };
        match lost_to {
            Some(lost_to) => Some((lost_to.max(expired_to), GapReason::Lost)),
            None => (expired_to > last).then_some((expired_to, GapReason::Expired)),
        }
    }
}

/// Page under construction.
struct Draft<'a> {
    builder: PageBuilder<'a>,
    query: &'a Query,
    is_all: bool,
    /// Number after which the page begins.
    after: u64,
    /// Number up to which the page accounts for every event.
    last: u64,
    events: Vec<Event>,
    bytes: usize,
    scanned: usize,
    gap: Option<(u64, GapReason)>,
}

impl<'a> Draft<'a> {
    fn new(builder: PageBuilder<'a>, query: &'a Query, after: u64) -> Self {
        let (events, bytes, scanned, gap) = Default::default();
        let is_all = query.filter.is_all();
        Self { builder, query, is_all, after, last: after, events, bytes, scanned, gap }
    }

    /// Adds the next stored event. Breaks if it does not belong to this page.
    fn add(&mut self, entry: Entry) -> ControlFlow<()> {
        let window = self.query.window;
        if !self.is_all && self.scanned >= window.scanned.max(1) {
            return ControlFlow::Break(());
        }
        self.scanned += 1;
        let seq = entry.seq();
        self.add_gap_before(seq)?;
        // The event itself is left to the next page if this one ends here.
        self.last = self.last.max(seq.saturating_sub(1));
        match entry {
            Entry::Other(_) => (),
            Entry::Corrupt(_) => self.add_gap(seq, GapReason::Corrupt)?,
            Entry::Event(event) if !event.matches(&self.query.filter) => (),
            Entry::Event(event) => {
                self.bytes = self.bytes.saturating_add(event.size_bytes());
                let is_full = self.events.len() >= window.events || self.bytes > window.bytes;
                if is_full && !self.events.is_empty() {
                    return ControlFlow::Break(());
                }
                self.events.push(event);
            }
        }
        self.last = seq;
        ControlFlow::Continue(())
    }

    /// Accounts for the numbers between the last stored event and the end of the log.
    fn add_end(&mut self) {
        if self.add_gap_before(self.builder.end.saturating_add(1)).is_continue() {
            self.last = self.builder.end;
        }
    }

    /// Adds the gap between the last event and `next`, if there is one. Breaks if the page has events,
    /// because the next page reports the gap.
    fn add_gap_before(&mut self, next: u64) -> ControlFlow<()> {
        match self.builder.gap_between(self.last, next, self.is_all) {
            Some((to, reason)) => self.add_gap(to, reason),
            None => ControlFlow::Continue(()),
        }
    }

    fn add_gap(&mut self, to: u64, reason: GapReason) -> ControlFlow<()> {
        if !self.events.is_empty() {
            return ControlFlow::Break(());
        }
        let reason = self.gap.map_or(reason, |(_, earlier)| earlier.max(reason));
        self.gap = Some((to, reason));
        ControlFlow::Continue(())
    }

    fn finish(self) -> Page {
        let builder = self.builder;
        let continuity = match (self.query.start, self.gap) {
            (Start::After(_), Some((to, reason))) => {
                let (from, to) = (builder.position(self.after + 1), builder.position(to));
                Continuity::Gap(Gap::new(from, to, reason))
            }
            _ => Continuity::Complete,
        };
        builder.page(continuity, self.events, self.last)
    }
}
