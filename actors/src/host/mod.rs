//! Hosts: the executors that run a shard's futures, one file each. This folder must not know shards or
//! actors.

#[cfg(feature = "glommio")]
mod glommio;
mod tokio;

use std::{
    future::{Future, poll_fn},
    io,
    task::Poll,
};

pub(crate) use tokio::SteppedExecutor;

/// Executor that hosts a system's shards. A program behaves the same on each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Host {
    /// A glommio executor. Needs io_uring.
    #[cfg(feature = "glommio")]
    Glommio,
    /// The local tasks of tokio, without tokio's runtime, timers and sockets.
    Tokio,
}

impl Default for Host {
    /// Returns the glommio host if the feature `glommio` is on, else the tokio host.
    fn default() -> Self {
        #[cfg(feature = "glommio")]
        return Self::Glommio;
        #[cfg(not(feature = "glommio"))]
        return Self::Tokio;
    }
}

impl Host {
    /// Requests short time slices for the calling thread, pins it to `core`, if given, and runs `future` on
    /// an executor until it ends.
    ///
    /// # Errors
    ///
    /// The kernel refuses the pinning, or a resource that the executor needs.
    pub(crate) fn run<T>(self, core: Option<usize>, future: impl Future<Output = T>) -> io::Result<T> {
        if let Err(error) = crate::os::use_short_slices() {
            tracing::debug!(%error, "kernel refused short time slices, busy threads may delay this shard");
        }
        match self {
            #[cfg(feature = "glommio")]
            Self::Glommio => glommio::run(core, future),
            Self::Tokio => tokio::run(core, future),
        }
    }

    /// Spawns `future` on the executor that runs on this thread.
    pub(crate) fn spawn_local(self, future: impl Future<Output = ()> + 'static) {
        match self {
            #[cfg(feature = "glommio")]
            Self::Glommio => glommio::spawn_local(future),
            Self::Tokio => tokio::spawn_local(future),
        }
    }
}

/// Lets the executor run its other ready tasks once.
pub(crate) async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
