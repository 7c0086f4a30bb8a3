//! Actors: mailboxes, addresses, supervision, children, timers. This folder must not know a system, a pool or
//! fan-out.

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
pub use exit::{ActorExit, ActorId, ChildExit, ExitReason, RestartDecision};
pub use per_shard::PerShard;
pub use registry::Registry;
pub use reply::Reply;
pub use restart::{Restart, SpawnOptions};
pub use spawn::Placement;
pub use timers::TimerId;

pub(crate) use shared::SystemShared;
pub(crate) use spawn::spawn;
