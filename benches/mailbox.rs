//! Messages to an actor, beside messages through a bare flume channel. An iteration ends when its last
//! message has been handled.
//!
//! `cargo bench --bench mailbox`

mod inputs;

use std::{
    thread,
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use inputs::pair::{CAPACITY, Pair};
use tokio::{runtime, task::LocalSet};
use windlass::actors::Host;

/// Messages of one iteration; with this many, the cost of starting an iteration is negligible.
const MESSAGES: u64 = 10_000;

fn send(criterion: &mut Criterion) {
    let pair = Pair::start(Host::default());
    let mut group = criterion.benchmark_group("tell");
    group.throughput(Throughput::Elements(MESSAGES));
    group.bench_function("within a shard", |bencher| bencher.iter(|| pair.tell_within(MESSAGES)));
    group.bench_function("within a thread, bare flume", |bencher| bencher.iter_custom(flume_within));
    group.bench_function("across threads", |bencher| bencher.iter(|| pair.tell_across(MESSAGES)));
    group.bench_function("across threads, bare flume", |bencher| bencher.iter_custom(flume_across));
    group.finish();
}

/// Measures two tasks of one thread: one sends numbers, the other adds them up.
fn flume_within(iterations: u64) -> Duration {
    let runtime = runtime::Builder::new_current_thread().build().expect("runtime should start");
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
                sender.send_async(1).await.expect("receiver should be running");
            }
            drop(sender);
            assert_eq!(sum.await.expect("receiver should end"), MESSAGES);
        }
        start.elapsed()
    })
}

/// Measures two threads: one sends numbers, the other adds them up. Starting the second thread is not timed.
fn flume_across(iterations: u64) -> Duration {
    let (sender, receiver) = flume::bounded::<Option<u64>>(CAPACITY);
    let (sums, sum) = flume::bounded(1);
    let adder = thread::spawn(move || {
        let mut total = 0;
        for message in receiver {
            match message {
                Some(n) => total += n,
                None => sums.send(std::mem::take(&mut total)).expect("sender should be running"),
            }
        }
    });
    let start = Instant::now();
    for _ in 0..iterations {
        for _ in 0..MESSAGES {
            sender.send(Some(1)).expect("receiver should be running");
        }
        sender.send(None).expect("receiver should be running");
        assert_eq!(sum.recv(), Ok(MESSAGES));
    }
    let elapsed = start.elapsed();
    drop(sender);
    adder.join().expect("receiver should end");
    elapsed
}

criterion_group!(benches, send);
criterion_main!(benches);
