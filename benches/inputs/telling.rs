//! An actor that tells another one on its shard, and the one that is told.

use std::time::Duration;

use windlass::actors::{
    Actor, Addr, Context, Cores, Flow, Host, Placement, Reply, SpawnOptions, System, Undelivered,
};

/// Messages that may wait in a mailbox; the queues of the baselines have as many places.
pub(crate) const CAPACITY: usize = 256;
/// Longer than any run.
const PATIENCE: Duration = Duration::from_secs(600);

/// What the counter is told.
pub(crate) enum Count {
    Add(u64),
    Sum(Reply<u64>),
}

/// Adds up what it is told.
#[derive(Default)]
struct Counter(u64);

impl Actor for Counter {
    type Msg = Count;

    async fn handle(&mut self, message: Count, _: &mut Context<Count>) -> Flow {
        match message {
            Count::Add(n) => self.0 += n,
            Count::Sum(reply) => reply.send(std::mem::take(&mut self.0)),
        }
        Flow::Continue
    }
}

/// Tells the counter so many times, then asks for the sum and passes it on.
struct Tell(u64, Reply<u64>);

struct Teller(Addr<Count>);

impl Actor for Teller {
    type Msg = Tell;

    async fn handle(&mut self, Tell(times, reply): Tell, _: &mut Context<Tell>) -> Flow {
        for _ in 0..times {
            if self.0.tell(Count::Add(1)).await.is_err() {
                return Flow::Stop;
            }
        }
        match self.0.ask(Count::Sum, PATIENCE).await {
            Ok(sum) => reply.send(sum),
            Err(error) => return Flow::fail(error),
        }
        Flow::Continue
    }
}

/// A shard with both actors.
pub(crate) struct Pair {
    system: System,
    counter: Addr<Count>,
    teller: Addr<Tell>,
}

impl Pair {
    /// Starts the shard on an executor of this kind.
    ///
    /// # Panics
    ///
    /// The shard cannot be started.
    pub(crate) fn start(host: Host) -> Self {
        let system = System::builder().cores(Cores::Unpinned(1)).host(host).start().expect("a shard starts");
        let options = |name| SpawnOptions { mailbox: CAPACITY, ..SpawnOptions::named(name) };
        let counter =
            system.spawn(Placement::Shard(0), options("counter"), Counter::default).expect("an actor starts");
        let told = counter.clone();
        let teller = system.spawn(Placement::Shard(0), options("teller"), move || Teller(told.clone()));
        Self { system, counter, teller: teller.expect("an actor starts") }
    }

    /// Has one actor tell the other `times` times; returns when all was handled.
    ///
    /// # Panics
    ///
    /// A message was lost.
    pub(crate) fn tell_within(&self, times: u64) {
        let sum = self.teller.ask_blocking(|reply| Tell(times, reply), PATIENCE);
        assert_eq!(sum, Ok(times));
    }

    /// Tells the actor `times` times from this thread; returns when all was handled.
    ///
    /// # Panics
    ///
    /// A message was lost.
    pub(crate) fn tell_across(&self, times: u64) {
        for _ in 0..times {
            assert!(self.counter.tell_blocking(Count::Add(1)).is_ok(), "the actor lives");
        }
        assert_eq!(self.counter.ask_blocking(Count::Sum, PATIENCE), Ok(times));
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.system.stop(Undelivered::Drain);
        self.system.join(PATIENCE);
    }
}
