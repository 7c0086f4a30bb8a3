//! What a shard tells about itself while it runs.

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

/// Counters of one shard. Only the shard writes them, so they cost it no locked instruction; anyone may read.
#[derive(Debug, Default)]
// Two lines of 64 bytes: neighbouring lines are fetched in pairs.
#[repr(align(128))]
pub struct ShardStats {
    turns: AtomicU64,
    messages: AtomicU64,
    wakes: AtomicU64,
    timers: AtomicU64,
    tasks: AtomicUsize,
    task_panics: AtomicU64,
    held_last_nanos: AtomicU64,
    held_max_nanos: AtomicU64,
    lag_nanos: AtomicU64,
}

impl ShardStats {
    /// Returns how many turns the shard's driver had.
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// Returns how many messages its driver was given.
    pub fn messages(&self) -> u64 {
        self.messages.load(Ordering::Relaxed)
    }

    /// Returns how many wakes reached the driver or a guest, after several for the same were made one.
    pub fn wakes(&self) -> u64 {
        self.wakes.load(Ordering::Relaxed)
    }

    /// Returns how many timers fired.
    pub fn timers(&self) -> u64 {
        self.timers.load(Ordering::Relaxed)
    }

    /// Returns how many futures the shard hosts, actors included.
    pub fn tasks(&self) -> usize {
        self.tasks.load(Ordering::Relaxed)
    }

    /// Returns how many hosted futures ended by a panic. An actor's panics are counted with its system.
    pub fn task_panics(&self) -> u64 {
        self.task_panics.load(Ordering::Relaxed)
    }

    /// Returns the smallest time that work had to wait for this shard during the last quarter to half of a second; zero
    /// as soon as something need not wait. What stands here is a queue that does not go away by itself.
    pub fn lag(&self) -> Duration {
        Duration::from_nanos(self.lag_nanos.load(Ordering::Relaxed))
    }

    /// Returns how long the thread was last held between two looks at what there is.
    pub fn busy_last(&self) -> Duration {
        Duration::from_nanos(self.held_last_nanos.load(Ordering::Relaxed))
    }

    /// Returns the longest time it was held since the start.
    pub fn busy_max(&self) -> Duration {
        Duration::from_nanos(self.held_max_nanos.load(Ordering::Relaxed))
    }

    pub(crate) fn count_turn(&self) {
        add(&self.turns, 1);
    }

    pub(crate) fn count_held(&self, held: Duration) {
        let nanos = u64::try_from(held.as_nanos()).unwrap_or(u64::MAX);
        self.held_last_nanos.store(nanos, Ordering::Relaxed);
        if nanos > self.held_max_nanos.load(Ordering::Relaxed) {
            self.held_max_nanos.store(nanos, Ordering::Relaxed);
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

    pub(crate) fn set_tasks(&self, guests: usize) {
        self.tasks.store(guests, Ordering::Relaxed);
    }
}

/// Adds without a locked instruction: there is one writer.
fn add(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Ordering::Relaxed) + by, Ordering::Relaxed);
}
