//! Waiting for the exit of an actor.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{address::Addr, cell::ActorCell, exit::ActorExit};
use crate::{error::AskError, future::block_on_until, shard::Local, time::instant_after};

impl<M: Send + 'static> Addr<M> {
    /// Returns a future that waits for the exit of the actor. A restart is no exit.
    ///
    /// The future holds no address, so it does not keep the actor from exiting. It may be awaited on any
    /// thread. An actor that must handle messages meanwhile uses [`Context::watch`](crate::Context::watch)
    /// instead.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any time.
    pub fn exited(&self) -> impl Future<Output = ActorExit> + Send + use<M> {
        let cell = Arc::clone(&self.0);
        async move {
            let (sender, receiver) = oneshot::channel();
            let guard = WatchGuard::new(Arc::clone(&cell), move |exit| {
                // Sending fails if the future was dropped.
                let _ = sender.send(exit.clone());
            });
            let exit = receiver.await;
            drop(guard);
            match exit {
                Ok(exit) => exit,
                // Unreachable: the sender is dropped unused only if the guard was dropped before the exit.
                Err(_) => std::future::pending().await,
            }
        }
    }

    /// Blocks the calling thread until the actor has exited, for at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`Timeout`](AskError::Timeout) if the actor has not exited in time. [`OnShard`](AskError::OnShard) on
    /// a shard's thread, which must not block.
    pub fn exited_blocking(&self, timeout: Duration) -> Result<ActorExit, AskError> {
        if Local::current().is_some() {
            return Err(AskError::OnShard);
        }
        block_on_until(self.exited(), instant_after(Instant::now(), timeout)).ok_or(AskError::Timeout)
    }

    /// Returns the exit of the actor, or `None` if it has not exited.
    pub fn exit_status(&self) -> Option<ActorExit> {
        self.0.exit_notifier.exit()
    }
}

/// Registration of a watcher with an actor. Dropping it removes the watcher.
pub(crate) struct WatchGuard<M> {
    cell: Arc<ActorCell<M>>,
    number: u64,
}

impl<M> WatchGuard<M> {
    /// Registers `watcher`. It is called at once if the actor has exited.
    pub(crate) fn new(cell: Arc<ActorCell<M>>, watcher: impl FnOnce(&ActorExit) + Send + 'static) -> Self {
        let number = cell.exit_notifier.watch(Box::new(watcher));
        Self { cell, number }
    }
}

impl<M> Drop for WatchGuard<M> {
    fn drop(&mut self) {
        self.cell.exit_notifier.unwatch(self.number);
    }
}
