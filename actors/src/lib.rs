//! Actors on pinned shards.
//!
//! A [`System`] is a set of shards. A shard is one thread, pinned to a core, with an executor and nothing shared:
//! what crosses a shard's border is a message. On shards live actors ([`Actor`]), each with a bounded mailbox, told
//! things through its [`Addr`]. A [`Pool`] does what a shard must not: blocking work, and work that needs tokio.
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
//! let account = system.spawn(Placement::LeastLoaded, SpawnOptions::named("account"), || Account { cents: 0 })?;
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
//! # Where to look
//!
//! - [The guide](guide): messages, failures, children, timers, watches, placement, the end; each with an example.
//! - [`Actor`] and [`Flow`]: what you write. [`Context`]: what an actor sees while it runs. [`Addr`]: what everyone else
//!   holds of it; [`Reply`] is one answer to one question.
//! - [`SpawnOptions`], [`Restart`], [`Placement`], [`PerShard`]: how and where it lives. [`Registry`]: finding it by name.
//! - [`ActorExit`], [`ExitReason`], [`ChildExit`]: how it ended, as told to those who [watch](Context::watch), to its
//!   [parent](Actor::child_exited), and to who [waits](Addr::ended). [`StopReport`]: how everything ended.
//! - [`Pool`]: jobs on threads of their own. [`Publisher`]: one value, many readers. [`fanout`]: one event, many queues.
//!
//! # What holds
//!
//! - Every queue is bounded. What is full says so and gives the message back; what waits for room is a future.
//! - A panic in an actor, a hosted future or a job ends that one only, is contained and counted. Actors come back as
//!   their [`Restart`] policy says, with mailbox and addresses; failures climb to the [parent](Actor::child_exited).
//! - A reply is sent or dropped, never left hanging: who asked hears of either.
//! - A stop is ordered: children before parents, the actors of all shards, then drivers. What was not delivered is
//!   counted.
//! - A message between two actors of one shard takes no lock. An idle actor costs its shard nothing. A shard that has
//!   nothing to do sleeps, and is woken by one write.
//!
//! # Shards with sockets
//!
//! A shard's loop is generic over a [`Driver`], which owns the shard's sockets and does all its waiting.
//! [`Builder::start_with`] starts one on each shard; it is sent messages through a [`ShardSender`], and reaches its
//! shard through [`Local`]: spawns futures there, makes wakers with tokens, keeps timers.
//!
//! # Hosts
//!
//! The executor that runs the futures of a shard is its [`Host`]: glommio, or tokio where io_uring is missing. Both
//! do the same. Futures on a shard may await this crate's things and any that need no particular executor; glommio's
//! and tokio's own files, sockets and timers are not supported there: the pool is for that.
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
    Deadline, Driver, Local, Outlet, OutletKey, Parcel, ShardSender, ShardStats, Sleep, TaskHandle, Wait,
};
pub use snapshot::{Publisher, Reader};
pub use stop::Undelivered;
#[doc(hidden)]
pub use system::manual;
pub use system::{ActorCounts, Builder, Cores, ShardSenders, StopReport, System};
