//! kameo, with bounded mailboxes on tokio.

use std::{convert::Infallible, sync::Arc};

use kameo::{
    Actor,
    actor::{ActorRef, Spawn},
    mailbox,
    message::{Context, Message},
};

use crate::{
    CAPACITY, Round,
    tokio::{on_second_core, one_thread, two_workers},
};

struct Counter(u64);

impl Actor for Counter {
    type Args = Self;
    type Error = Infallible;

    async fn on_start(counter: Self, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(counter)
    }
}

struct Add(u64);
struct Sum;

impl Message<Add> for Counter {
    type Reply = ();

    async fn handle(&mut self, Add(n): Add, _: &mut Context<Self, ()>) {
        self.0 += n;
    }
}

impl Message<Sum> for Counter {
    type Reply = u64;

    async fn handle(&mut self, Sum: Sum, _: &mut Context<Self, u64>) -> u64 {
        std::mem::take(&mut self.0)
    }
}

async fn spawn() -> ActorRef<Counter> {
    Counter::spawn_with_mailbox(Counter(0), mailbox::bounded(CAPACITY))
}

async fn tell(counter: &ActorRef<Counter>, messages: u64) -> u64 {
    for _ in 0..messages {
        counter.tell(Add(1)).await.expect("actor should be running");
    }
    counter.ask(Sum).await.expect("actor should reply")
}

async fn ask_repeatedly(counter: &ActorRef<Counter>, messages: u64) -> u64 {
    for _ in 0..messages {
        counter.ask(Sum).await.expect("actor should reply");
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
    let counter = Arc::new(runtime.block_on(spawn()));
    Box::new(move |messages| {
        let counter = Arc::clone(&counter);
        let task = runtime.spawn(async move { tell(&counter, messages).await });
        runtime.block_on(task).expect("task should complete")
    })
}

pub(crate) fn outside() -> Round {
    let counter = on_second_core(spawn);
    Box::new(move |messages| {
        for _ in 0..messages {
            counter.tell(Add(1)).blocking_send().expect("actor should be running");
        }
        counter.ask(Sum).blocking_send().expect("actor should reply")
    })
}

pub(crate) fn ask() -> Round {
    let (runtime, counter) = (one_thread(), on_second_core(spawn));
    Box::new(move |messages| runtime.block_on(ask_repeatedly(&counter, messages)))
}

pub(crate) fn ask_workers() -> Round {
    let runtime = two_workers();
    let counter = Arc::new(runtime.block_on(spawn()));
    Box::new(move |messages| {
        let counter = Arc::clone(&counter);
        let task = runtime.spawn(async move { ask_repeatedly(&counter, messages).await });
        runtime.block_on(task).expect("task should complete")
    })
}
