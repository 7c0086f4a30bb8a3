//! Actors: mailbox, addresses, supervision, children, timers. Knows shards, but no system, no pool and no fan-out.

mod address;
mod ask;
mod behavior;
mod cell;
mod children;
mod context;
mod exit;
mod exit_notifier;
mod per_shard;
mod registry;
mod reply;
mod restart;
mod shared;
mod signal;
mod spawn;
mod supervisor;
mod timers;
mod watch;

pub use address::{Addr, WeakAddr};
pub use behavior::{Actor, Flow};
pub use context::Context;
pub use exit::{ActorId, ChildEnd, Ended, Then, Why};
pub use per_shard::PerShard;
pub use registry::Registry;
pub use reply::Reply;
pub use restart::{Restart, SpawnOptions};
pub use spawn::Place;
pub use timers::Timer;

pub(crate) use shared::SystemShared;
pub(crate) use spawn::spawn;
