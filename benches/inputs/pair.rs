//! Two actors on one shard: the sender sends numbers and the counter adds them up.

use std::time::Duration;

use windlass::actors::{
    Actor, Addr, Context, Cores, Flow, Host, Placement, Reply, SpawnOptions, System, Undelivered,
};

/// Capacity of a mailbox in messages. The queues of the baselines have the same capacity.
pub(crate) const CAPACITY: usize = 256;
/// Timeout that no run reaches.
const TIMEOUT: Duration = Duration::from_secs(600);

/// Messages of the counter.
pub(crate) enum Count {
    Add(u64),
    Sum(Reply<u64>),
}

/// Actor that adds up the numbers it receives.
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

/// Request to send `1` a number of times, answered with the counter's sum.
struct SendMany(u64, Reply<u64>);

struct Sender(Addr<Count>);

impl Actor for Sender {
    type Msg = SendMany;

    async fn handle(&mut self, SendMany(times, reply): SendMany, _: &mut Context<SendMany>) -> Flow {
        for _ in 0..times {
            if self.0.tell(Count::Add(1)).await.is_err() {
                return Flow::Stop;
            }
        }
        match self.0.ask(Count::Sum, TIMEOUT).await {
            Ok(sum) => reply.send(sum),
            Err(error) => return Flow::fail(error),
        }
        Flow::Continue
    }
}

/// Shard with a sender and a counter.
pub(crate) struct Pair {
    system: System,
    counter: Addr<Count>,
    sender: Addr<SendMany>,
}

impl Pair {
    /// Starts the shard on an executor of the given kind.
    ///
    /// # Panics
    ///
    /// If the shard cannot be started.
    pub(crate) fn start(host: Host) -> Self {
        let system =
            System::builder().cores(Cores::Unpinned(1)).host(host).start().expect("shard should start");
        let options = |name| SpawnOptions { mailbox: CAPACITY, ..SpawnOptions::named(name) };
        let counter = system
            .spawn(Placement::Shard(0), options("counter"), Counter::default)
            .expect("actor should start");
        let target = counter.clone();
        let sender = system.spawn(Placement::Shard(0), options("sender"), move || Sender(target.clone()));
        Self { system, counter, sender: sender.expect("actor should start") }
    }

    /// Sends `times` messages from one actor to the other, and waits until all are handled.
    ///
    /// # Panics
    ///
    /// If a message is lost.
    pub(crate) fn tell_within(&self, times: u64) {
        let sum = self.sender.ask_blocking(|reply| SendMany(times, reply), TIMEOUT);
        assert_eq!(sum, Ok(times));
    }

    /// Sends `times` messages from this thread to the counter, and waits until all are handled.
    ///
    /// # Panics
    ///
    /// If a message is lost.
    pub(crate) fn tell_across(&self, times: u64) {
        for _ in 0..times {
            assert!(self.counter.tell_blocking(Count::Add(1)).is_ok(), "counter should be running");
        }
        assert_eq!(self.counter.ask_blocking(Count::Sum, TIMEOUT), Ok(times));
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.system.stop(Undelivered::Drain);
        self.system.join(TIMEOUT);
    }
}
