//! The orderly end of a server.

use std::{
    sync::{PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use windlass_actors::{ShardSender, Undelivered, clock, error::TellError};

use super::{DrainReport, Server, countdown::Countdown};
use crate::conn::{DrainCounts, Msg};

/// Longest wait for each step after the grace: until the shards have reset their connections, until they have
/// a message, and until the pool has stopped.
const CUT_TIMEOUT: Duration = Duration::from_millis(500);

/// Longest wait for the actors and the shards to end after the last connection.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

impl Server {
    /// Ends the server in an orderly way and returns a report.
    ///
    /// 1. The readiness check returns `503`. Then the server serves everything as before for
    ///    [`Timeouts::drain_delay`](crate::Timeouts::drain_delay).
    /// 2. Each shard accepts the connections in the kernel's queue, then closes its listening sockets.
    /// 3. Requests in progress are answered, over HTTP/1.1 with `Connection: close`. Idle connections and
    ///    event streams end.
    /// 4. A connection whose peer has stalled is reset after
    ///    [`Timeouts::drain_stall`](crate::Timeouts::drain_stall).
    /// 5. After `grace` the remaining connections are reset. `None` stands for
    ///    [`Timeouts::grace`](crate::Timeouts::grace). Without a grace there is no delay either.
    ///
    /// Blocks until the drain is complete, and must not be called on a shard's thread. Another call returns
    /// the same report.
    pub fn drain(&self, grace: Option<Duration>) -> DrainReport {
        let mut drained = self.drained.lock().unwrap_or_else(PoisonError::into_inner);
        drained.get_or_insert_with(|| self.drain_once(grace.unwrap_or(self.grace))).clone()
    }

    /// Ends the delay and the grace of a running [`drain`](Self::drain) now: the remaining connections are
    /// reset. Call it from another thread. Without a drain it resets all connections.
    pub fn cut(&self) {
        self.delay.cut();
        self.send_to_shards(|| Msg::Cut, Instant::now() + CUT_TIMEOUT);
    }

    /// Sends a message to every shard that has not ended. Gives up at `deadline` on shards whose inbox is
    /// full.
    fn send_to_shards(&self, message: impl Fn() -> Msg, deadline: Instant) {
        let mut remaining: Vec<_> = self.inboxes.iter().collect();
        loop {
            let has_room = |inbox: &ShardSender<Msg>| inbox.depth() < inbox.capacity();
            // A shard that has ended does not need the message.
            remaining.retain(|inbox| {
                !has_room(inbox) || matches!(inbox.try_send(message()), Err(TellError::Full(_)))
            });
            if remaining.is_empty() || Instant::now() >= deadline {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn drain_once(&self, grace: Duration) -> DrainReport {
        let started = Instant::now();
        self.metrics.set_ready(false);
        let is_cut = !grace.is_zero() && self.delay.wait(self.drain_delay);
        let grace = if is_cut { Duration::ZERO } else { grace };
        self.metrics.start_drain();
        let (sender, counts) = mpsc::channel();
        let began = Instant::now();
        let deadline = clock::instant_after(began, grace);
        // Without this message a shard reports nothing. A running shard has room in its inbox soon.
        self.send_to_shards(|| Msg::Drain(sender.clone()), deadline.max(began + CUT_TIMEOUT));
        drop(sender);
        let mut report = DrainReport::default();
        let mut remaining = self.shards_alive();
        // Requests that are on their way may still publish, while the subscribers are there.
        remaining = collect(&mut report, &counts, remaining, Countdown::new(self.drain_idle.min(grace)));
        #[cfg(feature = "ws")]
        self.hubs.iter().for_each(crate::pubsub::hub::Hub::drain);
        if let Some(broker) = &self.broker {
            broker.drain(deadline);
        }
        let grace = Countdown::new(deadline.saturating_duration_since(Instant::now()));
        remaining = collect(&mut report, &counts, remaining, grace);
        if remaining > 0 {
            self.cut();
            remaining = collect(&mut report, &counts, remaining, Countdown::new(CUT_TIMEOUT));
        }
        report.shards_stuck = remaining;
        if let Some(broker) = &self.broker {
            broker.stop(Instant::now() + CUT_TIMEOUT);
        }
        self.stop(&mut report);
        report.duration = started.elapsed();
        report
    }

    /// Returns the number of shards that have not failed.
    fn shards_alive(&self) -> usize {
        self.inboxes.len().saturating_sub(self.system.failures().len())
    }

    /// Stops the pool, the actors, the shards and the monitor of stuck threads, and releases the addresses.
    fn stop(&self, report: &mut DrainReport) {
        if let Some(pool) = self.routes.pool() {
            pool.stop(Undelivered::Discard, CUT_TIMEOUT);
        }
        self.system.stop(Undelivered::Drain);
        report.system = self.system.join(STOP_TIMEOUT);
        drop(self.stuck.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.bound.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.drain(Some(Duration::ZERO));
    }
}

/// Adds the counts of the shards to the report as they come, until the time is over. Returns the number of
/// shards that are missing.
fn collect(
    report: &mut DrainReport,
    counts: &mpsc::Receiver<(usize, DrainCounts)>,
    mut remaining: usize,
    mut time: Countdown,
) -> usize {
    while remaining > 0 {
        let Some((_, counts)) = time.receive(counts) else { return remaining };
        report.add(&counts);
        remaining -= 1;
    }
    0
}
