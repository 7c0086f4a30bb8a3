//! Two actors on one shard. One sends messages, the other counts them.

use std::time::Duration;

use windlass::actors::{
    Actor, Addr, Context, Cores, Flow, Host, Placement, Reply, SpawnOptions, System, Undelivered,
};

/// Capacity of the mailboxes, in messages. The queues of the baselines have the same capacity.
pub(crate) const CAPACITY: usize = 256;
/// Timeout that no run reaches.
const PATIENCE: Duration = Duration::from_secs(600);

/// Message to the counter.
pub(crate) enum Count {
    Add(u64),
    Sum(Reply<u64>),
}

/// Actor that adds numbers.
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

/// Message to the sender: sends that many messages to the counter and replies with the sum.
struct Send(u64, Reply<u64>);

/// Actor that sends messages to the counter.
struct Sender(Addr<Count>);

impl Actor for Sender {
    type Msg = Send;

    async fn handle(&mut self, Send(times, reply): Send, _: &mut Context<Send>) -> Flow {
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

/// A system of one shard with both actors.
pub(crate) struct Pair {
    system: System,
    counter: Addr<Count>,
    sender: Addr<Send>,
}

impl Pair {
    /// Starts the system on this host.
    ///
    /// # Panics
    ///
    /// The system does not start.
    pub(crate) fn start(host: Host) -> Self {
        let system = System::builder().cores(Cores::Unpinned(1)).host(host).start().expect("a shard starts");
        let options = |name| SpawnOptions { mailbox: CAPACITY, ..SpawnOptions::named(name) };
        let counter =
            system.spawn(Placement::Shard(0), options("counter"), Counter::default).expect("an actor starts");
        let address = counter.clone();
        let sender = system.spawn(Placement::Shard(0), options("sender"), move || Sender(address.clone()));
        Self { system, counter, sender: sender.expect("an actor starts") }
    }

    /// Sends `times` messages from one actor to the other. Returns when all of them were handled.
    ///
    /// # Panics
    ///
    /// A message was lost.
    pub(crate) fn tell_within(&self, times: u64) {
        let sum = self.sender.ask_blocking(|reply| Send(times, reply), PATIENCE);
        assert_eq!(sum, Ok(times));
    }

    /// Sends `times` messages to the actor from this thread. Returns when all of them were handled.
    ///
    /// # Panics
    ///
    /// A message was lost.
    pub(crate) fn tell_across(&self, times: u64) {
        for _ in 0..times {
            assert!(self.counter.tell_blocking(Count::Add(1)).is_ok(), "the actor accepts messages");
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
