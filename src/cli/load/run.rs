//! State that all tasks of a run share.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use super::{Plan, args::Shares, gate::Gate, tally::Tally, topic::Topic};
use crate::client::{
    fault::{Fault, Kind},
    totals::MAX_ERRORS,
};

/// Pause of a connection after a fault, so that it does not ask a dead server in a tight loop.
pub(super) const RECOVERY: Duration = Duration::from_millis(50);

/// State that all tasks of a run share.
pub(super) struct Run {
    pub(super) plan: Plan,
    pub(super) shares: Shares,
    /// Due times of the requests.
    pub(super) gate: Gate,
    pub(super) topic: Topic,
    pub(super) tally: Tally,
    responses: Cell<u64>,
    faults: Cell<u64>,
}

impl Run {
    pub(super) fn new(plan: Plan, shares: Shares, tally: Tally) -> Self {
        let gate = Gate::new(plan.traffic.rate);
        let topic = Topic::new(Gate::new(plan.traffic.event_rate()), shares.subscribers());
        Self { plan, shares, gate, topic, tally, responses: Cell::new(0), faults: Cell::new(0) }
    }

    /// Returns the time by which a request due at `due` must be answered.
    pub(super) fn deadline(&self, due: Instant) -> Instant {
        due + self.plan.traffic.timeout
    }

    /// Returns the fault of a response that did not arrive in time.
    pub(super) fn timed_out() -> Fault {
        Fault::new(Kind::Timeout, "no response within the timeout")
    }

    /// Counts a request that found no free connection before its deadline.
    pub(super) fn count_unsent(&self) {
        self.count_fault(
            &Fault::new(Kind::Timeout, "request not sent: no connection was free within the timeout"),
            1,
        );
    }

    /// Counts the response to a request that was due at `due`: as an error if it is a fault or its status is
    /// 400 or above. Returns `true` if it is no error.
    pub(super) fn count_response(&self, due: Instant, response: Result<u16, Fault>) -> bool {
        match response {
            Ok(..400) => {
                self.responses.set(self.responses.get() + 1);
                self.tally.update(|totals| totals.answered(Some(due.elapsed())));
                return true;
            }
            Ok(status) => self.count_fault(&Fault::new(Kind::Status, status), 1),
            Err(fault) => self.count_fault(&fault, 1),
        }
        false
    }

    /// Counts a delivery and its latency, if it is to be reported.
    pub(super) fn count_delivery(&self, latency: Option<Duration>) {
        self.responses.set(self.responses.get() + 1);
        self.tally.update(|totals| totals.delivered(latency));
    }

    /// Counts a fault that affects this many requests.
    pub(super) fn count_fault(&self, fault: &Fault, requests: u64) {
        self.faults.set(self.faults.get() + requests);
        self.tally.update(|totals| totals.failed(fault, requests));
    }

    /// Returns `true` if there were [`MAX_ERRORS`] faults and no response at all, so that continuing is
    /// pointless.
    pub(super) fn is_hopeless(&self) -> bool {
        self.responses.get() == 0 && self.faults.get() >= MAX_ERRORS
    }

    /// Stops the schedules of requests and events.
    pub(super) fn end(&self) {
        self.gate.end();
        self.topic.gate.end();
    }
}
