//! ractor, with unbounded mailboxes on tokio.

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, call};

use crate::{
    Round,
    tokio::{on_second_core, one_thread, two_workers},
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
    Actor::spawn(None, Counter, ()).await.expect("actor should start").0
}

async fn tell(counter: &ActorRef<Count>, messages: u64) -> u64 {
    for _ in 0..messages {
        counter.cast(Count::Add(1)).expect("actor should be running");
    }
    call!(counter, Count::Sum).expect("actor should reply")
}

async fn ask_repeatedly(counter: &ActorRef<Count>, messages: u64) -> u64 {
    for _ in 0..messages {
        call!(counter, Count::Sum).expect("actor should reply");
    }
    messages
}

pub(crate) fn within() -> Round {
    let runtime = one_thread();
    let counter = runtime.block_on(spawn());
    Box::new(move |messages| runtime.block_on(tell(&counter, messages)))
}

pub(crate) fn across() -> Round {
    let (runtime, counter) = (one_thread(), on_second_core(spawn));
    Box::new(move |messages| runtime.block_on(tell(&counter, messages)))
}

pub(crate) fn workers() -> Round {
    let runtime = two_workers();
    let counter = runtime.block_on(spawn());
    Box::new(move |messages| {
        let counter = counter.clone();
        let task = runtime.spawn(async move { tell(&counter, messages).await });
        runtime.block_on(task).expect("task should complete")
    })
}

pub(crate) fn outside() -> Round {
    let (runtime, counter) = (one_thread(), on_second_core(spawn));
    Box::new(move |messages| {
        for _ in 0..messages {
            counter.cast(Count::Add(1)).expect("actor should be running");
        }
        // ractor has no blocking call.
        runtime.block_on(async { call!(counter, Count::Sum) }).expect("actor should reply")
    })
}

pub(crate) fn ask() -> Round {
    let (runtime, counter) = (one_thread(), on_second_core(spawn));
    Box::new(move |messages| runtime.block_on(ask_repeatedly(&counter, messages)))
}

pub(crate) fn ask_workers() -> Round {
    let runtime = two_workers();
    let counter = runtime.block_on(spawn());
    Box::new(move |messages| {
        let counter = counter.clone();
        let task = runtime.spawn(async move { ask_repeatedly(&counter, messages).await });
        runtime.block_on(task).expect("task should complete")
    })
}
