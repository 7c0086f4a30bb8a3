//! Counters of a run and their report.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;

use crate::fault::{Fault, Kind};

/// Maximum faults printed in full.
const MAX_PRINTED: u64 = 5;
/// Number of errors that aborts a run.
const MAX_ERRORS: u64 = 1000;

/// Counters and histograms of one run.
#[derive(Debug)]
pub(crate) struct Tally {
    requests: u64,
    faults: BTreeMap<Kind, u64>,
    latency: Histogram<u64>,
    /// Latency from publishing an event to the response.
    publishing: Histogram<u64>,
    late: Histogram<u64>,
    /// Duration from the first request to the last response.
    pub(crate) elapsed: Duration,
    /// Connections that the server closed with no request in flight.
    pub(crate) reconnects: u64,
    /// Responses on the connection with the fewest and on the one with the most.
    pub(crate) per_connection: (u64, u64),
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            requests: 0,
            faults: BTreeMap::new(),
            latency: nanoseconds(),
            publishing: nanoseconds(),
            late: nanoseconds(),
            elapsed: Duration::ZERO,
            reconnects: 0,
            per_connection: (0, 0),
        }
    }

    /// Counts one checked response and records its latency, if given.
    pub(crate) fn answered(&mut self, latency: Option<Duration>) {
        self.requests += 1;
        if let Some(latency) = latency {
            self.latency.saturating_record(latency.as_nanos() as u64);
        }
    }

    /// Records the latency of a publish response.
    pub(crate) fn published(&mut self, latency: Duration) {
        self.publishing.saturating_record(latency.as_nanos() as u64);
    }

    /// Records the delay of a request behind its schedule.
    pub(crate) fn sent_late(&mut self, by: Duration) {
        self.late.saturating_record(by.as_nanos() as u64);
    }

    /// Counts a fault that affects `requests` requests, at least one.
    pub(crate) fn failed(&mut self, fault: &Fault, requests: u64) {
        if self.errors() < MAX_PRINTED {
            eprintln!("load: {fault}");
        }
        *self.faults.entry(fault.kind).or_default() += requests.max(1);
    }

    /// Returns the number of errors.
    pub(crate) fn errors(&self) -> u64 {
        self.faults.values().sum()
    }

    /// Returns `true` if there are too many errors to continue.
    pub(crate) fn should_abort(&self) -> bool {
        self.errors() >= MAX_ERRORS
    }

    /// Returns `true` if there were requests and no errors.
    pub(crate) fn passed(&self) -> bool {
        self.requests > 0 && self.errors() == 0
    }

    /// Prints the result as one `key=value` per line.
    pub(crate) fn print(&self) {
        let seconds = self.elapsed.as_secs_f64();
        println!("requests={}", self.requests);
        println!("errors={}", self.errors());
        for (kind, count) in &self.faults {
            println!("errors_{}={count}", kind.name());
        }
        println!("reconnects={}", self.reconnects);
        println!("seconds={seconds:.3}");
        println!("per_second={:.0}", self.requests as f64 / seconds.max(f64::MIN_POSITIVE));
        println!("p50_us={:.1}", quantile(&self.latency, 0.5));
        println!("p99_us={:.1}", quantile(&self.latency, 0.99));
        println!("p999_us={:.1}", quantile(&self.latency, 0.999));
        println!("max_us={:.1}", self.latency.max() as f64 / 1e3);
        if !self.publishing.is_empty() {
            println!("publish_p50_us={:.1}", quantile(&self.publishing, 0.5));
            println!("publish_p99_us={:.1}", quantile(&self.publishing, 0.99));
        }
        if !self.late.is_empty() {
            println!("late_p99_us={:.1}", quantile(&self.late, 0.99));
        }
        println!("connection_min={}", self.per_connection.0);
        println!("connection_max={}", self.per_connection.1);
    }
}

fn quantile(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    histogram.value_at_quantile(quantile) as f64 / 1e3
}

fn nanoseconds() -> Histogram<u64> {
    const LOWEST: u64 = 100;
    const HIGHEST: u64 = 100_000_000_000;
    match Histogram::new_with_bounds(LOWEST, HIGHEST, 3) {
        Ok(histogram) => histogram,
        Err(error) => unreachable!("the bounds are constants: {error}"),
    }
}
