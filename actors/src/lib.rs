//! Actors on pinned shards.
//!
//! A [`System`] is a set of shards. A shard is one thread, usually pinned to a core, with an executor and the
//! actors ([`Actor`]) that were spawned on it. An actor never moves to another shard. Each has a bounded
//! mailbox and takes messages from any thread through its [`Addr`]. A [`Pool`] runs what a shard must not
//! run: blocking work, and work that needs tokio.
//!
//! ```
//! use std::time::Duration;
//! use windlass_actors::{Actor, Context, Cores, Flow, Placement, Reply, SpawnOptions, System, Undelivered};
//!
//! enum Msg {
//!     Deposit(u64),
//!     Balance(Reply<u64>),
//! }
//!
//! struct Account {
//!     cents: u64,
//! }
//!
//! impl Actor for Account {
//!     type Msg = Msg;
//!
//!     async fn handle(&mut self, message: Msg, _: &mut Context<Msg>) -> Flow {
//!         match message {
//!             Msg::Deposit(cents) => self.cents += cents,
//!             Msg::Balance(reply) => reply.send(self.cents),
//!         }
//!         Flow::Continue
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let system = System::builder().cores(Cores::Unpinned(2)).start()?;
//! let options = SpawnOptions::named("account");
//! let account = system.spawn(Placement::LeastLoaded, options, || Account { cents: 0 })?;
//!
//! account.try_tell(Msg::Deposit(250))?;
//! assert_eq!(account.ask_blocking(Msg::Balance, Duration::from_secs(1))?, 250);
//!
//! system.stop(Undelivered::Drain);
//! let report = system.join(Duration::from_secs(1));
//! assert!(report.is_clean());
//! # Ok(())
//! # }
//! ```
//!
//! # Overview
//!
//! - [The guide](guide) covers messages, failures, children, timers, watches, placement and stopping, with
//!   examples.
//! - [`Actor`] and [`Flow`] are what you implement. [`Context`] is what a running actor uses, [`Addr`] what
//!   everybody else uses. A [`Reply`] carries the answer to a question.
//! - [`SpawnOptions`], [`Restart`], [`Placement`] and [`PerShard`] control where and how an actor runs. A
//!   [`Registry`] finds actors by name.
//! - [`ActorExit`], [`ExitReason`] and [`ChildExit`] describe how an actor ended. They go to its
//!   [parent](Actor::child_exited), to actors that [watch](Context::watch) it, and to callers that
//!   [wait](Addr::exited) for it. A [`StopReport`] describes the end of a whole system.
//! - [`Pool`] runs jobs on its own threads. [`Publisher`] publishes one value to many readers. [`fanout`]
//!   delivers one event to many queues.
//!
//! # Guarantees
//!
//! - Every queue of messages is bounded. A full queue refuses a message and returns it, or the sender awaits
//!   a free slot.
//! - A panic in an actor, a task or a job ends only that actor, task or job. It is caught and counted. An
//!   actor restarts as its [`Restart`] policy says, with the same mailbox and addresses. A child that fails
//!   too often fails its [parent](Actor::child_exited).
//! - A question always ends: with an answer, with a dropped reply, or with its timeout.
//! - A stop has an order: children before their parents, the actors of all shards before the drivers.
//!   Messages that were not handled are counted.
//! - A message between two actors of one shard takes no lock. An idle actor costs its shard nothing. An idle
//!   shard sleeps, and one write wakes it.
//!
//! # Shards with sockets
//!
//! The event loop of a shard works with any [`Driver`], which owns the sockets of the shard and does all the
//! waiting. [`Builder::start_with`] starts a driver on each shard. Other threads send it messages with a
//! [`ShardSender`]. The driver uses its shard through [`Local`]: to spawn futures, to create wakers, and for
//! timers.
//!
//! # Hosts
//!
//! The [`Host`] is the executor that runs the futures of a shard: glommio, or tokio where io_uring is not
//! available. Both behave the same. A future on a shard may await what this crate offers, and anything that
//! needs no particular executor. The files, sockets and timers of glommio and of tokio do not work there. Use
//! the pool for them.
//!
//! # Features
//!
//! `glommio` (default): the glommio host.

mod actor;
pub mod error;
pub mod fanout;
mod future;
#[doc = include_str!("guide.md")]
pub mod guide {
    #[allow(unused_imports, reason = "the page links to them")]
    use crate::*;
}
mod host;
mod mailbox;
mod os;
pub mod pool;
mod shard;
mod snapshot;
mod stop;
mod sync;
mod system;
mod time;
mod wake;

pub use actor::{
    Actor, ActorExit, ActorId, Addr, ChildExit, Context, ExitReason, Flow, PerShard, Placement, Registry,
    Reply, Restart, RestartDecision, SpawnOptions, TimerId, WeakAddr,
};
pub use error::{Closed, TellError};
pub use host::Host;
pub use pool::Pool;
pub use shard::{
    Deadline, Driver, Local, Outlet, OutletEvent, OutletKey, ShardSender, ShardStats, Sleep, TaskHandle,
    Wait, sleep, sleep_until,
};
pub use snapshot::{Publisher, Reader};
pub use stop::Undelivered;
#[doc(hidden)]
pub mod clock {
    pub use crate::time::{advance, instant_after, now};
}
#[doc(hidden)]
pub use system::manual;
pub use system::{ActorCounts, Builder, Cores, ShardSenders, StopReport, System};
