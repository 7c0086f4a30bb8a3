//! Helpers for the tests of this package: hosts, waits, a counting actor.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    reason = "each test binary uses a part of it"
)]

pub mod driver;
#[path = "../../../tests/support/eventually.rs"]
mod eventually;

use std::time::Duration;

use windlass_actors::{Actor, Context, Cores, Flow, Host, Reply, System};

pub(crate) use eventually::eventually;

/// Timeout that no test reaches, on any machine.
pub const LONG: Duration = eventually::TIMEOUT;

/// Returns every host that is compiled in.
pub fn hosts() -> Vec<Host> {
    vec![
        #[cfg(feature = "glommio")]
        Host::Glommio,
        Host::Tokio,
    ]
}

/// Starts `shards` shards on `host`, not pinned.
pub fn system(host: Host, shards: usize) -> System {
    System::builder().name("test").host(host).cores(Cores::Unpinned(shards)).start().unwrap()
}

pub enum Count {
    Add(u64),
    Total(Reply<u64>),
    /// Asks for the index of the shard.
    Where(Reply<usize>),
    /// Drops the reply.
    Ignore(Reply<()>),
    /// Waits for this time before the next message.
    Rest(Duration),
    Stop,
}

#[derive(Default)]
pub struct Counter(pub u64);

impl Actor for Counter {
    type Msg = Count;

    async fn handle(&mut self, message: Count, cx: &mut Context<Count>) -> Flow {
        match message {
            Count::Add(n) => self.0 += n,
            Count::Total(reply) => reply.send(self.0),
            Count::Where(reply) => reply.send(cx.shard()),
            Count::Ignore(reply) => drop(reply),
            Count::Rest(duration) => cx.sleep(duration).await,
            Count::Stop => return Flow::Stop,
        }
        Flow::Continue
    }
}
