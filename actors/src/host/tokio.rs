//! The tokio host: a `LocalSet` without a runtime around it.
//!
//! tokio forbids blocking on a runtime inside another runtime. Because there is none around it, a handler may
//! block on a runtime of its own. It finds no tokio timers and sockets, just as on the glommio host.

use std::{future::Future, io};

use tokio::task::{self, LocalSet};

use crate::{future::block_on, os::pin_thread};

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
