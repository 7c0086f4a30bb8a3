//! The glommio host. The only file that names glommio.
//!
//! glommio only runs the tasks of this thread and then continues the event loop of the shard. Wakes from
//! other threads, timers and waits do not go through it. So the weak points of glommio do not matter, such as
//! the 16-bit counter of a task's wakers.

use std::{future::Future, io, time::Duration};

use glommio::{LocalExecutorBuilder, Placement, TaskQueueHandle};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::future::{catch_panic, panic_message};

/// Size of glommio's file buffers: its minimum, because nothing uses them.
const IO_MEMORY_BYTES: usize = 64 * 1024;
/// Entries of glommio's rings. They carry a timer and an eventfd, nothing else.
const RING_DEPTH: usize = 16;
/// Period of glommio's preemption timer: long enough that it never fires.
///
/// glommio 0.9 arms the timer, then checks whether it has fired, then runs tasks. If the timer has fired,
/// because the kernel ran other threads in between, the executor parks although tasks are ready. Nothing here
/// would wake it again. The reactor turns that the timer forces are not needed either.
const PREEMPT: Duration = Duration::from_secs(60 * 60 * 24 * 365);

pub(super) fn run<T>(core: Option<usize>, future: impl Future<Output = T>) -> io::Result<T> {
    raise_memlock();
    let placement = core.map_or(Placement::Unbound, Placement::Fixed);
    let builder = LocalExecutorBuilder::new(placement)
        .io_memory(IO_MEMORY_BYTES)
        .ring_depth(RING_DEPTH)
        .preempt_timer(PREEMPT);
    // Without io_uring, glommio panics instead of returning an error.
    let executor = catch_panic(|| builder.make())
        .map_err(|payload| io::Error::other(format!("glommio: {}", panic_message(payload.as_ref()))))?
        .map_err(|error| io::Error::other(format!("glommio: {error}")))?;
    Ok(executor.run(future))
}

pub(super) fn spawn_local(future: impl Future<Output = ()> + 'static) {
    // glommio's `spawn_local` would poll the future at once, in the middle of the caller's work.
    match glommio::spawn_local_into(future, TaskQueueHandle::default()) {
        Ok(task) => drop(task.detach()),
        // The default queue lives as long as the executor.
        Err(error) => tracing::error!(%error, "glommio refused a task, dropping it"),
    }
}

/// Raises the soft limit of locked memory to the hard limit, because the memory of rings counts against it.
///
/// A failure is logged. If the limit is too low, creating the ring fails.
fn raise_memlock() {
    let limit = getrlimit(Resource::Memlock);
    if limit.current != limit.maximum {
        let raised = setrlimit(Resource::Memlock, Rlimit { current: limit.maximum, maximum: limit.maximum });
        if let Err(error) = raised {
            tracing::warn!(%error, "raising the soft limit of locked memory failed, keeping the current one");
        }
    }
}
