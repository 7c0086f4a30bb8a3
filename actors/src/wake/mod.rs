//! Waking a shard, and what runs on it, from any thread. Knows no executor, no mailbox and no actor.

mod doorbell;
mod queue;
mod wakeable;

pub(crate) use doorbell::Flag;
pub(crate) use wakeable::{CurrentShard, ShardWakes, TaskKey, WakeTarget, Wakeable};
