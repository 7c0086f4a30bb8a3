//! What the model tests exchange for stand-ins: atomics, semaphore, and the two packages that move things between
//! threads. The only file that names flume and arc-swap.

pub(crate) use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering, fence},
};

pub(crate) use arc_swap::{ArcSwap, cache::Cache};
pub(crate) use tokio::sync::{Semaphore, TryAcquireError};

/// The way of messages between threads.
pub(crate) mod channel {
    pub(crate) use flume::{Receiver, Sender, TrySendError, bounded, unbounded};
}
