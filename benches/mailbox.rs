//! Telling an actor, beside the same through a bare flume channel; each time until the last message was handled.
//!
//! `cargo bench --bench mailbox`

mod inputs;

use std::{
    thread,
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use inputs::telling::{CAPACITY, Pair};
use tokio::{runtime, task::LocalSet};
use windlass::actors::Host;

/// Messages in one iteration: enough that starting it does not show.
const MESSAGES: u64 = 10_000;

fn telling(criterion: &mut Criterion) {
    let pair = Pair::start(Host::default());
    let mut group = criterion.benchmark_group("tell");
    group.throughput(Throughput::Elements(MESSAGES));
    group.bench_function("within a shard", |bencher| bencher.iter(|| pair.tell_within(MESSAGES)));
    group.bench_function("within a thread, bare flume", |bencher| bencher.iter_custom(flume_within));
    group.bench_function("across threads", |bencher| bencher.iter(|| pair.tell_across(MESSAGES)));
    group.bench_function("across threads, bare flume", |bencher| bencher.iter_custom(flume_across));
    group.finish();
}

/// Two tasks of one thread, one sends, one adds up.
fn flume_within(iterations: u64) -> Duration {
    let runtime = runtime::Builder::new_current_thread().build().expect("a runtime starts");
    LocalSet::new().block_on(&runtime, async {
        let start = Instant::now();
        for _ in 0..iterations {
            let (sender, receiver) = flume::bounded(CAPACITY);
            let sum = tokio::task::spawn_local(async move {
                let mut sum = 0;
                while let Ok(n) = receiver.recv_async().await {
                    sum += n;
                }
                sum
            });
            for _ in 0..MESSAGES {
                sender.send_async(1).await.expect("the receiver lives");
            }
            drop(sender);
            assert_eq!(sum.await.expect("the receiver ends"), MESSAGES);
        }
        start.elapsed()
    })
}

/// Two threads, one sends, one adds up; starting the second is not timed.
fn flume_across(iterations: u64) -> Duration {
    let (sender, receiver) = flume::bounded::<Option<u64>>(CAPACITY);
    let (sums, sum) = flume::bounded(1);
    let adder = thread::spawn(move || {
        let mut total = 0;
        for message in receiver {
            match message {
                Some(n) => total += n,
                None => sums.send(std::mem::take(&mut total)).expect("the sender lives"),
            }
        }
    });
    let start = Instant::now();
    for _ in 0..iterations {
        for _ in 0..MESSAGES {
            sender.send(Some(1)).expect("the receiver lives");
        }
        sender.send(None).expect("the receiver lives");
        assert_eq!(sum.recv(), Ok(MESSAGES));
    }
    let elapsed = start.elapsed();
    drop(sender);
    adder.join().expect("the receiver ends");
    elapsed
}

criterion_group!(benches, telling);
criterion_main!(benches);
