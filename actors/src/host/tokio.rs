//! Shards hosted by tokio: a current-thread runtime with a `LocalSet`, neither timers nor sockets enabled.

use std::{future::Future, io};

use tokio::{
    runtime::Builder,
    task::{self, LocalSet},
};

use crate::placement;

pub(super) fn run<T>(core: Option<usize>, future: impl Future<Output = T>) -> io::Result<T> {
    if let Some(core) = core
        && !placement::pin(core)
    {
        return Err(io::Error::other(format!("the system refuses to pin the thread to core {core}")));
    }
    let runtime = Builder::new_current_thread().build()?;
    Ok(LocalSet::new().block_on(&runtime, future))
}

pub(super) fn spawn_local(future: impl Future<Output = ()> + 'static) {
    drop(task::spawn_local(future));
}
