//! A system: starts a set of shards, spawns actors on them, stops them. Knows no pool and no fan-out.

mod builder;
mod cores;
mod exits;
mod handle;
pub mod manual;
mod spawn;

pub use builder::{Builder, ShardSenders};
pub use cores::Cores;
pub use handle::{ActorCounts, StopReport, System};
