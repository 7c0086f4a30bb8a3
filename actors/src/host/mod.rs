//! Hosts: the executors that run a shard's futures. One file each.

#[cfg(feature = "glommio")]
mod glommio;
mod tokio;

use std::{
    future::{Future, poll_fn},
    io,
    task::Poll,
};

/// Names the executor that hosts a system's shards. What a program does is the same on each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Host {
    /// A glommio executor: needs io_uring.
    #[cfg(feature = "glommio")]
    Glommio,
    /// The tasks of tokio, without its runtime, timers and sockets.
    Tokio,
}

impl Default for Host {
    /// glommio if it was built in, else tokio.
    fn default() -> Self {
        #[cfg(feature = "glommio")]
        return Self::Glommio;
        #[cfg(not(feature = "glommio"))]
        return Self::Tokio;
    }
}

impl Host {
    /// Pins the calling thread to `core`, if any, and runs `future` on an executor of this kind until it ends.
    ///
    /// # Errors
    ///
    /// The system refuses the pinning or what the executor needs; the cause is named.
    pub(crate) fn run<T>(self, core: Option<usize>, future: impl Future<Output = T>) -> io::Result<T> {
        if let Err(error) = crate::os::short_slices() {
            tracing::debug!(%error, "no short time slices: threads that compute may delay this shard");
        }
        match self {
            #[cfg(feature = "glommio")]
            Self::Glommio => glommio::run(core, future),
            Self::Tokio => tokio::run(core, future),
        }
    }

    /// Gives `future` to the executor that runs on this thread.
    pub(crate) fn spawn_local(self, future: impl Future<Output = ()> + 'static) {
        match self {
            #[cfg(feature = "glommio")]
            Self::Glommio => glommio::spawn_local(future),
            Self::Tokio => tokio::spawn_local(future),
        }
    }
}

pub(crate) use tokio::Tasks;

/// Lets the executor run its other tasks once.
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
