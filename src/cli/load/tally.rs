//! Counts what happens; the thread that drives the load adds, the one that reports takes off.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::client::{
    fault::{Fault, Kind},
    latency::Latency,
};

/// Faults that are told in full.
const TOLD: usize = 5;

/// What happened since the start, or since it was taken.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    /// Answers that were right, or deliveries.
    pub(crate) requests: u64,
    /// From when a request was due to its answer.
    pub(crate) latency: Latency,
    /// How much later than due requests were released.
    pub(crate) late: Latency,
    pub(crate) faults: BTreeMap<Kind, u64>,
    /// The first faults.
    pub(crate) told: Vec<String>,
    /// Connections that the server ended while it owed nothing.
    pub(crate) reconnects: u64,
    /// Events that were published.
    pub(crate) published: u64,
    /// Subscribers that were answered.
    pub(crate) subscribers: u64,
    /// Events that subscribers received.
    pub(crate) deliveries: u64,
    /// Events that gaps told fast and slow subscribers of.
    pub(crate) dropped: (u64, u64),
    /// Events that had come to no end when the run did.
    pub(crate) queued: u64,
}

impl Totals {
    /// Counts a fault that concerns so many requests.
    pub(crate) fn fail(&mut self, fault: &Fault, requests: u64) {
        *self.faults.entry(fault.kind).or_default() += requests;
        if self.told.len() < TOLD {
            self.told.push(fault.to_string());
        }
    }

    /// Returns the number of errors.
    pub(crate) fn errors(&self) -> u64 {
        self.faults.values().sum()
    }

    /// Adds what happened later.
    pub(crate) fn add(&mut self, later: &Self) {
        self.requests += later.requests;
        self.latency.merge(&later.latency);
        self.late.merge(&later.late);
        for (kind, count) in &later.faults {
            *self.faults.entry(*kind).or_default() += count;
        }
        let room = TOLD.saturating_sub(self.told.len());
        self.told.extend(later.told.iter().take(room).cloned());
        self.reconnects += later.reconnects;
        self.published += later.published;
        self.subscribers += later.subscribers;
        self.deliveries += later.deliveries;
        self.queued += later.queued;
        self.dropped = (self.dropped.0 + later.dropped.0, self.dropped.1 + later.dropped.1);
    }
}

/// What happened since it was last taken. Clones are one tally.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally(Arc<Mutex<Totals>>);

impl Tally {
    fn totals(&self) -> MutexGuard<'_, Totals> {
        // A panic between two additions leaves figures that are still figures.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an answer.
    pub(super) fn answered(&self, latency: Duration) {
        let mut totals = self.totals();
        totals.requests += 1;
        totals.latency.record(latency);
    }

    /// Counts a delivery, and its latency if that says something about the server.
    pub(super) fn delivered(&self, latency: Option<Duration>) {
        let mut totals = self.totals();
        totals.requests += 1;
        totals.deliveries += 1;
        latency.into_iter().for_each(|latency| totals.latency.record(latency));
    }

    /// Notes how late a request was released.
    pub(super) fn late(&self, by: Duration) {
        self.totals().late.record(by);
    }

    /// Counts a fault that concerns so many requests.
    pub(super) fn failed(&self, fault: &Fault, requests: u64) {
        self.totals().fail(fault, requests);
    }

    /// Counts a connection that the server ended in order.
    pub(super) fn reconnected(&self) {
        self.totals().reconnects += 1;
    }

    /// Counts an event that the server took.
    pub(super) fn published(&self) {
        self.totals().published += 1;
    }

    /// Counts a subscriber.
    pub(super) fn subscribed(&self) {
        self.totals().subscribers += 1;
    }

    /// Counts events that have come to no end.
    pub(super) fn queued(&self, events: u64) {
        self.totals().queued += events;
    }

    /// Counts events that a gap told of.
    pub(super) fn dropped(&self, events: u64, is_slow: bool) {
        let dropped = &mut self.totals().dropped;
        *(if is_slow { &mut dropped.1 } else { &mut dropped.0 }) += events;
    }

    /// Takes what happened since the last time.
    pub(super) fn take(&self) -> Totals {
        std::mem::take(&mut self.totals())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_adds_up() {
        let tally = Tally::default();
        let mut all = Totals::default();
        for _ in 0..2 {
            tally.answered(Duration::from_millis(1));
            tally.delivered(None);
            tally.failed(&Fault::new(Kind::Status, 503), 3);
            tally.dropped(2, true);
            all.add(&tally.take());
        }
        assert_eq!((all.requests, all.latency.count(), all.errors(), all.dropped), (4, 2, 6, (0, 4)));
        assert_eq!(all.told, ["status: 503", "status: 503"]);
        assert_eq!(tally.take().requests, 0);
    }
}
