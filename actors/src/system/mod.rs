//! A system: starts shards, spawns actors on them, stops them. This folder must not know pools or fan-out.

mod builder;
mod cores;
mod handle;
pub mod manual;
mod spawn;
mod threads;

pub use builder::{Builder, ShardSenders};
pub use cores::Cores;
pub use handle::{ActorCounts, StopReport, System};
