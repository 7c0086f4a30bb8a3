//! One log in memory.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    convert::Infallible,
    sync::Arc,
};

use bytes::Bytes;

use super::keys::{FirstUse, KeyWindow};
use crate::replay::{
    Append, Appended, Attributes, Durability, Entry, Epoch, ErrorKind, Event, ID_OVERHEAD_BYTES,
    LOG_OVERHEAD_BYTES, Labels, Operation, Page, PageBuilder, Position, Query, Retention, StoreError,
    clock::{expiry_ms, system_time},
    event::size_bytes,
    fingerprint::fingerprint,
    label_table::LabelTable,
};

/// Events of a log and what it knows about removed ones.
pub(super) struct Log {
    name: Bytes,
    pub(super) retention: Arc<Retention>,
    /// Number after which the log was created.
    start: u64,
    /// Last number assigned.
    pub(super) end: u64,
    /// Largest number of a removed event. Spared events may have smaller numbers.
    trimmed_to: u64,
    /// Time of the newest event in milliseconds since 1970.
    newest_ms: u64,
    /// Recent events, oldest first. Their numbers are consecutive; the newest has the number `end`.
    recent: VecDeque<Stored>,
    recent_bytes: usize,
    /// Older events by number, which retention spares because they are the newest of a label.
    spared: BTreeMap<u64, Stored>,
    spared_bytes: usize,
    /// `None` while the log's name is the only label of every event.
    labels: Option<Box<LabelTable>>,
    /// Ids that publishers chose, with the numbers of the events.
    ids: BTreeSet<(Bytes, u64)>,
    keys: Option<Box<KeyWindow>>,
}

/// Event of a log.
struct Stored {
    /// Time in milliseconds since 1970.
    ms: u64,
    name: Option<Bytes>,
    data: Bytes,
    labels: Labels,
    attributes: Option<Arc<Attributes>>,
}

impl Stored {
    fn size_bytes(&self) -> usize {
        size_bytes(self.name.as_ref(), &self.data, &self.labels, self.attributes.as_deref())
    }

    fn id(&self) -> Option<&Bytes> {
        self.attributes.as_ref().and_then(|attributes| attributes.id.as_ref())
    }

    /// Returns the event, or only its number if the query does not match it.
    fn entry(&self, position: Position, query: &Query) -> Entry {
        let (tags, private) = match &self.attributes {
            Some(attributes) => (&*attributes.tags, attributes.private),
            None => (&[][..], false),
        };
        if !query.filter.matches(&self.labels, tags, private) {
            return Entry::Other(position.seq());
        }
        let event = Event::new(position, self.name.clone(), self.data.clone(), system_time(self.ms));
        let event = event.with_labels(self.labels.clone());
        Entry::Event(Event { attributes: self.attributes.clone(), ..event })
    }
}

impl Log {
    /// Creates an empty log that continues after the number `end`.
    pub(super) fn new(name: Bytes, end: u64, retention: Arc<Retention>) -> Self {
        Self {
            name,
            retention,
            start: end,
            end,
            trimmed_to: end,
            newest_ms: 0,
            recent: VecDeque::with_capacity(1),
            recent_bytes: 0,
            spared: BTreeMap::new(),
            spared_bytes: 0,
            labels: None,
            ids: BTreeSet::new(),
            keys: None,
        }
    }

    /// Returns the number of events.
    pub(super) fn events(&self) -> usize {
        self.recent.len() + self.spared.len()
    }

    /// Returns the bytes of the events.
    pub(super) fn event_bytes(&self) -> usize {
        self.recent_bytes + self.spared_bytes
    }

    /// Returns the bytes that the log counts against the total of all logs.
    pub(super) fn total_bytes(&self) -> usize {
        let labels = self.labels.as_ref().map_or(0, |labels| labels.bytes());
        let keys = self.keys.as_ref().map_or(0, |keys| keys.bytes());
        let ids = self.ids.len() * ID_OVERHEAD_BYTES;
        LOG_OVERHEAD_BYTES + self.name.len() + self.event_bytes() + labels + keys + ids
    }

    /// Appends an event, unless its idempotency key is known.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::KeyReused`].
    pub(super) fn append(
        &mut self,
        append: Append,
        epoch: Epoch,
        now_ms: u64,
        max_idle_labels: usize,
    ) -> Result<Appended, StoreError> {
        if let Some(repeat) = self.find_repeat(&append, now_ms)? {
            return Ok(Appended::new(Position::new(epoch, repeat), Durability::None).repeated());
        }
        let seq = self.end + 1;
        self.newest_ms = self.newest_ms.max(now_ms);
        if let Some(key) = &append.attributes().key {
            let first = FirstUse { seq, fingerprint: fingerprint(&append) };
            self.keys.get_or_insert_default().add(key, first, now_ms, &self.retention);
        }
        let labels = self.add_labels(&append.labels);
        self.push(seq, append, labels);
        self.trim(now_ms);
        if let Some(labels) = &mut self.labels {
            labels.forget_idle(max_idle_labels);
        }
        Ok(Appended::new(Position::new(epoch, seq), Durability::None))
    }

    fn push(&mut self, seq: u64, append: Append, labels: Labels) {
        let Append { name, data, attributes, .. } = append;
        let event = Stored { ms: self.newest_ms, name, data, labels, attributes };
        if let Some(id) = event.id() {
            self.ids.insert((id.clone(), seq));
        }
        self.recent_bytes += event.size_bytes();
        self.recent.push_back(event);
        self.end = seq;
    }

    /// Returns the number of the first event with the key of this one.
    fn find_repeat(&mut self, append: &Append, now_ms: u64) -> Result<Option<u64>, StoreError> {
        let (Some(key), Some(keys)) = (&append.attributes().key, &mut self.keys) else { return Ok(None) };
        match keys.find(key, now_ms, self.retention.key_age) {
            Some(first) if first.fingerprint == fingerprint(append) => Ok(Some(first.seq)),
            Some(_) => {
                let message = "the idempotency key belongs to an event with other content";
                Err(StoreError::new(ErrorKind::KeyReused, Operation::Append, message))
            }
            None => Ok(None),
        }
    }

    /// Adds a new event to its labels. Returns them without repetitions, as the log keeps them.
    fn add_labels(&mut self, labels: &Labels) -> Labels {
        let is_own = labels.len() == 1 && labels[0] == self.name;
        if is_own && self.labels.is_none() {
            // The log's own bytes: the caller's may be a slice of a large buffer.
            return self.name.clone().into();
        }
        let (name, events, trimmed_to) = (&self.name, self.recent.len(), self.trimmed_to);
        let table =
            self.labels.get_or_insert_with(|| Box::new(LabelTable::new(name.clone(), events, trimmed_to)));
        let mut released = Vec::new();
        let distinct = labels.iter().enumerate().filter(|(at, label)| !labels[..*at].contains(label));
        let kept = distinct.map(|(_, label)| {
            let (label, oldest) = table.add(label, self.retention.label_events);
            released.extend(oldest);
            label
        });
        let kept = kept.collect();
        for seq in released {
            self.drop_if_unclaimed(seq);
        }
        kept
    }

    /// Removes a spared event that no label claims.
    fn drop_if_unclaimed(&mut self, seq: u64) {
        let (Some(event), Some(table)) = (self.spared.get(&seq), &self.labels) else { return };
        if !table.is_claimed(&event.labels, seq) {
            self.drop_spared(seq);
        }
    }

    /// Removes the events that retention no longer keeps.
    pub(super) fn trim(&mut self, now_ms: u64) {
        let Retention { events: max_events, bytes: max_bytes, age, .. } = *self.retention;
        let oldest_ms = expiry_ms(now_ms, age);
        while let Some(event) = self.recent.front() {
            let is_over = self.recent.len() > max_events || self.recent_bytes > max_bytes;
            if event.ms < oldest_ms {
                self.drop_oldest_recent();
            } else if is_over && self.recent.len() > 1 {
                self.spare_oldest_recent();
            } else {
                break;
            }
        }
        while let Some((seq, event)) = self.spared.first_key_value() {
            let is_over = self.spared.len() > max_events || self.spared_bytes > max_bytes;
            if event.ms >= oldest_ms && !is_over {
                break;
            }
            let seq = *seq;
            self.drop_spared(seq);
        }
    }

    /// Removes about `bytes` of the oldest events, but at most half of the log and never the newest event.
    pub(super) fn drop_oldest(&mut self, bytes: usize) {
        let before = self.event_bytes();
        let floor = (before / 2).max(before.saturating_sub(bytes));
        while self.event_bytes() > floor {
            match self.spared.first_key_value().map(|(seq, _)| *seq) {
                Some(seq) => self.drop_spared(seq),
                None if self.recent.len() > 1 => self.drop_oldest_recent(),
                None => break,
            }
        }
    }

    fn drop_spared(&mut self, seq: u64) {
        if let Some(event) = self.spared.remove(&seq) {
            self.spared_bytes -= event.size_bytes();
            self.forget(seq, &event, false);
        }
    }

    fn drop_oldest_recent(&mut self) {
        if let Some((seq, event)) = self.pop_oldest_recent() {
            self.forget(seq, &event, true);
        }
    }

    /// Removes the oldest recent event, or spares it while a label claims it.
    fn spare_oldest_recent(&mut self) {
        let Some((seq, event)) = self.pop_oldest_recent() else { return };
        let is_spared = match &mut self.labels {
            Some(table) => table.spare(&event.labels, seq, self.retention.label_events),
            None => false,
        };
        if is_spared {
            self.spared_bytes += event.size_bytes();
            self.spared.insert(seq, event);
        } else {
            // No label claims it.
            self.forget(seq, &event, false);
        }
    }

    fn pop_oldest_recent(&mut self) -> Option<(u64, Stored)> {
        let seq = self.first_recent();
        let event = self.recent.pop_front()?;
        self.recent_bytes -= event.size_bytes();
        Some((seq, event))
    }

    /// Records that an event has been removed. `is_recent` tells whether it was a recent event until then.
    fn forget(&mut self, seq: u64, event: &Stored, is_recent: bool) {
        self.trimmed_to = self.trimmed_to.max(seq);
        if let Some(table) = &mut self.labels {
            table.remove(&event.labels, seq, is_recent);
        }
        if let Some(id) = event.id() {
            self.ids.remove(&(id.clone(), seq));
        }
    }

    /// Returns the number of the oldest recent event, or the next number if there is none.
    fn first_recent(&self) -> u64 {
        self.end + 1 - self.recent.len() as u64
    }

    /// Returns the earliest number of a stored event with this id.
    pub(super) fn find_id(&self, id: &Bytes) -> Option<u64> {
        let (found, seq) = self.ids.range((id.clone(), 0)..).next()?;
        (found == id).then_some(*seq)
    }

    pub(super) fn page(&self, epoch: Epoch, query: &Query) -> Page {
        let builder = PageBuilder::new(epoch, self.end).trimmed_to(self.trimmed_to_for(query));
        let after = match builder.start_after(query.start) {
            Ok(after) => after,
            Err(page) => return page,
        };
        let entry =
            |seq: u64, event: &Stored| Ok::<_, Infallible>(event.entry(Position::new(epoch, seq), query));
        let spared = self.spared.range(after + 1..).map(|(seq, event)| entry(*seq, event));
        let first = self.first_recent();
        let skipped = usize::try_from((after + 1).saturating_sub(first)).unwrap_or(usize::MAX);
        let skipped = skipped.min(self.recent.len());
        let recent = self.recent.range(skipped..).zip(first + skipped as u64..);
        let recent = recent.map(|(event, seq)| entry(seq, event));
        builder.build(query, spared.chain(recent)).unwrap_or_else(|never| match never {})
    }

    /// Returns the largest number of a removed event that the query may match.
    fn trimmed_to_for(&self, query: &Query) -> u64 {
        let removed = match &self.labels {
            _ if !query.filter.has_label_rules() => self.trimmed_to,
            Some(table) => table.trimmed_to(&query.filter),
            None if query.filter.accepts_label(&self.name) => self.trimmed_to,
            None => 0,
        };
        removed.max(self.start)
    }
}
