//! Runtimes for the actors of tokio-based crates.

use std::{future::Future, sync::mpsc, thread};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tokio::runtime::{Builder, Runtime};

/// Returns a current-thread runtime and pins the calling thread to the first core, as a shard is.
///
/// Futures passed to `block_on` share the thread with spawned tasks.
pub(crate) fn one_thread() -> Runtime {
    pin_thread(0);
    current()
}

fn current() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("runtime should start")
}

/// Returns a runtime with two worker threads.
pub(crate) fn two_workers() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime should start")
}

/// Pins the calling thread to the nth core that this process may use.
fn pin_thread(nth: usize) {
    static CORES: std::sync::OnceLock<CpuSet> = std::sync::OnceLock::new();
    let cores = CORES.get_or_init(|| sched_getaffinity(None).expect("affinity should be readable"));
    let allowed: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| cores.is_set(*core)).collect();
    let mut one = CpuSet::new();
    one.set(allowed[nth % allowed.len()]);
    sched_setaffinity(None, &one).expect("thread should be pinned");
}

/// Runs `make` on a current-thread runtime of a new thread and returns its output.
///
/// The thread is pinned to the second core and runs until the process ends.
pub(crate) fn on_second_core<T: Send + 'static, F: Future<Output = T> + 'static>(
    make: impl FnOnce() -> F + Send + 'static,
) -> T {
    let (output, outputs) = mpsc::channel();
    thread::spawn(move || {
        pin_thread(1);
        current().block_on(async move {
            output.send(make().await).expect("caller should be waiting");
            std::future::pending::<()>().await;
        });
    });
    outputs.recv().expect("thread should send the output")
}
