//! A shard: the event loop of one thread, its tasks, timers and inbox. This folder must not know actors or
//! sockets.

mod deadline;
mod driver;
mod event_loop;
mod group;
mod inbox;
mod key;
mod local;
mod min_wait;
mod outlet;
mod park;
mod remote;
mod sleep;
mod stats;
mod task;
mod timers;

pub use deadline::{Deadline, sleep, sleep_until};
pub use driver::{Driver, Wait};
pub use inbox::ShardSender;
pub use local::Local;
pub use outlet::{Outlet, OutletEvent, OutletKey};
pub use sleep::Sleep;
pub use stats::ShardStats;
pub use task::TaskHandle;

pub(crate) use event_loop::{EventLoop, cancel_tasks, run};
pub(crate) use group::ShardGroup;
pub(crate) use inbox::InboxReceiver;
pub(crate) use key::{ShardCell, ShardKey};
pub(crate) use outlet::Outlets;
pub(crate) use park::Park;
pub(crate) use remote::{ActorRegistration, Remote};
