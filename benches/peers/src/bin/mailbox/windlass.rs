//! Windlass: two actors on one shard, or on two.

use windlass_actors::{
    Actor, Addr, Context, Cores, Flow, Placement, Reply, SpawnOptions, System, Undelivered,
};

use crate::{CAPACITY, PATIENCE, Round};

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

/// How a teller is driven: so many messages, or so many questions.
enum Drive {
    Tell(u64, Reply<u64>),
    Ask(u64, Reply<u64>),
}

struct Teller(Addr<Count>);

impl Actor for Teller {
    type Msg = Drive;

    async fn handle(&mut self, message: Drive, _: &mut Context<Drive>) -> Flow {
        match message {
            Drive::Tell(times, reply) => {
                for _ in 0..times {
                    if self.0.tell(Count::Add(1)).await.is_err() {
                        return Flow::Stop;
                    }
                }
                match self.0.ask(Count::Sum, PATIENCE).await {
                    Ok(sum) => reply.send(sum),
                    Err(error) => return Flow::fail(error),
                }
            }
            Drive::Ask(times, reply) => {
                for _ in 0..times {
                    if let Err(error) = self.0.ask(Count::Sum, PATIENCE).await {
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
    teller: Addr<Drive>,
}

impl Pair {
    fn start(shards: usize) -> Self {
        let system = System::builder().cores(Cores::Count(shards)).start().expect("shards start");
        let options = |name| SpawnOptions { mailbox: CAPACITY, ..SpawnOptions::named(name) };
        let place = Placement::Shard(shards - 1);
        let counter = system.spawn(place, options("counter"), Counter::default).expect("an actor starts");
        let told = counter.clone();
        let teller = system.spawn(Placement::Shard(0), options("teller"), move || Teller(told.clone()));
        Self { system, counter, teller: teller.expect("an actor starts") }
    }

    fn drive(self, drive: fn(u64, Reply<u64>) -> Drive) -> Round {
        Box::new(move |messages| {
            let sum = self.teller.ask_blocking(|reply| drive(messages, reply), PATIENCE);
            sum.expect("the teller answers")
        })
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.system.stop(Undelivered::Drain);
        self.system.join(PATIENCE);
    }
}

pub(crate) fn within() -> Round {
    Pair::start(1).drive(Drive::Tell)
}

pub(crate) fn across() -> Round {
    Pair::start(2).drive(Drive::Tell)
}

pub(crate) fn ask() -> Round {
    Pair::start(2).drive(Drive::Ask)
}

pub(crate) fn outside() -> Round {
    let pair = Pair::start(1);
    Box::new(move |messages| {
        for _ in 0..messages {
            assert!(pair.counter.tell_blocking(Count::Add(1)).is_ok(), "the actor lives");
        }
        pair.counter.ask_blocking(Count::Sum, PATIENCE).expect("the actor answers")
    })
}
