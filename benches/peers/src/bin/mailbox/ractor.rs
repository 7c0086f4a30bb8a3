//! ractor: mailboxes without a bound on tokio.

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, call};

use crate::{
    Round,
    tokio::{elsewhere, one_thread, two_workers},
};

enum Count {
    Add(u64),
    Sum(RpcReplyPort<u64>),
}

struct Counter;

impl Actor for Counter {
    type Msg = Count;
    type State = u64;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Count>, (): ()) -> Result<u64, ActorProcessingErr> {
        Ok(0)
    }

    async fn handle(
        &self,
        _: ActorRef<Count>,
        message: Count,
        sum: &mut u64,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Count::Add(n) => *sum += n,
            Count::Sum(reply) => reply.send(std::mem::take(sum))?,
        }
        Ok(())
    }
}

async fn spawn() -> ActorRef<Count> {
    Actor::spawn(None, Counter, ()).await.expect("an actor starts").0
}

async fn tell(counter: &ActorRef<Count>, messages: u64) -> u64 {
    for _ in 0..messages {
        counter.cast(Count::Add(1)).expect("the actor lives");
    }
    call!(counter, Count::Sum).expect("the actor answers")
}

async fn question(counter: &ActorRef<Count>, messages: u64) -> u64 {
    for _ in 0..messages {
        call!(counter, Count::Sum).expect("the actor answers");
    }
    messages
}

pub(crate) fn within() -> Round {
    let runtime = one_thread();
    let counter = runtime.block_on(spawn());
    Box::new(move |messages| runtime.block_on(tell(&counter, messages)))
}

pub(crate) fn across() -> Round {
    let (runtime, counter) = (one_thread(), elsewhere(spawn));
    Box::new(move |messages| runtime.block_on(tell(&counter, messages)))
}

pub(crate) fn workers() -> Round {
    let runtime = two_workers();
    let counter = runtime.block_on(spawn());
    Box::new(move |messages| {
        let counter = counter.clone();
        let told = runtime.spawn(async move { tell(&counter, messages).await });
        runtime.block_on(told).expect("the task ends")
    })
}

pub(crate) fn outside() -> Round {
    let (runtime, counter) = (one_thread(), elsewhere(spawn));
    Box::new(move |messages| {
        for _ in 0..messages {
            counter.cast(Count::Add(1)).expect("the actor lives");
        }
        // It has no blocking call.
        runtime.block_on(async { call!(counter, Count::Sum) }).expect("the actor answers")
    })
}

pub(crate) fn ask() -> Round {
    let (runtime, counter) = (one_thread(), elsewhere(spawn));
    Box::new(move |messages| runtime.block_on(question(&counter, messages)))
}

pub(crate) fn ask_workers() -> Round {
    let runtime = two_workers();
    let counter = runtime.block_on(spawn());
    Box::new(move |messages| {
        let counter = counter.clone();
        let asked = runtime.spawn(async move { question(&counter, messages).await });
        runtime.block_on(asked).expect("the task ends")
    })
}
