//! Atomics, locks, semaphore and channels in one place, so that the model tests can replace them.
//!
//! The only file that names flume and arc-swap.

pub(crate) use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering, fence},
};

pub(crate) use arc_swap::{ArcSwap, cache::Cache};
pub(crate) use tokio::sync::{Semaphore, TryAcquireError};

/// Channels between threads.
pub(crate) mod channel {
    pub(crate) use flume::{Receiver, Sender, TrySendError, bounded, unbounded};
}
