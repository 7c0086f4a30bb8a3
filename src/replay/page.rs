//! Queries, and the pages of events that they return.

use bytes::Bytes;

use super::{Event, Filter, Position};

/// Request for the events of a log from a start on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Query {
    /// Name of the log. A log that never had an event reads as an empty one.
    pub log: Bytes,
    /// Events to read. Default: all.
    pub filter: Filter,
    /// Start of the page.
    pub start: Start,
    /// Size limits of the page.
    pub window: Window,
}

impl Query {
    /// Creates a query for all events, with the default window.
    pub fn new(log: impl Into<Bytes>, start: Start) -> Self {
        Self { log: log.into(), filter: Filter::all(), start, window: Window::default() }
    }

    /// Sets the filter.
    pub fn filter(self, filter: Filter) -> Self {
        Self { filter, ..self }
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
    /// Maximum number of events to examine for a filter. Default: 3000. A value of 0 counts as 1. It does not
    /// apply to [`Filter::all`].
    pub scanned: usize,
}

impl Default for Window {
    fn default() -> Self {
        Self { events: 300, bytes: 1024 * 1024, scanned: 3000 }
    }
}

/// Page of a log: events that pass the filter, and how they connect to the position asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page {
    /// Relation of this page to the position asked for.
    pub continuity: Continuity,
    /// Events in order. Between two of them no event that the filter matches is missing: a page ends before a
    /// gap, and the next page reports it. Without a filter each position is one above the previous one. A
    /// page with a filter may be empty although another page follows.
    pub events: Vec<Event>,
    /// Position to ask after for the next page. Equals [`scanned_to`](Self::scanned_to).
    pub resume: Position,
    /// Position up to which the page accounts for every event of the log: it contains the event, the filter
    /// does not match it, or it is in the gap.
    pub scanned_to: Position,
    /// Last position the log had assigned when the page was read.
    pub end: Position,
}

impl Page {
    /// Returns `true` if another page follows: with events, with a gap, or only with events that the filter
    /// does not match.
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
    /// Events between the position asked for and this page are gone. With a filter: events that it may match.
    Gap(Gap),
    /// The position does not belong to this log. The page is empty and `resume` is the end of the log.
    /// Read from [`Start::Earliest`] to get the stored events.
    Reset(Reset),
}

/// Range of positions in which events are gone, both ends included.
///
/// Without a filter all events of the range are gone. With a filter the range may contain events that the
/// filter does not match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// First position of the range.
    pub from: Position,
    /// Last position of the range.
    pub to: Position,
    /// Reason that the events are gone. If there are several, the last of [`GapReason`] in its order.
    pub reason: GapReason,
}

impl Gap {
    /// Creates a gap.
    pub const fn new(from: Position, to: Position, reason: GapReason) -> Self {
        Self { from, to, reason }
    }
}

/// Reason that events are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum GapReason {
    /// Retention has removed them.
    Expired,
    /// They were lost in a crash, or their append failed.
    Lost,
    /// The store holds them in a damaged form.
    Corrupt,
}

/// Reason that a read cannot continue from a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// The position has another epoch: another store assigned it, or this one before it began anew.
    UnknownEpoch,
    /// The position is above the last one that the log assigned. It is invented or belongs to another log.
    BeyondEnd,
}
