//! The orderly end of a server, and its report.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use windlass_actors::{ShardSender, StopReport, Undelivered, error::TellError};

use super::Server;
use crate::{
    conn::{DrainCounts, Msg},
    limits::FOREVER,
};

/// How long shards may take to close what was cut.
const CUT_TIMEOUT: Duration = Duration::from_millis(500);

/// How long actors and shards may take to end once no connection is left.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// What came of a drain.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct DrainReport {
    /// Connections open when the drain began or accepted from the kernel's queue after it, that ended in order.
    pub drained: u64,
    /// Connections that were cut when the grace was over, by what they were doing.
    pub cut: BTreeMap<&'static str, u64>,
    /// How long it took.
    pub took: Duration,
    /// What became of actors, their messages and the shards, which have 1 s once no connection is left. Threads of the
    /// pool are not waited for: a sync handler that never returns is none of this report's, and its thread ends with the
    /// process.
    pub system: StopReport,
}

impl DrainReport {
    /// Returns how many connections were cut.
    pub fn cut_total(&self) -> u64 {
        self.cut.values().sum()
    }

    fn add(&mut self, counts: &DrainCounts) {
        self.drained += counts.drained;
        for (doing, count) in &counts.cut {
            *self.cut.entry(doing).or_default() += count;
        }
    }
}

impl fmt::Display for DrainReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "drained {} connections, cut {}", self.drained, self.cut_total())?;
        for (index, (doing, count)) in self.cut.iter().enumerate() {
            write!(f, "{}{doing} {count}", if index == 0 { " (" } else { ", " })?;
        }
        let close = if self.cut.is_empty() { "" } else { ")" };
        write!(f, "{close}, took {:.3} s", self.took.as_secs_f64())?;
        let system = &self.system;
        write!(
            f,
            "; {} actors ended, {} of their messages handled meanwhile, {} dropped",
            system.actors_stopped, system.messages_drained, system.messages_dropped
        )?;
        if !self.system.is_clean() {
            write!(f, "; the actor system did not end cleanly: {:?}", self.system)?;
        }
        Ok(())
    }
}

impl Server {
    /// Ends the server in order and reports.
    ///
    /// Readiness turns `503`; accepting stops, what the kernel already queued is served; idle connections close;
    /// requests in progress are answered with `Connection: close`. What has not ended after `grace` (`None`:
    /// [`Timeouts::grace`](crate::Timeouts::grace)) is cut. Blocks meanwhile; not for a shard's thread. Called again
    /// it returns the same report.
    pub fn drain(&self, grace: Option<Duration>) -> DrainReport {
        let mut drained = self.drained.lock().unwrap_or_else(PoisonError::into_inner);
        drained.get_or_insert_with(|| self.drain_once(grace.unwrap_or(self.grace))).clone()
    }

    /// Ends a running [`drain`](Self::drain)'s grace now, from another thread.
    pub fn cut(&self) {
        self.tell(|| Msg::Cut, Instant::now() + CUT_TIMEOUT);
    }

    /// Tells every shard, as soon as its inbox has room; one that is stuck with a full inbox until then is told nothing.
    fn tell(&self, message: impl Fn() -> Msg, until: Instant) {
        let mut left: Vec<_> = self.inboxes.iter().collect();
        loop {
            let has_room = |inbox: &ShardSender<Msg>| inbox.depth() < inbox.capacity();
            // A shard that has ended needs no telling.
            left.retain(|inbox| {
                !has_room(inbox) || matches!(inbox.try_send(message()), Err(TellError::Full(_)))
            });
            if left.is_empty() || Instant::now() >= until {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn drain_once(&self, grace: Duration) -> DrainReport {
        let began = Instant::now();
        self.metrics.start_drain();
        let (told, reports) = mpsc::channel();
        let end = began + grace.min(FOREVER);
        // A shard that is at work has room soon, and without this message it would not tell what was cut.
        self.tell(|| Msg::Drain(told.clone()), end.max(began + CUT_TIMEOUT));
        drop(told);
        #[cfg(feature = "ws")]
        self.hubs.iter().for_each(crate::pubsub::hub::Hub::drain);
        if let Some(broker) = &self.broker {
            broker.drain(end);
        }
        let mut report = DrainReport::default();
        let mut left = collect(&mut report, &reports, self.inboxes.len(), end);
        if left > 0 {
            self.cut();
            left = collect(&mut report, &reports, left, Instant::now() + CUT_TIMEOUT);
        }
        if left > 0 {
            *report.cut.entry("shard_stuck").or_default() += left as u64;
        }
        self.end(&mut report);
        report.took = began.elapsed();
        report
    }

    /// Ends the pool, the actors and the shards, and gives up the addresses.
    fn end(&self, report: &mut DrainReport) {
        if let Some(pool) = self.source.pool() {
            pool.stop(Undelivered::Discard, CUT_TIMEOUT);
        }
        self.system.stop(Undelivered::Drain);
        report.system = self.system.join(STOP_TIMEOUT);
        self.bound.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.drain(Some(Duration::ZERO));
    }
}

/// Takes the shards' reports until all have told or the time is up; returns how many have not.
fn collect(
    report: &mut DrainReport,
    reports: &mpsc::Receiver<(usize, DrainCounts)>,
    mut left: usize,
    until: Instant,
) -> usize {
    while left > 0 {
        match reports.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok((_, counts)) => report.add(&counts),
            Err(_) => return left,
        }
        left -= 1;
    }
    0
}
