//! Tasks: the futures that a shard hosts, such as actors, and handlers that did not finish at once.
//!
//! Each task is also a task of the executor, but its future is polled with a waker of this crate. So a wake
//! from another thread rings the doorbell of the shard, and only the shard's own thread asks the executor to
//! run a task.

use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    mem,
    pin::pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use super::remote::Remote;
use crate::{
    future::{catch_panic_async, panic_message, race},
    wake::{TaskKey, WakeTarget, Wakeable},
};

#[derive(Debug)]
struct Slot {
    generation: u32,
    task: Option<Task>,
}

#[derive(Debug)]
struct Task {
    wakeable: Arc<Wakeable>,
    /// The executor's waker for the task, known since its first poll. Used on the shard's thread only.
    executor_waker: Option<Waker>,
    /// Set while the executor has been asked to run the task and has not done so.
    scheduled: bool,
}

/// Table of a shard's tasks.
#[derive(Debug, Default)]
pub(crate) struct TaskTable {
    slots: Vec<Slot>,
    free: Vec<u32>,
    len: usize,
    scheduled: usize,
}

impl TaskTable {
    /// Returns the number of tasks.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Returns the number of tasks that the executor must run before the shard may wait.
    pub(crate) fn scheduled(&self) -> usize {
        self.scheduled
    }

    /// Adds a task that is about to be spawned on the executor.
    pub(crate) fn insert(&mut self, wakeable: Arc<Wakeable>) -> TaskKey {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, task: None });
            (self.slots.len() - 1) as u32
        });
        let entry = &mut self.slots[slot as usize];
        let key = TaskKey { slot, generation: entry.generation };
        wakeable.set_key(key);
        entry.task = Some(Task { wakeable, executor_waker: None, scheduled: true });
        self.len += 1;
        self.scheduled += 1;
        key
    }

    /// Marks a task as scheduled and returns the executor's waker for it.
    ///
    /// Returns `None` if the task is scheduled already or has ended.
    pub(crate) fn schedule(&mut self, key: TaskKey) -> Option<Waker> {
        let task = self.task(key)?;
        if task.scheduled {
            return None;
        }
        let waker = task.executor_waker.clone()?;
        task.scheduled = true;
        self.scheduled += 1;
        Some(waker)
    }

    /// Records that the executor polls a task, with this waker.
    fn begin_poll(&mut self, key: TaskKey, waker: &Waker) {
        let Some(task) = self.task(key) else { return };
        let was_scheduled = mem::take(&mut task.scheduled);
        match &mut task.executor_waker {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        self.scheduled -= usize::from(was_scheduled);
    }

    /// Removes a task that has ended and returns the number of tasks left.
    fn remove(&mut self, key: TaskKey) -> usize {
        if self.task(key).is_none() {
            return self.len;
        }
        let entry = &mut self.slots[key.slot as usize];
        let was_scheduled = entry.task.take().is_some_and(|task| task.scheduled);
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(key.slot);
        self.len -= 1;
        self.scheduled -= usize::from(was_scheduled);
        self.len
    }

    /// Returns the wakeables of all tasks.
    pub(crate) fn all(&self) -> Vec<Arc<Wakeable>> {
        self.slots
            .iter()
            .filter_map(|slot| slot.task.as_ref())
            .map(|task| Arc::clone(&task.wakeable))
            .collect()
    }

    fn task(&mut self, key: TaskKey) -> Option<&mut Task> {
        let slot = self.slots.get_mut(key.slot as usize)?;
        if slot.generation != key.generation {
            return None;
        }
        slot.task.as_mut()
    }
}

/// Handle to a future that was spawned on a shard. Dropping the handle lets the future run on.
#[derive(Clone, Debug)]
pub struct TaskHandle {
    pub(crate) wakeable: Arc<Wakeable>,
}

impl TaskHandle {
    /// Drops the future during the next turn of its shard, unless it ends before. May be called from any
    /// thread.
    pub fn cancel(&self) {
        debug_assert_eq!(self.wakeable.target(), WakeTarget::Task);
        self.wakeable.cancel();
    }
}

/// Polls the future of a task until it ends, panics or is cancelled. Logs and counts a panic. The executor
/// runs this.
pub(crate) async fn run_task(
    tasks: Rc<RefCell<TaskTable>>,
    shard: Arc<Remote>,
    wakeable: Arc<Wakeable>,
    key: TaskKey,
    future: impl Future<Output = ()>,
) {
    let waker = Waker::from(Arc::clone(&wakeable));
    let cancelled = poll_fn(|_| if wakeable.is_cancelled() { Poll::Ready(()) } else { Poll::Pending });
    let mut future = pin!(catch_panic_async(race(cancelled, future)));
    let outcome = poll_fn(|cx| {
        tasks.borrow_mut().begin_poll(key, cx.waker());
        wakeable.clear_scheduled();
        future.as_mut().poll(&mut Context::from_waker(&waker))
    })
    .await;
    let left = tasks.borrow_mut().remove(key);
    shard.stats.set_tasks(left);
    if let Err(payload) = outcome {
        shard.stats.count_task_panic();
        tracing::error!(
            shard = shard.index,
            panic = panic_message(payload.as_ref()),
            "task of the shard panicked"
        );
    }
}
