//! Streams of one connection by the core's slots, and the times at which to check their timers.

use std::{collections::BTreeSet, time::Instant};

use super::stream::Stream;
use crate::proto::h2::Key;

/// Number of slots that an empty table keeps.
const SMALL: usize = 4;

/// Streams that were not answered at once.
#[derive(Default)]
pub(super) struct StreamTable {
    slots: Vec<Slot>,
    /// Times and slots, earliest first: at most one for each slot.
    alarms: BTreeSet<(Instant, usize)>,
    /// Number of streams in the table.
    len: usize,
}

/// Place for one stream.
#[derive(Default)]
struct Slot {
    /// Stream in this slot. One that is being advanced is not in the table.
    stream: Option<Box<Stream>>,
    /// Time at which to check the timers of the stream that is then in this slot. Most streams end long
    /// before their deadlines, so an alarm is not cancelled with its stream: the next one in the slot uses
    /// it.
    alarm: Option<Instant>,
}

impl StreamTable {
    /// Removes and returns a stream; `None` if it is not in the table.
    pub(super) fn take(&mut self, key: Key) -> Option<Box<Stream>> {
        let slot = self.slots.get_mut(key.slot())?;
        let stream = slot.stream.take_if(|stream| stream.key == key)?;
        self.len -= 1;
        Some(stream)
    }

    /// Returns a stream, which stays in the table; `None` if it is not there.
    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Stream> {
        self.slots.get_mut(key.slot())?.stream.as_deref_mut().filter(|stream| stream.key == key)
    }

    /// Puts a stream into the table. Its timers are checked at `deadline`, or before.
    pub(super) fn put(&mut self, stream: Box<Stream>, deadline: Option<Instant>) {
        let index = stream.key.slot();
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, Slot::default);
        }
        let slot = &mut self.slots[index];
        slot.stream = Some(stream);
        self.len += 1;
        let Some(deadline) = deadline else { return };
        if slot.alarm.is_none_or(|alarm| deadline < alarm) {
            if let Some(alarm) = slot.alarm.replace(deadline) {
                self.alarms.remove(&(alarm, index));
            }
            self.alarms.insert((deadline, index));
        }
    }

    /// Iterates over all streams.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Stream> {
        self.slots.iter().filter_map(|slot| slot.stream.as_deref())
    }

    /// Returns the keys of the streams for which `is` holds.
    pub(super) fn keys(&self, is: impl Fn(&Stream) -> bool) -> Vec<Key> {
        self.iter().filter(|stream| is(stream)).map(|stream| stream.key).collect()
    }

    /// Returns the earliest alarm; `None` if there is none or no stream is in the table.
    pub(super) fn next_alarm(&self) -> Option<Instant> {
        self.alarms.first().filter(|_| self.len > 0).map(|(at, _)| *at)
    }

    /// Removes and returns the next stream whose alarm is due; `None` if none is.
    ///
    /// The alarm may be older than the stream's deadline. The caller checks the deadline and puts a stream
    /// that has time left [back](Self::put).
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Box<Stream>> {
        loop {
            let (at, index) = *self.alarms.first()?;
            if at > now {
                return None;
            }
            self.alarms.pop_first();
            let slot = &mut self.slots[index];
            slot.alarm = None;
            if let Some(stream) = slot.stream.take() {
                self.len -= 1;
                return Some(stream);
            }
        }
    }

    /// Removes and returns all streams.
    pub(super) fn clear(&mut self) -> impl Iterator<Item = Box<Stream>> + use<> {
        self.alarms.clear();
        self.len = 0;
        std::mem::take(&mut self.slots).into_iter().filter_map(|slot| slot.stream)
    }

    /// Releases the memory of an empty table with more than [`SMALL`] slots.
    pub(super) fn shrink(&mut self) {
        if self.len == 0 && self.slots.len() > SMALL {
            (self.slots, self.alarms) = (Vec::new(), BTreeSet::new());
        }
    }
}
