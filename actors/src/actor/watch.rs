//! Waiting for an actor's end from anywhere.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{address::Addr, cell::Post, exit::ActorExit};
use crate::{error::AskError, future::block_on, shard::Local, time::instant_after};

impl<M: Send + 'static> Addr<M> {
    /// Returns a future that waits until the actor has ended for good and says why; restarts are not told.
    ///
    /// It keeps no address, so it does not keep the actor from ending, and may be awaited anywhere. An actor that wants
    /// to go on meanwhile uses [`Context::watch`](crate::Context::watch).
    ///
    /// # Cancel safety
    ///
    /// Dropping it is fine at any time.
    pub fn exited(&self) -> impl Future<Output = ActorExit> + Send + use<M> {
        let post = Arc::clone(&self.0);
        async move {
            let (tell, told) = oneshot::channel();
            let watch = Watch::new(Arc::clone(&post), move |ended| {
                // Nobody waits any more if this fails.
                let _ = tell.send(ended.clone());
            });
            let ended = told.await;
            drop(watch);
            match ended {
                Ok(ended) => ended,
                // Only a watcher that was taken back is dropped untold, and this one was not.
                Err(_) => std::future::pending().await,
            }
        }
    }

    /// Blocks the thread until the actor has ended for good, for `timeout` at most.
    ///
    /// # Errors
    ///
    /// [`Timeout`](AskError::Timeout); or [`OnShard`](AskError::OnShard), always: a shard's thread must not block.
    pub fn exited_blocking(&self, timeout: Duration) -> Result<ActorExit, AskError> {
        if Local::current().is_some() {
            return Err(AskError::OnShard);
        }
        block_on(self.exited(), Some(instant_after(Instant::now(), timeout))).ok_or(AskError::Timeout)
    }

    /// Returns how the actor ended. `None`: it has not.
    pub fn exit_status(&self) -> Option<ActorExit> {
        self.0.obituary.ended()
    }
}

/// A watch on an actor, taken back when dropped.
pub(crate) struct Watch<M> {
    post: Arc<Post<M>>,
    serial: u64,
}

impl<M> Watch<M> {
    pub(crate) fn new(post: Arc<Post<M>>, watcher: impl FnOnce(&ActorExit) + Send + 'static) -> Self {
        let serial = post.obituary.watch(Box::new(watcher));
        Self { post, serial }
    }
}

impl<M> Drop for Watch<M> {
    fn drop(&mut self) {
        self.post.obituary.unwatch(self.serial);
    }
}
