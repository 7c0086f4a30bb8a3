//! Shards hosted by glommio. The only file that names it; see the traps in HARDENING before using more of it.
//!
//! Only two things are asked of it: run a task of this thread, and give the thread back. Wakes from other threads,
//! timers and waits never go through it, so neither its 16-bit waker counts nor its timers matter.

use std::{future::Future, io, time::Duration};

use glommio::{LocalExecutorBuilder, Placement, TaskQueueHandle};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::future::{contain, panic_message};

/// glommio's least: its file buffers are not used here.
const IO_MEMORY_BYTES: usize = 64 * 1024;
/// Its rings carry a timer and an eventfd, nothing else.
const RING_DEPTH: usize = 16;
/// Its preemption timer must never fire. glommio 0.9 arms the timer, then looks whether it has fired, then runs tasks;
/// if it has (the kernel took the core away for that long in between), the executor parks although tasks are ready,
/// and nothing here would ever wake it. Nothing here needs the reactor turns that the timer forces either.
const PREEMPT: Duration = Duration::from_secs(60 * 60 * 24 * 365);

pub(super) fn run<T>(core: Option<usize>, future: impl Future<Output = T>) -> io::Result<T> {
    raise_memlock();
    let placement = core.map_or(Placement::Unbound, Placement::Fixed);
    let builder = LocalExecutorBuilder::new(placement)
        .io_memory(IO_MEMORY_BYTES)
        .ring_depth(RING_DEPTH)
        .preempt_timer(PREEMPT);
    // Where io_uring is missing glommio asserts instead of returning an error.
    let executor = contain(|| builder.make())
        .map_err(|payload| io::Error::other(format!("glommio: {}", panic_message(payload.as_ref()))))?
        .map_err(|error| io::Error::other(format!("glommio: {error}")))?;
    Ok(executor.run(future))
}

pub(super) fn spawn_local(future: impl Future<Output = ()> + 'static) {
    // `spawn_local` would poll the future at once, inside whatever the caller is doing.
    match glommio::spawn_local_into(future, TaskQueueHandle::default()) {
        Ok(task) => drop(task.detach()),
        // The default queue lives as long as the executor.
        Err(error) => tracing::error!(%error, "glommio does not take a task"),
    }
}

/// Raises the soft limit of locked memory to the hard one: rings count against it. Failing is told by the ring.
fn raise_memlock() {
    let limit = getrlimit(Resource::Memlock);
    if limit.current != limit.maximum {
        let raised = setrlimit(Resource::Memlock, Rlimit { current: limit.maximum, maximum: limit.maximum });
        if let Err(error) = raised {
            tracing::warn!(%error, "cannot raise the limit of locked memory");
        }
    }
}
