//! The logs that a broker has open.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use windlass_actors::{clock, fanout::TopicStats};

use super::{
    BrokerSettings,
    log::{LogKey, OpenLog},
    subscribers::Subscribers,
};

/// Open and closing logs, and the counts of closed and forgotten ones.
///
/// A log is in use while a stream or an event in flight holds it. A log that only had subscribers is
/// forgotten with its last use. A log that had an event is then idle. It is forgotten when another one needs
/// its place, the least recently used log first, or after [`BrokerSettings::topic_idle`]. So subscribers
/// take no place from logs with events.
#[derive(Default)]
pub(super) struct Registry {
    open: HashMap<LogKey, Entry>,
    /// Number of open logs that had an event.
    published: usize,
    /// Idle logs by the number of their last use, the least recently used one first.
    idle: BTreeMap<u64, LogKey>,
    /// Number of the last use.
    uses: u64,
    closing: Vec<Arc<OpenLog>>,
    /// Sum of the counts of all closed and forgotten logs.
    closed_stats: TopicStats,
    forgotten: Forgotten,
    pub(super) subscribers: Subscribers,
}

struct Entry {
    log: Arc<OpenLog>,
    /// The log had an event since it was opened.
    is_published: bool,
    /// Number and time of the last use of an idle log.
    idle: Option<(u64, Instant)>,
}

/// Use of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Publish,
    Subscribe,
}

/// Numbers of forgotten logs that had an event, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Forgotten {
    /// Another log needed the place.
    pub(super) full: u64,
    /// The log was idle for too long.
    pub(super) idle: u64,
}

impl Registry {
    /// Returns the log with this key if it is open.
    pub(super) fn get(&self, key: &str) -> Option<Arc<OpenLog>> {
        self.open.get(key).map(|entry| entry.log.clone())
    }

    /// Returns all open logs.
    pub(super) fn open(&self) -> impl ExactSizeIterator<Item = &Arc<OpenLog>> {
        self.open.values().map(|entry| &entry.log)
    }

    /// Returns the log with this key if it is open, and counts a user. The user calls
    /// [`release`](Self::release) if it was the last one.
    pub(super) fn acquire(
        &mut self,
        key: &str,
        wanted: Use,
        settings: &BrokerSettings,
    ) -> Option<Arc<OpenLog>> {
        let entry = self.open.get_mut(key)?;
        entry.log.users.fetch_add(1, Ordering::SeqCst);
        if let Some((number, _)) = entry.idle.take() {
            self.idle.remove(&number);
        }
        let log = entry.log.clone();
        if wanted == Use::Publish && !std::mem::replace(&mut entry.is_published, true) {
            self.make_room(settings);
        }
        Some(log)
    }

    /// Adds a log that has one user.
    pub(super) fn insert(&mut self, log: &Arc<OpenLog>, wanted: Use, settings: &BrokerSettings) {
        if wanted == Use::Publish {
            self.make_room(settings);
        }
        let is_published = wanted == Use::Publish;
        self.open.insert(log.key.clone(), Entry { log: log.clone(), is_published, idle: None });
    }

    /// Counts one more log with events, and forgets idle ones beyond the limit.
    fn make_room(&mut self, settings: &BrokerSettings) {
        self.published += 1;
        self.forget_expired(settings.topic_idle);
        while self.published > settings.topics {
            // The logs in use are bounded by the limits of subscribers and of the store's queue.
            let Some((_, key)) = self.idle.pop_first() else { return };
            self.forget(&key);
            self.forgotten.full += 1;
        }
    }

    /// Forgets the logs that have been idle for this time. Never with `None`.
    pub(super) fn forget_expired(&mut self, limit: Option<Duration>) {
        let Some(limit) = limit else { return };
        let now = clock::now();
        while let Some(first) = self.idle.first_entry() {
            let since = self.open.get(first.get()).and_then(|entry| entry.idle).map(|(_, since)| since);
            if since.is_some_and(|since| now.saturating_duration_since(since) < limit) {
                return;
            }
            let key = first.remove();
            self.forget(&key);
            self.forgotten.idle += 1;
        }
    }

    /// Ends the use of a log by its last user, unless it has a new one.
    pub(super) fn release(&mut self, log: &Arc<OpenLog>) {
        let Some(entry) = self.open.get_mut(&log.key).filter(|entry| Arc::ptr_eq(&entry.log, log)) else {
            return;
        };
        if log.users.load(Ordering::SeqCst) > 0 || entry.idle.is_some() {
            return;
        }
        if !entry.is_published {
            return self.forget(&log.key);
        }
        self.uses += 1;
        entry.idle = Some((self.uses, clock::now()));
        self.idle.insert(self.uses, log.key.clone());
    }

    /// Removes a log and keeps its counts.
    fn forget(&mut self, key: &str) {
        if let Some(log) = self.remove(key) {
            self.add_closed(&log);
        }
    }

    fn remove(&mut self, key: &str) -> Option<Arc<OpenLog>> {
        let entry = self.open.remove(key)?;
        self.published -= usize::from(entry.is_published);
        if let Some((number, _)) = entry.idle {
            self.idle.remove(&number);
        }
        Some(entry.log)
    }

    /// Moves a log, if it is open, to the closing ones. Returns all closing logs with this key.
    pub(super) fn start_closing(&mut self, key: &str) -> Vec<Arc<OpenLog>> {
        let log = self.remove(key);
        self.closing.extend(log);
        self.closing.iter().filter(|log| *log.key == *key).cloned().collect()
    }

    /// Moves all open logs to the closing ones, and returns all closing logs.
    pub(super) fn start_closing_all(&mut self) -> Vec<Arc<OpenLog>> {
        self.closing.extend(self.open.drain().map(|(_, entry)| entry.log));
        self.idle.clear();
        self.published = 0;
        self.closing.clone()
    }

    /// Removes a closing log and keeps its counts. Does nothing if another caller was first.
    pub(super) fn finish_closing(&mut self, log: &Arc<OpenLog>) {
        if self.closing.iter().any(|closing| Arc::ptr_eq(closing, log)) {
            self.closing.retain(|closing| !Arc::ptr_eq(closing, log));
            self.add_closed(log);
        }
    }

    /// Returns the sum of the counts of all logs, closed and forgotten ones included.
    pub(super) fn total(&self) -> TopicStats {
        let mut total = self.closed_stats;
        self.open().chain(&self.closing).for_each(|log| total += log.fanout.stats());
        total
    }

    pub(super) fn forgotten(&self) -> Forgotten {
        self.forgotten
    }

    fn add_closed(&mut self, log: &OpenLog) {
        let mut stats = log.fanout.stats();
        (stats.subscribers, stats.lagging, stats.lag_events, stats.lag_age) = (0, 0, 0, Duration::ZERO);
        self.closed_stats += stats;
    }
}
