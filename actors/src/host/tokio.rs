//! The tokio host: a `LocalSet` without a runtime around it.
//!
//! tokio forbids blocking on a runtime inside another runtime. Because there is none around it, a handler may
//! block on a runtime of its own. It finds no tokio timers and sockets, just as on the glommio host.

use std::{
    future::Future,
    io,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

use tokio::task::{self, LocalSet};

use crate::os::pin_thread;

pub(super) fn run<T>(core: Option<usize>, future: impl Future<Output = T>) -> io::Result<T> {
    if let Some(core) = core
        && !pin_thread(core)
    {
        return Err(io::Error::other(format!("the kernel refuses to pin the thread to core {core}")));
    }
    let tasks = LocalSet::new();
    Ok(block_on(tasks.run_until(future)))
}

pub(super) fn spawn_local(future: impl Future<Output = ()> + 'static) {
    drop(task::spawn_local(future));
}

/// Executor whose tasks run only inside calls of [`run`](Self::run).
#[derive(Default)]
pub(crate) struct SteppedExecutor(LocalSet);

impl SteppedExecutor {
    /// Runs `future` until it ends, and the other tasks beside it.
    pub(crate) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        block_on(self.0.run_until(future))
    }
}

/// Polls `future` on this thread until it ends.
///
/// The future of a shard is hardly ever pending, because its driver does the waiting.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let unpark = Arc::new(Unpark { thread: thread::current(), woken: AtomicBool::new(false) });
    let waker = Waker::from(Arc::clone(&unpark));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        while !unpark.woken.swap(false, Ordering::Acquire) {
            thread::park();
        }
    }
}

/// Waker that unparks a thread.
///
/// Code that the thread runs may park too, and consume an unpark. So the flag decides, not the unpark.
struct Unpark {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Ordering::Release) && self.thread.id() != thread::current().id() {
            self.thread.unpark();
        }
    }
}
