//! The threads on which the actors of tokio-based crates live.

use std::{future::Future, sync::mpsc, thread};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tokio::runtime::{Builder, Runtime};

/// A runtime of the calling thread: what is awaited in it shares the thread with what is spawned on it. The thread is
/// pinned to the first core, as a shard is.
pub(crate) fn one_thread() -> Runtime {
    pin(0);
    current()
}

fn current() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime starts")
}

/// A runtime with two threads.
pub(crate) fn two_workers() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime starts")
}

/// Pins the calling thread to the nth core this process may use.
fn pin(nth: usize) {
    static CORES: std::sync::OnceLock<CpuSet> = std::sync::OnceLock::new();
    let cores = CORES.get_or_init(|| sched_getaffinity(None).expect("the system tells the cores"));
    let allowed: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| cores.is_set(*core)).collect();
    let mut one = CpuSet::new();
    one.set(allowed[nth % allowed.len()]);
    sched_setaffinity(None, &one).expect("the system pins a thread");
}

/// Runs `make` on a runtime of a thread of its own, which lives as long as the process and is pinned to the second
/// core; returns what it makes.
pub(crate) fn elsewhere<T: Send + 'static, F: Future<Output = T> + 'static>(
    make: impl FnOnce() -> F + Send + 'static,
) -> T {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        pin(1);
        current().block_on(async move {
            tell.send(make().await).expect("the caller waits");
            std::future::pending::<()>().await;
        });
    });
    told.recv().expect("the thread lives")
}
