//! Waking a shard and what runs on it, from any thread. Knows no executor, no mailbox and no actor.

mod doorbell;
mod queue;
mod wakeable;

pub(crate) use doorbell::Flag;
pub(crate) use queue::WakeQueue;
pub(crate) use wakeable::{GuestKey, Here, Target, Wakeable};

/// The wake queue of a shard: its driver's wakers and its hosted futures.
pub(crate) type Line = WakeQueue<Wakeable>;
