//! Order in which streams send data (RFC 9218 §10).
//!
//! Streams that have data wait in lists, by urgency; the lowest is served first. At each urgency there are
//! three lists. Responses that are of use only as a whole go out one after the other, in the order of their
//! streams. Those that are of use in parts, and those whose client named no priority, take turns, and the
//! first turn of each comes before the further turns of others: so a short response waits for no long one.

use super::{
    Priority,
    streams::{Key, NONE, Stream, Streams},
};

/// First turns in a row; then one of the streams that take further turns is served, so that new ones do not
/// starve it.
const FIRST_TURNS_IN_A_ROW: u8 = 8;

/// The list that a stream waits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Queue {
    /// One after the other.
    Whole,
    /// For their first turn.
    First,
    /// For their next turn.
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
    /// By urgency and queue.
    lists: [[List; 3]; Priority::URGENCIES],
    /// Urgencies with a stream, as bits.
    urgencies: u8,
    /// Urgencies at which those that take turns are next, and not those that go one after the other, as bits.
    turns: u8,
    /// First turns since the last further one.
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

    /// Adds a stream that is in no list.
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

    /// Returns the stream whose turn it is. It stays in a list.
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

    /// Decides which list of an urgency is next; one of them has a stream.
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
