//! Order in which streams send data (RFC 9218 §10).
//!
//! Streams that have data wait in lists, by urgency; the lowest number is served first. At each urgency there
//! are three lists. Responses that are of use only as a whole go out one after the other, in the order of
//! their streams. Those that are of use in parts, and those whose client named no priority, alternate: each
//! sends one part at a time, and a stream's first part comes before further parts of others. So a short
//! response waits for no long one.

use super::{
    Priority,
    streams::{Key, NONE, Stream, Streams},
};

/// Number of first parts in a row after which a stream that has sent a part is served, so that new streams do
/// not starve it.
const FIRST_TURNS_IN_A_ROW: u8 = 8;

/// The list that a stream waits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Queue {
    /// Streams that are sent one after the other.
    Whole,
    /// Streams that alternate and have not been served.
    First,
    /// Streams that alternate and have been served.
    Parts,
}

impl Queue {
    /// Returns the list of a stream.
    fn of(stream: &Stream) -> Self {
        match (stream.priority.is_incremental, stream.had_turn) {
            (false, _) => Self::Whole,
            (true, false) => Self::First,
            (true, true) => Self::Parts,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct List {
    first: u32,
    last: u32,
}

const EMPTY: List = List { first: NONE, last: NONE };

impl List {
    fn is_empty(self) -> bool {
        self.first == NONE
    }
}

/// Streams that have data and may send it.
#[derive(Debug)]
pub(super) struct Schedule {
    /// Lists by urgency and queue.
    lists: [[List; 3]; Priority::URGENCIES],
    /// Bits of the urgencies that have a stream.
    urgencies: u8,
    /// Bits of the urgencies at which an alternating stream is next, and not one of those that go one after
    /// the other.
    turns: u8,
    /// Number of streams served from `First` since the last from `Parts`.
    first_turns: u8,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { lists: [[EMPTY; 3]; Priority::URGENCIES], urgencies: 0, turns: 0, first_turns: 0 }
    }
}

impl Schedule {
    pub(super) fn is_empty(&self) -> bool {
        self.urgencies == 0
    }

    /// Adds a stream that is in no list to the list of its priority.
    pub(super) fn add(&mut self, streams: &mut Streams, key: Key) {
        let stream = streams.at(key.slot);
        let (urgency, queue) = (stream.priority.urgency, Queue::of(stream));
        let list = &mut self.lists[usize::from(urgency)][queue as usize];
        let mut before = list.last;
        if queue == Queue::Whole {
            // In the order of identifiers; newer streams nearly always come later.
            while before != NONE && streams.at(before).id > key.id {
                before = streams.at(before).previous;
            }
        }
        let after = if before == NONE { list.first } else { streams.at(before).next };
        let stream = streams.at(key.slot);
        (stream.previous, stream.next) = (before, after);
        match before {
            NONE => list.first = key.slot,
            before => streams.at(before).next = key.slot,
        }
        match after {
            NONE => list.last = key.slot,
            after => streams.at(after).previous = key.slot,
        }
        self.urgencies |= 1 << urgency;
    }

    /// Removes a stream that is in a list.
    pub(super) fn remove(&mut self, streams: &mut Streams, key: Key) {
        let stream = streams.at(key.slot);
        let (before, after) = (stream.previous, stream.next);
        let (urgency, queue) = (stream.priority.urgency, Queue::of(stream));
        let lists = &mut self.lists[usize::from(urgency)];
        let list = &mut lists[queue as usize];
        match before {
            NONE => list.first = after,
            before => streams.at(before).next = after,
        }
        match after {
            NONE => list.last = before,
            after => streams.at(after).previous = before,
        }
        if lists.iter().all(|list| list.is_empty()) {
            self.urgencies &= !(1 << urgency);
        }
    }

    /// Returns the stream that is to send next; `None` if none is in a list. It stays in a list: an
    /// alternating one at the end of `Parts`.
    pub(super) fn next(&mut self, streams: &mut Streams) -> Option<Key> {
        if self.urgencies == 0 {
            return None;
        }
        let urgency = self.urgencies.trailing_zeros() as usize;
        let queue = self.next_queue(urgency);
        let key = streams.key_at(self.lists[urgency][queue as usize].first);
        if queue != Queue::Whole {
            self.remove(streams, key);
            streams.at(key.slot).had_turn = true;
            self.add(streams, key);
        }
        Some(key)
    }

    /// Returns the list of an urgency that is next. At least one of the lists has a stream.
    fn next_queue(&mut self, urgency: usize) -> Queue {
        let [whole, first, parts] = self.lists[urgency].map(|list| !list.is_empty());
        let bit = 1 << urgency;
        if whole && (!(first || parts) || self.turns & bit == 0) {
            self.turns |= bit;
            return Queue::Whole;
        }
        self.turns &= !bit;
        if first && (!parts || self.first_turns < FIRST_TURNS_IN_A_ROW) {
            self.first_turns = self.first_turns.saturating_add(1);
            return Queue::First;
        }
        self.first_turns = 0;
        Queue::Parts
    }
}
