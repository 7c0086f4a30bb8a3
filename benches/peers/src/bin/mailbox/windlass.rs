//! Windlass, with two actors on one shard or on two.

use windlass_actors::{
    Actor, Addr, Context, Cores, Flow, Placement, Reply, SpawnOptions, System, Undelivered,
};

use crate::{CAPACITY, Round, TIMEOUT};

enum Count {
    Add(u64),
    Sum(Reply<u64>),
}

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

/// Request to send messages, or to ask, a number of times.
enum Repeat {
    Tell(u64, Reply<u64>),
    Ask(u64, Reply<u64>),
}

struct Sender(Addr<Count>);

impl Actor for Sender {
    type Msg = Repeat;

    async fn handle(&mut self, message: Repeat, _: &mut Context<Repeat>) -> Flow {
        match message {
            Repeat::Tell(times, reply) => {
                for _ in 0..times {
                    if self.0.tell(Count::Add(1)).await.is_err() {
                        return Flow::Stop;
                    }
                }
                match self.0.ask(Count::Sum, TIMEOUT).await {
                    Ok(sum) => reply.send(sum),
                    Err(error) => return Flow::fail(error),
                }
            }
            Repeat::Ask(times, reply) => {
                for _ in 0..times {
                    if let Err(error) = self.0.ask(Count::Sum, TIMEOUT).await {
                        return Flow::fail(error);
                    }
                }
                reply.send(times);
            }
        }
        Flow::Continue
    }
}

struct Pair {
    system: System,
    counter: Addr<Count>,
    sender: Addr<Repeat>,
}

impl Pair {
    fn start(shards: usize) -> Self {
        let system = System::builder().cores(Cores::Count(shards)).start().expect("shards should start");
        let options = |name| SpawnOptions { mailbox: CAPACITY, ..SpawnOptions::named(name) };
        let place = Placement::Shard(shards - 1);
        let counter = system.spawn(place, options("counter"), Counter::default).expect("actor should start");
        let target = counter.clone();
        let sender = system.spawn(Placement::Shard(0), options("sender"), move || Sender(target.clone()));
        Self { system, counter, sender: sender.expect("actor should start") }
    }

    fn repeat(self, operation: fn(u64, Reply<u64>) -> Repeat) -> Round {
        Box::new(move |messages| {
            let sum = self.sender.ask_blocking(|reply| operation(messages, reply), TIMEOUT);
            sum.expect("sender should reply")
        })
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.system.stop(Undelivered::Drain);
        self.system.join(TIMEOUT);
    }
}

pub(crate) fn within() -> Round {
    Pair::start(1).repeat(Repeat::Tell)
}

pub(crate) fn across() -> Round {
    Pair::start(2).repeat(Repeat::Tell)
}

pub(crate) fn ask() -> Round {
    Pair::start(2).repeat(Repeat::Ask)
}

pub(crate) fn outside() -> Round {
    let pair = Pair::start(1);
    Box::new(move |messages| {
        for _ in 0..messages {
            assert!(pair.counter.tell_blocking(Count::Add(1)).is_ok(), "counter should be running");
        }
        pair.counter.ask_blocking(Count::Sum, TIMEOUT).expect("counter should reply")
    })
}
