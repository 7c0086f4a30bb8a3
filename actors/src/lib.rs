//! Actors on pinned shards.
//!
//! A [`System`] is a set of shards. A shard is one thread, pinned to a core, with an executor and nothing shared:
//! what crosses a shard's border is a message. On shards live actors ([`Actor`]), each with a bounded mailbox, told
//! things through its [`Addr`]. A [`Pool`] does what a shard must not: blocking work, and work that needs tokio.
//!
//! ```
//! use std::time::Duration;
//! use windlass_actors::{Actor, Context, Cores, Flow, Place, Reply, SpawnOptions, System, Undelivered};
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
//! let account = system.spawn(Place::LeastLoaded, SpawnOptions::named("account"), || Account { cents: 0 })?;
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
//! # What holds
//!
//! - Every queue is bounded. What is full says so and gives the message back; what waits for room is a future.
//! - A panic in an actor, a hosted future or a job ends that one only, is contained and counted. Actors come back as
//!   their [`Restart`] policy says, with mailbox and addresses.
//! - A stop is ordered: actors end, those of all shards, then drivers. What was not delivered is counted.
//! - An idle actor costs its shard nothing. A shard that has nothing to do sleeps, and is woken by one write.
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
mod address;
mod ask;
mod bell;
mod builder;
mod census;
mod contain;
mod context;
mod deadline;
mod doorbell;
mod driver;
pub mod error;
pub mod fanout;
mod guest;
mod host;
mod inbox;
mod local;
mod mailbox;
mod park;
mod placement;
pub mod pool;
mod race;
mod remote;
mod reply;
mod schedule;
mod shard;
mod sleep;
mod snapshot;
#[doc(hidden)]
pub mod solo;
mod stats;
mod supervisor;
mod sync;
mod system;
mod timers;
mod undelivered;
mod wake;

pub use actor::{Actor, Flow};
pub use address::Addr;
pub use builder::{Builder, ShardSenders};
pub use context::Context;
pub use deadline::Deadline;
pub use driver::{Driver, Wait};
pub use error::{Closed, TellError};
pub use guest::GuestHandle;
pub use host::Host;
pub use inbox::ShardSender;
pub use local::Local;
pub use placement::Cores;
pub use pool::Pool;
pub use reply::Reply;
pub use sleep::Sleep;
pub use snapshot::{Publisher, Reader};
pub use stats::ShardStats;
pub use supervisor::{Restart, SpawnOptions};
pub use system::{ActorCounts, Place, StopReport, System};
pub use undelivered::Undelivered;
