//! Shards hosted by tokio: a `LocalSet`, and no runtime around it.
//!
//! So a handler may block on a runtime of its own, as it may under glommio, and nothing here has tokio's timers and
//! sockets, as nothing has them there.

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

use crate::os::pin;

pub(super) fn run<T>(core: Option<usize>, future: impl Future<Output = T>) -> io::Result<T> {
    if let Some(core) = core
        && !pin(core)
    {
        return Err(io::Error::other(format!("the system refuses to pin the thread to core {core}")));
    }
    let tasks = LocalSet::new();
    Ok(block_on(tasks.run_until(future)))
}

pub(super) fn spawn_local(future: impl Future<Output = ()> + 'static) {
    drop(task::spawn_local(future));
}

/// The tasks of a thread that runs them a step at a time.
#[derive(Default)]
pub(crate) struct Tasks(LocalSet);

impl Tasks {
    /// Runs `future` with these tasks beside it, which is when they run too.
    pub(crate) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        block_on(self.0.run_until(future))
    }
}

/// Polls a future on this thread until it ends. That of a shard is hardly ever pending: its driver does the waiting.
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

/// Wakes a thread. What the thread runs may park it too, and so use up an unpark: the flag is what counts.
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
