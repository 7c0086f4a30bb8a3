//! Wakers that reach a shard through its doorbell, never through the executor that hosts it.

use std::{cell::RefCell, rc::Rc, sync::Arc, task::Wake};

use super::queue::WakeQueue;
use crate::sync::{AtomicBool, AtomicU64, Ordering, fence};

/// Wake queue of a shard: wakers of its driver, and its tasks.
pub(crate) type ShardWakes = WakeQueue<Wakeable>;

thread_local! {
    static CURRENT: RefCell<Option<CurrentShard>> = const { RefCell::new(None) };
}

/// The shard that the calling thread runs. Waking one of its tasks from here needs no queue and no doorbell.
#[derive(Clone)]
pub(crate) struct CurrentShard {
    pub(crate) wakes: Arc<ShardWakes>,
    /// Schedules a task on the executor of this thread.
    pub(crate) schedule: Rc<dyn Fn(TaskKey)>,
}

impl CurrentShard {
    /// Sets the shard that the calling thread runs. `None`: it runs none.
    pub(crate) fn set(shard: Option<Self>) {
        CURRENT.with(|current| *current.borrow_mut() = shard);
    }

    /// Returns the function that schedules tasks, if the calling thread runs the shard that owns `wakes`.
    fn scheduler(wakes: &Arc<ShardWakes>) -> Option<Rc<dyn Fn(TaskKey)>> {
        let scheduler = |current: &RefCell<Option<Self>>| {
            let current = current.borrow();
            current
                .as_ref()
                .filter(|shard| Arc::ptr_eq(&shard.wakes, wakes))
                .map(|shard| Rc::clone(&shard.schedule))
        };
        // Access fails while the thread is ending. It runs no shard then.
        CURRENT.try_with(scheduler).ok().flatten()
    }
}

/// Key of a task in its shard's table: a slot, and how many tasks have used the slot before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TaskKey {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl TaskKey {
    fn pack(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.slot)
    }

    fn unpack(packed: u64) -> Self {
        Self { slot: (packed & 0xffff_ffff) as u32, generation: (packed >> 32) as u32 }
    }
}

/// Receiver of a wake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WakeTarget {
    /// The driver of the shard, with the token that the driver chose.
    Driver(u64),
    /// A task. Its key is known once it has been spawned.
    Task,
}

/// A task, or the driver under one token, that any thread can wake. Further wakes before it runs have no
/// effect.
#[derive(Debug)]
pub(crate) struct Wakeable {
    wakes: Arc<ShardWakes>,
    target: WakeTarget,
    /// Packed key of the task, or `NO_KEY`.
    key: AtomicU64,
    scheduled: AtomicBool,
    cancelled: AtomicBool,
}

/// No task has this packed key: a shard never hosts 2³² tasks.
const NO_KEY: u64 = u64::MAX;

impl Wakeable {
    /// Creates a wakeable on the shard that owns `wakes`.
    pub(crate) fn new(wakes: Arc<ShardWakes>, target: WakeTarget) -> Arc<Self> {
        Arc::new(Self {
            wakes,
            target,
            key: AtomicU64::new(NO_KEY),
            scheduled: AtomicBool::new(false),
            cancelled: AtomicBool::new(false),
        })
    }

    /// Returns the receiver of the wake.
    pub(crate) fn target(&self) -> WakeTarget {
        self.target
    }

    /// Sets the key of the task, once it has been spawned.
    pub(crate) fn set_key(&self, key: TaskKey) {
        self.key.store(key.pack(), Ordering::Relaxed);
    }

    /// Returns the key of the task, or `None` before it has been spawned.
    pub(crate) fn key(&self) -> Option<TaskKey> {
        match self.key.load(Ordering::Relaxed) {
            NO_KEY => None,
            packed => Some(TaskKey::unpack(packed)),
        }
    }

    /// Lets the next wake through. Called right before the woken task or driver checks its queues.
    pub(crate) fn clear_scheduled(&self) {
        self.scheduled.swap(false, Ordering::AcqRel);
        // Pairs with the fence that callers of `wake_after_fence` pass.
        fence(Ordering::SeqCst);
    }

    /// Wakes unless a wake is pending. The caller has pushed to a queue and passed a full fence since.
    ///
    /// Of the two fences, one comes first. Either the check of the queues after
    /// [`clear_scheduled`](Self::clear_scheduled) finds the push, or this call finds `scheduled` cleared. So
    /// a load is enough while a wake is pending.
    pub(crate) fn wake_after_fence(self: &Arc<Self>) {
        if !self.scheduled.load(Ordering::Relaxed) {
            self.wake_by_ref();
        }
    }

    /// Asks the task to end, and wakes it. Its future is dropped without another poll.
    pub(crate) fn cancel(self: &Arc<Self>) {
        self.cancelled.store(true, Ordering::Release);
        self.wake_by_ref();
    }

    /// Returns `true` if the task was asked to end.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }
}

impl Wake for Wakeable {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.target == WakeTarget::Task
            && let Some(schedule) = CurrentShard::scheduler(&self.wakes)
        {
            // A task without a key is about to be spawned. Its first poll checks its queues anyway.
            return self.key().into_iter().for_each(|key| schedule(key));
        }
        if !self.scheduled.swap(true, Ordering::AcqRel) {
            self.wakes.push(Arc::clone(self));
        }
    }
}
