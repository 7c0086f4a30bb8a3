//! Counters and histograms of a run.

use std::{collections::BTreeMap, time::Duration};

use super::{
    fault::{Fault, Kind},
    latency::Latency,
};

/// Maximum number of faults whose details are kept.
const MAX_EXAMPLES: usize = 5;
/// Number of errors after which a run without any response is given up.
pub const MAX_ERRORS: u64 = 1000;

/// Counters and histograms of a run, or of an interval of it.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Responses that passed the checks, and deliveries of events.
    pub requests: u64,
    /// Time from when a request or an event was due to its response or delivery.
    pub latency: Latency,
    /// Delay of requests behind their schedule, for which the client itself is responsible.
    pub late: Latency,
    /// Time from when publishing an event was due to the response of the server.
    pub publishing: Latency,
    /// Number of errors of each kind.
    pub faults: BTreeMap<Kind, u64>,
    /// Kinds and details of the first five faults.
    pub examples: Vec<String>,
    /// Connections that the server closed with no request in flight.
    pub reconnects: u64,
    /// Events that the server accepted.
    pub published: u64,
    /// Subscriptions that the server answered.
    pub subscribers: u64,
    /// Events that subscribers received. An event counts once for each subscriber.
    pub deliveries: u64,
    /// Events that gaps reported missing to subscribers that read at once.
    pub dropped_fast: u64,
    /// Events that gaps reported missing to slow subscribers.
    pub dropped_slow: u64,
    /// Deliveries that were still missing at the end, without a gap that reported them.
    pub queued: u64,
}

impl Totals {
    /// Counts a response and records its latency, if given.
    pub fn answered(&mut self, latency: Option<Duration>) {
        self.requests += 1;
        if let Some(latency) = latency {
            self.latency.record(latency);
        }
    }

    /// Counts a delivery, also as a request, and records its latency, if given.
    pub fn delivered(&mut self, latency: Option<Duration>) {
        self.deliveries += 1;
        self.answered(latency);
    }

    /// Counts a fault as `requests` errors of its kind, or as one error if `requests` is 0.
    pub fn failed(&mut self, fault: &Fault, requests: u64) {
        *self.faults.entry(fault.kind).or_default() += requests.max(1);
        if self.examples.len() < MAX_EXAMPLES {
            self.examples.push(fault.to_string());
        }
    }

    /// Returns the number of errors.
    pub fn errors(&self) -> u64 {
        self.faults.values().sum()
    }

    /// Returns `true` if there were requests and no errors.
    pub fn passed(&self) -> bool {
        self.requests > 0 && self.errors() == 0
    }

    /// Adds the totals of a later interval.
    pub fn add(&mut self, later: &Self) {
        self.requests += later.requests;
        self.latency.merge(&later.latency);
        self.late.merge(&later.late);
        self.publishing.merge(&later.publishing);
        for (kind, count) in &later.faults {
            *self.faults.entry(*kind).or_default() += count;
        }
        let room = MAX_EXAMPLES.saturating_sub(self.examples.len());
        self.examples.extend(later.examples.iter().take(room).cloned());
        self.reconnects += later.reconnects;
        self.published += later.published;
        self.subscribers += later.subscribers;
        self.deliveries += later.deliveries;
        self.dropped_fast += later.dropped_fast;
        self.dropped_slow += later.dropped_slow;
        self.queued += later.queued;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_add_up() {
        let mut interval = Totals::default();
        interval.answered(Some(Duration::from_millis(1)));
        interval.delivered(None);
        interval.failed(&Fault::new(Kind::Status, 503), 3);
        interval.failed(&Fault::new(Kind::Io, "x"), 0);
        interval.dropped_slow = 2;
        let mut all = Totals::default();
        (0..4).for_each(|_| all.add(&interval));
        assert_eq!((all.requests, all.latency.count(), all.errors(), all.dropped_slow), (8, 4, 16, 8));
        assert_eq!(all.examples, ["status: 503", "io: x", "status: 503", "io: x", "status: 503"]);
        assert!(!all.passed());
    }
}
