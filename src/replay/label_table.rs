//! The labels of a log: which events retention spares, and the last removed event of each label.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
};

use bytes::Bytes;

use super::{Filter, LABEL_OVERHEAD_BYTES};

/// Labels of a log.
///
/// Each label *claims* its newest events. An event that leaves the recent events of the log stays as a
/// *spared* event while a label claims it: while it is among the newest `label_events` of that label.
#[derive(Debug)]
pub(super) struct LabelTable {
    labels: BTreeMap<Bytes, Label>,
    /// Number of labels without claimed events.
    idle: usize,
    /// Largest number of a removed event of a label that is not in the table.
    forgotten_to: u64,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Label {
    /// Number of events that the label claims: the recent ones and the spared ones.
    claimed: usize,
    /// Numbers of the spared events that the label claims, in order.
    spared: VecDeque<u64>,
    /// Largest number of a removed event with this label.
    trimmed_to: u64,
}

impl LabelTable {
    /// Creates the table of a log whose events so far had only the label `name`.
    pub(super) fn new(name: Bytes, events: usize, trimmed_to: u64) -> Self {
        let bytes = name.len() + LABEL_OVERHEAD_BYTES;
        let label = Label { claimed: events, trimmed_to, ..Label::default() };
        let labels = BTreeMap::from([(name, label)]);
        Self { labels, idle: usize::from(events == 0), forgotten_to: 0, bytes }
    }

    /// Creates the table of a log from what its file holds: the largest removed number of each label, and of
    /// the labels that are not listed.
    #[cfg(feature = "durable")]
    pub(super) fn load(trimmed: impl IntoIterator<Item = (Bytes, u64)>, forgotten_to: u64) -> Self {
        let mut table = Self { labels: BTreeMap::new(), idle: 0, forgotten_to, bytes: 0 };
        for (name, trimmed_to) in trimmed {
            table.bytes += name.len() + LABEL_OVERHEAD_BYTES;
            table.idle += 1;
            table.labels.insert(name, Label { trimmed_to, ..Label::default() });
        }
        table
    }

    /// Claims a stored event, from the newest event to the oldest. A spared event that no label would claim
    /// is claimed by its first label, so that it is removed with the next event of that label.
    #[cfg(feature = "durable")]
    pub(super) fn load_event(&mut self, labels: &[Bytes], seq: u64, is_spared: bool, label_events: usize) {
        let claims = |label: &Label| !is_spared || label.claimed < label_events;
        let is_claimed = |label: &Bytes| self.labels.get(label).is_none_or(claims);
        let claiming: Vec<bool> = labels.iter().map(is_claimed).collect();
        let is_unclaimed = !claiming.contains(&true);
        for (at, label) in labels.iter().enumerate() {
            self.add_label(label);
            let Some(state) = self.labels.get_mut(label) else { continue };
            if claiming[at] || (is_unclaimed && at == 0) {
                self.idle -= usize::from(state.claimed == 0);
                state.claimed += 1;
                if is_spared {
                    state.spared.push_front(seq);
                }
            }
        }
    }

    /// Adds a label, unless the table has it.
    fn add_label(&mut self, label: &Bytes) {
        if !self.labels.contains_key(label) {
            // A copy, because the caller's label may be a slice of a large buffer.
            let label = Bytes::copy_from_slice(label);
            self.bytes += label.len() + LABEL_OVERHEAD_BYTES;
            self.idle += 1;
            self.labels.insert(label, Label { trimmed_to: self.forgotten_to, ..Label::default() });
        }
    }

    /// Returns the largest number of a removed event with this label.
    #[cfg(feature = "durable")]
    pub(super) fn label_trimmed_to(&self, label: &Bytes) -> u64 {
        self.labels.get(label).map_or(self.forgotten_to, |label| label.trimmed_to)
    }

    /// Returns the largest number of a removed event of a label that is not in the table.
    #[cfg(feature = "durable")]
    pub(super) fn forgotten_to(&self) -> u64 {
        self.forgotten_to
    }

    /// Returns the bytes that the table counts against the total of all logs.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a new event to a label. Returns the table's copy of the label, and the number of a spared event
    /// that the label claims no longer.
    pub(super) fn add(&mut self, label: &Bytes, label_events: usize) -> (Bytes, Option<u64>) {
        self.add_label(label);
        let mut found = self.labels.range_mut::<[u8], _>((Bound::Included(&label[..]), Bound::Unbounded));
        let Some((name, state)) = found.next() else { return (label.clone(), None) };
        self.idle -= usize::from(state.claimed == 0);
        state.claimed += 1;
        let released = if state.claimed > label_events { state.spared.pop_front() } else { None };
        state.claimed -= usize::from(released.is_some());
        (name.clone(), released)
    }

    /// Returns `true` if a label still claims the spared event.
    pub(super) fn is_claimed(&self, labels: &[Bytes], seq: u64) -> bool {
        let claims = |label: &Label| label.spared.binary_search(&seq).is_ok();
        labels.iter().any(|label| self.labels.get(label).is_some_and(claims))
    }

    /// Removes the oldest recent event from the recent ones. Returns `true` if a label still claims it, so
    /// that the log spares it.
    pub(super) fn spare(&mut self, labels: &[Bytes], seq: u64, label_events: usize) -> bool {
        let mut is_claimed = false;
        for label in labels {
            let Some(state) = self.labels.get_mut(label) else { continue };
            if state.claimed.saturating_sub(state.spared.len()) <= label_events {
                state.spared.push_back(seq);
                is_claimed = true;
            } else if state.claimed > 0 {
                state.claimed -= 1;
                self.idle += usize::from(state.claimed == 0);
            }
        }
        is_claimed
    }

    /// Records that an event is removed from the log. `is_recent` tells whether it was a recent event that
    /// has not been passed to [`spare`](Self::spare).
    pub(super) fn remove(&mut self, labels: &[Bytes], seq: u64, is_recent: bool) {
        for label in labels {
            let Some(state) = self.labels.get_mut(label) else { continue };
            state.trimmed_to = state.trimmed_to.max(seq);
            let spared = state.spared.binary_search(&seq).ok().and_then(|at| state.spared.remove(at));
            if (is_recent || spared.is_some()) && state.claimed > 0 {
                state.claimed -= 1;
                self.idle += usize::from(state.claimed == 0);
            }
        }
    }

    /// Forgets labels without claimed events if there are more than `max` of them: those whose events were
    /// removed first. Readers of such a label may see a gap that contains none of its events.
    ///
    /// Returns the forgotten labels.
    pub(super) fn forget_idle(&mut self, max: usize) -> Vec<Bytes> {
        if self.idle <= max {
            return Vec::new();
        }
        let idle = self.labels.iter().filter(|(_, label)| label.claimed == 0);
        let mut order: Vec<(u64, Bytes)> =
            idle.map(|(name, label)| (label.trimmed_to, name.clone())).collect();
        order.sort_unstable();
        // Half of them at once, so that the scan is rare.
        order.truncate(order.len() - max / 2);
        for (trimmed_to, name) in &order {
            self.labels.remove(name);
            self.bytes -= name.len() + LABEL_OVERHEAD_BYTES;
            self.idle -= 1;
            self.forgotten_to = self.forgotten_to.max(*trimmed_to);
        }
        order.into_iter().map(|(_, name)| name).collect()
    }

    /// Returns the largest number of a removed event that has a label which the filter accepts. The filter
    /// must have rules about labels.
    pub(super) fn trimmed_to(&self, filter: &Filter) -> u64 {
        let exact = filter.exact_labels().iter();
        let exact =
            exact.map(|label| self.labels.get(label).map_or(self.forgotten_to, |label| label.trimmed_to));
        let prefixed = filter.label_prefixes().iter().flat_map(|prefix| {
            let from = self.labels.range::<[u8], _>((Bound::Included(&prefix[..]), Bound::Unbounded));
            let known = from.take_while(|(label, _)| label.starts_with(prefix));
            known.map(|(_, label)| label.trimmed_to).chain([self.forgotten_to])
        });
        exact.chain(prefixed).max().unwrap_or(0)
    }
}
