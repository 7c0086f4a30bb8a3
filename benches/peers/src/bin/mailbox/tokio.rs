//! The threads on which the actors of tokio-based crates live.

use std::{future::Future, sync::mpsc, thread};

use tokio::runtime::{Builder, Runtime};

/// A runtime of the calling thread: what is awaited in it shares the thread with what is spawned on it.
pub(crate) fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime starts")
}

/// A runtime with two threads.
pub(crate) fn two_workers() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime starts")
}

/// Runs `make` on a runtime of a thread of its own, which lives as long as the process; returns what it makes.
pub(crate) fn elsewhere<T: Send + 'static, F: Future<Output = T> + 'static>(make: impl FnOnce() -> F + Send + 'static) -> T {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        one_thread().block_on(async move {
            tell.send(make().await).expect("the caller waits");
            std::future::pending::<()>().await;
        });
    });
    told.recv().expect("the thread lives")
}
