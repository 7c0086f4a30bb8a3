//! Waking a shard, and what runs on it, from any thread. This folder must not know executors, mailboxes or
//! actors.

mod doorbell;
mod queue;
mod wakeable;

pub(crate) use doorbell::Flag;
pub(crate) use wakeable::{CurrentShard, ShardWakes, TaskKey, WakeTarget, Wakeable};
