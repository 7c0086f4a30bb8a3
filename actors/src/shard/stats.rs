//! Counters of a running shard.

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

/// Counters of one shard. Any thread may read them.
///
/// Only the shard writes them, so counting costs it no locked instruction.
#[derive(Debug, Default)]
// The processor fetches cache lines of 64 bytes in pairs. So the counters of two shards never share a pair.
#[repr(align(128))]
pub struct ShardStats {
    turns: AtomicU64,
    messages: AtomicU64,
    wakes: AtomicU64,
    timers: AtomicU64,
    tasks: AtomicUsize,
    task_panics: AtomicU64,
    busy_last_nanos: AtomicU64,
    busy_max_nanos: AtomicU64,
    lag_nanos: AtomicU64,
}

impl ShardStats {
    /// Returns the number of turns of the shard's driver.
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// Returns the number of messages passed to the driver.
    pub fn messages(&self) -> u64 {
        self.messages.load(Ordering::Relaxed)
    }

    /// Returns the number of wakes delivered to the driver and to tasks.
    ///
    /// Several wakes of the same task between two turns count as one. A wake of a task by its own shard does
    /// not count.
    pub fn wakes(&self) -> u64 {
        self.wakes.load(Ordering::Relaxed)
    }

    /// Returns the number of timers that fired.
    pub fn timers(&self) -> u64 {
        self.timers.load(Ordering::Relaxed)
    }

    /// Returns the number of tasks on the shard now, actors included.
    pub fn tasks(&self) -> usize {
        self.tasks.load(Ordering::Relaxed)
    }

    /// Returns the number of tasks that panicked. Panics of actors are counted with their system instead.
    pub fn task_panics(&self) -> u64 {
        self.task_panics.load(Ordering::Relaxed)
    }

    /// Returns the smallest time that work waited for this shard during the last 250 to 500 milliseconds.
    ///
    /// It is zero as soon as one piece of work did not wait. A larger value means that a queue does not go
    /// away by itself.
    pub fn lag(&self) -> Duration {
        Duration::from_nanos(self.lag_nanos.load(Ordering::Relaxed))
    }

    /// Returns how long the thread was busy between the last two polls for events.
    pub fn busy_last(&self) -> Duration {
        Duration::from_nanos(self.busy_last_nanos.load(Ordering::Relaxed))
    }

    /// Returns the longest time that the thread was busy between two polls for events, since the start.
    pub fn busy_max(&self) -> Duration {
        Duration::from_nanos(self.busy_max_nanos.load(Ordering::Relaxed))
    }

    pub(crate) fn count_turn(&self) {
        add(&self.turns, 1);
    }

    pub(crate) fn record_busy(&self, busy: Duration) {
        let nanos = u64::try_from(busy.as_nanos()).unwrap_or(u64::MAX);
        self.busy_last_nanos.store(nanos, Ordering::Relaxed);
        if nanos > self.busy_max_nanos.load(Ordering::Relaxed) {
            self.busy_max_nanos.store(nanos, Ordering::Relaxed);
        }
    }

    pub(crate) fn set_lag(&self, lag: Duration) {
        self.lag_nanos.store(u64::try_from(lag.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn count_messages(&self, messages: u64) {
        add(&self.messages, messages);
    }

    pub(crate) fn count_wakes(&self, wakes: u64) {
        add(&self.wakes, wakes);
    }

    pub(crate) fn count_timers(&self, timers: u64) {
        add(&self.timers, timers);
    }

    pub(crate) fn count_task_panic(&self) {
        add(&self.task_panics, 1);
    }

    pub(crate) fn set_tasks(&self, tasks: usize) {
        self.tasks.store(tasks, Ordering::Relaxed);
    }
}

/// Adds to a counter that only this thread writes, without a locked instruction.
fn add(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Ordering::Relaxed) + by, Ordering::Relaxed);
}
