//! Helpers for the tests of this package: hosts, waits, a counting actor.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    reason = "each test binary uses a part of it"
)]

pub mod driver;

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context as Task, Poll, Wake},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use windlass_actors::{Actor, Context, Cores, Flow, Host, Reply, System};

/// Timeout that no test reaches, on any machine.
pub const LONG: Duration = Duration::from_secs(20);

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

/// Waits until `state` returns `true`.
#[track_caller]
pub fn wait_until(what: &str, mut state: impl FnMut() -> bool) {
    let until = Instant::now() + LONG;
    while !state() {
        assert!(Instant::now() < until, "timed out while waiting: {what}");
        thread::yield_now();
    }
}

/// Blocks this thread, which is neither a shard's nor tokio's, on a future.
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Task::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
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
