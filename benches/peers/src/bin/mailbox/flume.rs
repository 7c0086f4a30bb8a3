//! A bare flume channel and a task that adds numbers up, without actors, panic isolation or supervision.

use flume::{Receiver, Sender, bounded};
use tokio::task::LocalSet;

use crate::{
    CAPACITY, Round,
    tokio::{on_second_core, one_thread},
};

enum Count {
    Add(u64),
    Sum(Sender<u64>),
}

async fn count(messages: Receiver<Count>) {
    let mut sum = 0;
    while let Ok(message) = messages.recv_async().await {
        match message {
            Count::Add(n) => sum += n,
            // The caller may have stopped waiting.
            Count::Sum(reply) => drop(reply.send(std::mem::take(&mut sum))),
        }
    }
}

async fn spawn() -> Sender<Count> {
    let (sender, receiver) = bounded(CAPACITY);
    tokio::spawn(count(receiver));
    sender
}

async fn sum(counter: &Sender<Count>) -> u64 {
    let (reply, response) = bounded(1);
    counter.send_async(Count::Sum(reply)).await.expect("counter should be running");
    response.recv_async().await.expect("counter should reply")
}

async fn tell(counter: &Sender<Count>, messages: u64) -> u64 {
    for _ in 0..messages {
        counter.send_async(Count::Add(1)).await.expect("counter should be running");
    }
    sum(counter).await
}

pub(crate) fn within() -> Round {
    let (runtime, tasks) = (one_thread(), LocalSet::new());
    let (sender, receiver) = bounded(CAPACITY);
    tasks.spawn_local(count(receiver));
    Box::new(move |messages| tasks.block_on(&runtime, tell(&sender, messages)))
}

pub(crate) fn across() -> Round {
    let (runtime, counter) = (one_thread(), on_second_core(spawn));
    Box::new(move |messages| runtime.block_on(tell(&counter, messages)))
}

pub(crate) fn outside() -> Round {
    let counter = on_second_core(spawn);
    Box::new(move |messages| {
        for _ in 0..messages {
            counter.send(Count::Add(1)).expect("counter should be running");
        }
        let (reply, response) = bounded(1);
        counter.send(Count::Sum(reply)).expect("counter should be running");
        response.recv().expect("counter should reply")
    })
}

pub(crate) fn ask() -> Round {
    let (runtime, counter) = (one_thread(), on_second_core(spawn));
    Box::new(move |messages| {
        runtime.block_on(async {
            for _ in 0..messages {
                sum(&counter).await;
            }
        });
        messages
    })
}
