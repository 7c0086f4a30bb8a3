//! Removal of events: those that retention no longer keeps, and those of forgotten logs.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use redb::{ReadableTable, Table, WriteTransaction};

use super::{
    errors::redb_error,
    logs::{Log, Logs},
    record::{Record, damaged_size_bytes},
    tables::{EVENTS, EventKey, GARBAGE, IDS, KEY_ORDER, KEYS, LABELS},
};
use crate::replay::{Operation, Retention, StoreError, clock::expiry_ms, label_table::LabelTable};

/// Maximum number of events that one commit removes from a log. Later commits remove the rest.
const MAX_REMOVED: usize = 4096;
/// Maximum number of logs checked for expired events at a time.
const EXPIRY_SCAN_LOGS: usize = 256;

const OPERATION: Operation = Operation::Trim;

/// Events of the file, in a transaction, and the tables that refer to them.
pub(super) struct Stored<'txn> {
    txn: &'txn WriteTransaction,
    pub(super) events: Table<'txn, EventKey, &'static [u8]>,
    /// Maximum number of labels without events that a log remembers.
    max_idle_labels: usize,
}

/// Event that is about to be removed.
struct Removal {
    seq: u64,
    labels: Vec<Bytes>,
    id: Option<Bytes>,
    /// Whether it is a recent event whose labels still claim it.
    is_recent: bool,
}

/// Attributes of a stored event that trimming uses.
struct Measured {
    seq: u64,
    time_ms: u64,
    size_bytes: u64,
    labels: Vec<Bytes>,
    id: Option<Bytes>,
}

/// Removals under construction, and what is left of the log with them.
#[derive(Default)]
struct Plan {
    removals: Vec<Removal>,
    recent: (u64, u64),
    spared: (u64, u64),
    spared_to: u64,
    /// Time of the oldest event that stays, if it is known.
    oldest_ms: Option<u64>,
}

impl Plan {
    fn new(log: &Log) -> Self {
        let row = &log.row;
        let spared = (row.spared_events, row.spared_bytes);
        let recent = (row.events.saturating_sub(spared.0), row.bytes.saturating_sub(spared.1));
        Self { recent, spared, spared_to: row.spared_to, ..Self::default() }
    }

    fn remove(&mut self, event: Measured, is_recent: bool) {
        let Measured { seq, labels, id, .. } = event;
        self.removals.push(Removal { seq, labels, id, is_recent });
    }

    /// Returns `true` if the recent events exceed the retention and one may be removed.
    fn is_recent_over(&self, retention: &Retention) -> bool {
        is_over(self.recent, retention) && self.recent.0 > 1
    }

    fn is_full(&self) -> bool {
        self.removals.len() >= MAX_REMOVED
    }

    /// Records that one of the events is recent no longer.
    fn leave_recent(&mut self, event: &Measured) {
        take(&mut self.recent, event.size_bytes);
        self.spared_to = event.seq;
    }
}

/// Takes an event from a number of events and bytes.
fn take((events, bytes): &mut (u64, u64), size_bytes: u64) {
    *events = events.saturating_sub(1);
    // The size of a damaged event is an estimate.
    *bytes = if *events == 0 { 0 } else { bytes.saturating_sub(size_bytes) };
}

fn is_over((events, bytes): (u64, u64), retention: &Retention) -> bool {
    events > retention.events as u64 || bytes > retention.bytes as u64
}

impl<'txn> Stored<'txn> {
    pub(super) fn open(txn: &'txn WriteTransaction, max_idle_labels: usize) -> Result<Self, StoreError> {
        let events = txn.open_table(EVENTS).map_err(redb_error(OPERATION))?;
        Ok(Self { txn, events, max_idle_labels })
    }

    /// Reads the labels of a log's events into memory, if that has not been done and there are any besides
    /// the log's name.
    pub(super) fn load_labels(&self, log: &mut Log) -> Result<(), StoreError> {
        if !log.row.has_labels || log.labels.is_some() {
            return Ok(());
        }
        let rows = self.txn.open_table(LABELS).map_err(redb_error(OPERATION))?;
        let id = log.row.id;
        let mut trimmed = Vec::new();
        for row in rows.range((id, &[][..])..(id + 1, &[][..])).map_err(redb_error(OPERATION))? {
            let (key, trimmed_to) = row.map_err(redb_error(OPERATION))?;
            trimmed.push((Bytes::copy_from_slice(key.value().1), trimmed_to.value()));
        }
        let mut table = LabelTable::load(trimmed, log.row.forgotten_to);
        for entry in self.events.range((id, 0)..=(id, u64::MAX)).map_err(redb_error(OPERATION))?.rev() {
            let (key, record) = entry.map_err(redb_error(OPERATION))?;
            let Some(event) = Record::parse(record.value(), key.value(), &log.name) else { continue };
            let seq = key.value().1;
            table.load_event(&event.labels, seq, seq <= log.row.spared_to, log.retention.label_events);
        }
        log.labels = Some(table);
        Ok(())
    }

    /// Removes the events of a log that retention no longer keeps, at most about [`MAX_REMOVED`].
    pub(super) fn trim(&mut self, log: &mut Log, now_ms: u64) -> Result<(), StoreError> {
        let retention = log.retention.clone();
        let oldest_ms = expiry_ms(now_ms, retention.age);
        // An oldest event whose time is not known counts as expired, if there is a maximum age.
        let ms = log.oldest_ms.unwrap_or(if retention.age.is_some() { 0 } else { u64::MAX });
        let mut plan = Plan::new(log);
        let is_over_limit = plan.is_recent_over(&retention) || is_over(plan.spared, &retention);
        if log.row.events == 0 || (ms >= oldest_ms && !is_over_limit) {
            return Ok(());
        }
        self.load_labels(log)?;
        for event in self.scan(log, plan.spared_to, u64::MAX)? {
            let event = event?;
            let is_expired = event.time_ms < oldest_ms;
            if plan.is_full() || !(is_expired || plan.is_recent_over(&retention)) {
                plan.oldest_ms = plan.oldest_ms.or(Some(event.time_ms));
                break;
            }
            plan.leave_recent(&event);
            match &mut log.labels {
                Some(labels) if !is_expired => {
                    if labels.spare(&event.labels, event.seq, retention.label_events) {
                        plan.spared = (plan.spared.0 + 1, plan.spared.1 + event.size_bytes);
                    } else {
                        plan.remove(event, false);
                    }
                }
                _ => plan.remove(event, true),
            }
        }
        self.apply(log, plan)?;
        let mut plan = Plan::new(log);
        plan.oldest_ms = log.oldest_ms;
        self.plan_spared(log, &mut plan, |plan, event| {
            event.time_ms < oldest_ms || is_over(plan.spared, &retention)
        })?;
        self.apply(log, plan)
    }

    /// Removes about `bytes` of the oldest events of a log, but at most half of them and never the newest
    /// event.
    pub(super) fn drop_oldest(&mut self, log: &mut Log, bytes: u64) -> Result<(), StoreError> {
        self.load_labels(log)?;
        let floor = (log.row.bytes / 2).max(log.row.bytes.saturating_sub(bytes));
        let mut plan = Plan::new(log);
        let is_enough = |plan: &Plan| plan.recent.1 + plan.spared.1 <= floor;
        self.plan_spared(log, &mut plan, |plan, _| !is_enough(plan))?;
        for event in self.scan(log, plan.spared_to, u64::MAX)? {
            let event = event?;
            if plan.is_full() || plan.recent.0 <= 1 || is_enough(&plan) {
                plan.oldest_ms = plan.oldest_ms.or(Some(event.time_ms));
                break;
            }
            plan.leave_recent(&event);
            plan.remove(event, true);
        }
        self.apply(log, plan)
    }

    /// Plans the removal of spared events from the oldest on, while `is_removed` returns `true`.
    fn plan_spared(
        &self,
        log: &Log,
        plan: &mut Plan,
        is_removed: impl Fn(&Plan, &Measured) -> bool,
    ) -> Result<(), StoreError> {
        if plan.spared.0 == 0 {
            return Ok(());
        }
        for event in self.scan(log, 0, plan.spared_to)? {
            let event = event?;
            if plan.is_full() || !is_removed(plan, &event) {
                plan.oldest_ms = Some(event.time_ms);
                break;
            }
            take(&mut plan.spared, event.size_bytes);
            plan.remove(event, false);
        }
        Ok(())
    }

    /// Removes a spared event, unless a label claims it.
    pub(super) fn drop_unclaimed(&mut self, log: &mut Log, seq: u64) -> Result<(), StoreError> {
        let mut plan = Plan::new(log);
        if let Some(event) = self.scan(log, seq - 1, seq)?.next() {
            let event = event?;
            if log.labels.as_ref().is_some_and(|labels| labels.is_claimed(&event.labels, seq)) {
                return Ok(());
            }
            take(&mut plan.spared, event.size_bytes);
            plan.remove(event, false);
        }
        self.apply(log, plan)
    }

    /// Reads the events after `after` up to `to`. Labels and ids are left out if the log has none.
    fn scan<'a>(
        &'a self,
        log: &Log,
        after: u64,
        to: u64,
    ) -> Result<impl Iterator<Item = Result<Measured, StoreError>> + use<'a, 'txn>, StoreError> {
        let (id, name) = (log.row.id, log.name.clone());
        let has_parts = log.row.has_labels || log.row.has_ids;
        let unknown_ms = if log.retention.age.is_some() { 0 } else { u64::MAX };
        let range = self.events.range((id, after.saturating_add(1))..=(id, to));
        Ok(range.map_err(redb_error(OPERATION))?.map(move |entry| {
            let (key, record) = entry.map_err(redb_error(OPERATION))?;
            let (seq, record) = (key.value().1, record.value());
            let (labels, no_id) = (Vec::new(), None);
            if !has_parts && let Some((time_ms, size_bytes)) = Record::measure(record) {
                return Ok(Measured { seq, time_ms, size_bytes, labels, id: no_id });
            }
            Ok(match Record::parse(record, key.value(), &name) {
                Some(event) => Measured {
                    seq,
                    time_ms: event.time_ms,
                    size_bytes: event.size_bytes(),
                    labels: event.labels.to_vec(),
                    id: event.attributes.id,
                },
                None => {
                    let size_bytes = damaged_size_bytes(record);
                    Measured { seq, time_ms: unknown_ms, size_bytes, labels, id: no_id }
                }
            })
        }))
    }

    /// Removes the planned events from the file and from the state of the log.
    fn apply(&mut self, log: &mut Log, plan: Plan) -> Result<(), StoreError> {
        log.oldest_ms = plan.oldest_ms;
        log.row.spared_to = plan.spared_to;
        (log.row.spared_events, log.row.spared_bytes) = plan.spared;
        log.row.events = plan.recent.0 + plan.spared.0;
        log.row.bytes = plan.recent.1 + plan.spared.1;
        let Some(last) = plan.removals.last().map(|removal| removal.seq) else { return Ok(()) };
        log.row.trimmed_to = log.row.trimmed_to.max(last);
        self.remove_events(log, &plan.removals)?;
        self.remove_ids(log, &plan.removals)?;
        self.remove_labels(log, &plan.removals)
    }

    fn remove_events(&mut self, log: &Log, removals: &[Removal]) -> Result<(), StoreError> {
        let id = log.row.id;
        if let (None, [first, .., last]) = (&log.labels, removals) {
            // Without labels nothing is spared, so the oldest events are consecutive.
            let range = (id, first.seq)..=(id, last.seq);
            return self.events.retain_in(range, |_, _| false).map_err(redb_error(OPERATION));
        }
        for removal in removals {
            self.events.remove((id, removal.seq)).map_err(redb_error(OPERATION))?;
        }
        Ok(())
    }

    fn remove_ids(&self, log: &Log, removals: &[Removal]) -> Result<(), StoreError> {
        if !log.row.has_ids {
            return Ok(());
        }
        let mut ids = self.txn.open_table(IDS).map_err(redb_error(OPERATION))?;
        for Removal { seq, id, .. } in removals {
            if let Some(id) = id {
                ids.remove((log.row.id, &**id, *seq)).map_err(redb_error(OPERATION))?;
            }
        }
        Ok(())
    }

    fn remove_labels(&self, log: &mut Log, removals: &[Removal]) -> Result<(), StoreError> {
        let Some(table) = &mut log.labels else { return Ok(()) };
        let mut touched = BTreeSet::new();
        for removal in removals {
            table.remove(&removal.labels, removal.seq, removal.is_recent);
            touched.extend(&removal.labels);
        }
        let mut rows: BTreeMap<Bytes, Option<u64>> = BTreeMap::new();
        for label in touched {
            rows.insert(label.clone(), Some(table.label_trimmed_to(label)));
        }
        rows.extend(table.forget_idle(self.max_idle_labels).into_iter().map(|label| (label, None)));
        log.row.forgotten_to = table.forgotten_to();
        self.write_labels(log.row.id, &rows)
    }

    /// Writes the largest removed numbers of labels. Removes the rows of those without one.
    pub(super) fn write_labels(
        &self,
        id: u64,
        rows: &BTreeMap<Bytes, Option<u64>>,
    ) -> Result<(), StoreError> {
        let mut table = self.txn.open_table(LABELS).map_err(redb_error(OPERATION))?;
        for (label, trimmed_to) in rows {
            match trimmed_to {
                Some(seq) => table.insert((id, &**label), *seq).map_err(redb_error(OPERATION))?,
                None => table.remove((id, &**label)).map_err(redb_error(OPERATION))?,
            };
        }
        Ok(())
    }

    /// Removes what the file holds of a forgotten log. Events above [`MAX_REMOVED`] are left for
    /// [`collect_garbage`](Self::collect_garbage).
    pub(super) fn forget(&mut self, log: &Log, logs: &mut Logs) -> Result<(), StoreError> {
        let id = log.row.id;
        if log.row.has_labels {
            let mut table = self.txn.open_table(LABELS).map_err(redb_error(OPERATION))?;
            let range = (id, &[][..])..(id + 1, &[][..]);
            table.retain_in(range, |_, _| false).map_err(redb_error(OPERATION))?;
        }
        if log.row.keys > 0 {
            let mut keys = self.txn.open_table(KEYS).map_err(redb_error(OPERATION))?;
            let range = (id, &[][..])..(id + 1, &[][..]);
            keys.retain_in(range, |_, _| false).map_err(redb_error(OPERATION))?;
            let mut order = self.txn.open_table(KEY_ORDER).map_err(redb_error(OPERATION))?;
            order.retain_in((id, 0)..=(id, u64::MAX), |_, _| false).map_err(redb_error(OPERATION))?;
        }
        if log.row.has_ids {
            let mut ids = self.txn.open_table(IDS).map_err(redb_error(OPERATION))?;
            let range = (id, &[][..], 0)..(id + 1, &[][..], 0);
            ids.retain_in(range, |_, _| false).map_err(redb_error(OPERATION))?;
        }
        if log.row.events <= MAX_REMOVED as u64 {
            let range = (id, 0)..=(id, u64::MAX);
            return self.events.retain_in(range, |_, _| false).map_err(redb_error(OPERATION));
        }
        logs.garbage.insert(id);
        let mut garbage = self.txn.open_table(GARBAGE).map_err(redb_error(OPERATION))?;
        garbage.insert(id, ()).map_err(redb_error(OPERATION))?;
        Ok(())
    }

    /// Removes at most [`MAX_REMOVED`] events of forgotten logs.
    pub(super) fn collect_garbage(&mut self, logs: &mut Logs) -> Result<(), StoreError> {
        let Some(id) = logs.garbage.first().copied() else { return Ok(()) };
        let range = (id, 0)..=(id, u64::MAX);
        let mut last = None;
        for entry in self.events.range(range).map_err(redb_error(OPERATION))?.take(MAX_REMOVED) {
            last = Some(entry.map_err(redb_error(OPERATION))?.0.value());
        }
        if let Some(last) = last {
            return self.events.retain_in((id, 0)..=last, |_, _| false).map_err(redb_error(OPERATION));
        }
        logs.garbage.remove(&id);
        let mut garbage = self.txn.open_table(GARBAGE).map_err(redb_error(OPERATION))?;
        garbage.remove(id).map_err(redb_error(OPERATION))?;
        Ok(())
    }
}

/// Returns some logs whose oldest event may have expired. Successive calls go round all logs, as far as they
/// look for idle logs too.
pub(super) fn expired_logs(logs: &mut Logs, now_ms: u64) -> (BTreeSet<u64>, Vec<u64>) {
    let (mut expired, mut idle) = (BTreeSet::new(), Vec::new());
    for _ in 0..EXPIRY_SCAN_LOGS.min(logs.len()) {
        let Some(log) = logs.next_in_round() else { break };
        let oldest_ms = expiry_ms(now_ms, log.retention.age);
        if log.is_idle(now_ms) {
            idle.push(log.row.id);
        } else if log.row.events > 0
            && log.retention.age.is_some()
            && log.oldest_ms.is_none_or(|ms| ms < oldest_ms)
        {
            expired.insert(log.row.id);
        }
    }
    (expired, idle)
}
