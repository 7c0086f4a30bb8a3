//! Replay stores beside their lower bounds: a push under a lock and a bare redb loop.
//!
//! `cargo bench --bench replay` takes about a minute and reports the time per event. The summary at the end
//! reports the CPU time per event of the whole process, including the threads of the store.
#![allow(clippy::unwrap_used)]

use std::{
    collections::VecDeque,
    hint::black_box,
    path::{Path, PathBuf},
    sync::{Mutex, mpsc},
    time::{Duration, Instant},
};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use redb::{Database, ReadableDatabase, TableDefinition};
use rustix::time::{ClockId, clock_gettime};
use windlass::replay::{
    Append, Durability, MemoryStore, Query, ReplayStore, Retention, Start, StoreLimits,
    durable::{DurableStore, Options},
};

const EVENTS: TableDefinition<(u32, u64), &[u8]> = TableDefinition::new("events");
/// Payload size of an event, the same as in the fan-out benchmark.
const EVENT_BYTES: usize = 256;
/// Events that a subscriber has missed, the same as in the fan-out benchmark.
const MISSED: u64 = 10_000;
/// Maximum appends in flight.
const WINDOW: usize = 1000;
const LEVELS: [Durability; 3] = [Durability::None, Durability::Buffered, Durability::Fsynced];

fn event(durability: Durability) -> Append {
    Append::new("topic", Bytes::from_static(&[b'x'; EVENT_BYTES])).durability(durability)
}

fn directory(name: &str) -> PathBuf {
    let path =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-replay-{}-{name}", std::process::id()));
    drop(std::fs::remove_dir_all(&path));
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// Retention that keeps every event of a run, as the bare loop does.
fn unlimited() -> Retention {
    let mut retention = Retention::default();
    (retention.events, retention.bytes, retention.total_bytes) = (usize::MAX, usize::MAX, usize::MAX);
    retention
}

fn durable(path: &Path) -> DurableStore {
    let mut options = Options::default();
    options.retention = unlimited();
    DurableStore::open(path, options).unwrap()
}

/// Appends `count` events with up to [`WINDOW`] in flight, and waits until all are acknowledged.
fn publish(store: &dyn ReplayStore, durability: Durability, count: u64) -> Duration {
    let begun = Instant::now();
    let (acknowledge, acknowledged) = mpsc::channel();
    let mut in_flight = 0;
    for _ in 0..count {
        if in_flight == WINDOW {
            acknowledged.recv().unwrap();
            in_flight -= 1;
        }
        let acknowledge = acknowledge.clone();
        let done = Box::new(move |outcome: Result<_, _>| acknowledge.send(outcome.is_ok()).unwrap());
        assert!(store.append(event(durability), done).is_ok());
        in_flight += 1;
    }
    (0..in_flight).for_each(|_| assert!(acknowledged.recv().unwrap()));
    begun.elapsed()
}

/// Baseline without a store: one redb transaction for each event, or one for a batch of events.
struct Bare {
    database: Database,
    next: u64,
}

impl Bare {
    fn new(name: &str) -> Self {
        Self { database: Database::create(directory(name).join("bare.redb")).unwrap(), next: 0 }
    }

    fn publish(&mut self, durability: redb::Durability, count: u64, batch: u64) -> Duration {
        let begun = Instant::now();
        let mut left = count;
        while left > 0 {
            let some = left.min(batch);
            left -= some;
            let mut txn = self.database.begin_write().unwrap();
            let mut events = txn.open_table(EVENTS).unwrap();
            for _ in 0..some {
                self.next += 1;
                events.insert((1, self.next), &[b'x'; EVENT_BYTES][..]).unwrap();
            }
            drop(events);
            txn.set_durability(durability).unwrap();
            txn.set_quick_repair(matches!(durability, redb::Durability::Immediate));
            txn.commit().unwrap();
        }
        begun.elapsed()
    }
}

fn appending(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append");
    group.throughput(Throughput::Elements(1)).sample_size(10);
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    let ring: Mutex<VecDeque<Bytes>> = Mutex::default();
    group.bench_function("memory/bare ring", |bencher| {
        bencher.iter(|| {
            let mut ring = ring.lock().unwrap();
            ring.push_back(black_box(Bytes::from_static(&[b'x'; EVENT_BYTES])));
            if ring.len() > 1000 {
                ring.pop_front();
            }
        });
    });
    let memory = MemoryStore::new(Retention::default(), StoreLimits::default()).unwrap();
    group.bench_function("memory/windlass", |bencher| {
        bencher.iter(|| {
            memory.append(event(Durability::None), Box::new(|outcome| drop(black_box(outcome)))).is_ok()
        });
    });
    for level in LEVELS {
        let path = directory(&format!("{level:?}"));
        let store = durable(&path);
        group.bench_function(format!("{level:?}/windlass"), |bencher| {
            bencher.iter_custom(|count| publish(&store, level, count));
        });
        let store = store.close();
        store.unwrap();
        let synced =
            if level == Durability::Fsynced { redb::Durability::Immediate } else { redb::Durability::None };
        for (name, batch) in [("one by one", 1), ("1000 at once", 1000)] {
            let mut bare = Bare::new(&format!("bare-{level:?}-{batch}"));
            group.bench_function(format!("{level:?}/bare redb, {name}"), |bencher| {
                bencher.iter_custom(|count| bare.publish(synced, count, batch));
            });
        }
    }
    group.finish();
}

/// Reads every missed event page by page and returns their number.
fn recover(store: &dyn ReplayStore) -> u64 {
    let mut query = Query::new("topic", Start::Earliest);
    let mut read = 0;
    loop {
        let page = store.read_blocking(query.clone()).unwrap();
        read += page.events.len() as u64;
        if !page.has_more() {
            return read;
        }
        query.start = Start::After(page.resume);
    }
}

fn reading(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read");
    group.throughput(Throughput::Elements(MISSED)).sample_size(10);
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    let path = directory("read");
    let store = durable(&path);
    publish(&store, Durability::Buffered, MISSED);
    let memory = MemoryStore::new(unlimited(), StoreLimits::default()).unwrap();
    publish(&memory, Durability::None, MISSED);
    group.bench_function("10,000 missed/memory", |bencher| {
        bencher.iter(|| assert_eq!(recover(&memory), MISSED))
    });
    group.bench_function("10,000 missed/durable", |bencher| {
        bencher.iter(|| assert_eq!(recover(&store), MISSED))
    });
    let mut bare = Bare::new("bare-read");
    bare.publish(redb::Durability::Immediate, MISSED, 1000);
    group.bench_function("10,000 missed/bare redb scan", |bencher| {
        bencher.iter(|| {
            let read = bare.database.begin_read().unwrap();
            let stored = read.open_table(EVENTS).unwrap().range_owned((1, 0)..).unwrap();
            let events: Vec<Bytes> =
                stored.map(|entry| Bytes::copy_from_slice(entry.unwrap().1.value())).collect();
            assert_eq!(events.len() as u64, MISSED);
        });
    });
    group.finish();
}

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap())
}

/// Prints rates and the CPU time per event, and the ratio of each rate to that of the bare loop.
fn summary(_: &mut Criterion) {
    println!("\nevent of {EVENT_BYTES} bytes, rates in events/s (wall), CPU of the process in µs/event");
    println!(
        "{:10} {:>12} {:>8} {:>14} {:>8} {:>7}",
        "level", "windlass", "CPU", "bare redb", "CPU", "ratio"
    );
    for level in LEVELS {
        let synced = level == Durability::Fsynced;
        let count = 100_000;
        let store = durable(&directory(&format!("summary-{level:?}")));
        let before = cpu();
        let took = publish(&store, level, count);
        let used = cpu() - before;
        // The bare loop syncs every event, so as many events would take minutes.
        let bare_count = if synced { 500 } else { count };
        let durability = if synced { redb::Durability::Immediate } else { redb::Durability::None };
        let mut bare = Bare::new(&format!("summary-bare-{level:?}"));
        let before = cpu();
        let bare_took = bare.publish(durability, bare_count, 1);
        let bare_used = cpu() - before;
        let rate = |count: u64, took: Duration| count as f64 / took.as_secs_f64();
        let micros = |count: u64, used: Duration| used.as_secs_f64() * 1e6 / count as f64;
        println!(
            "{:10} {:12.0} {:8.2} {:14.0} {:8.2} {:7.2}",
            format!("{level:?}"),
            rate(count, took),
            micros(count, used),
            rate(bare_count, bare_took),
            micros(bare_count, bare_used),
            rate(count, took) / rate(bare_count, bare_took)
        );
        let counters = store.counters();
        println!("{:10} {} commits, {} of them synced", "", counters.commits, counters.syncs);
    }
    print_latencies();
    print_opening_times();
    std::fs::read_dir(env!("CARGO_TARGET_TMPDIR")).unwrap().flatten().for_each(|entry| {
        let name = entry.file_name();
        if name.to_string_lossy().starts_with(&format!("bench-replay-{}-", std::process::id())) {
            drop(std::fs::remove_dir_all(entry.path()));
        }
    });
}

/// Prints the latency of an append whose publisher waits for each acknowledgement.
fn print_latencies() {
    const COUNT: u32 = 500;
    let store = durable(&directory("waits"));
    for level in LEVELS {
        publish(&store, level, 10);
        let begun = Instant::now();
        for _ in 0..COUNT {
            store.append_blocking(event(level)).unwrap();
        }
        println!("{level:?}, one at a time: acknowledged after {:?}", begun.elapsed() / COUNT);
    }
}

/// Prints how long opening a store takes after a close and after a kill.
///
/// A copy of an open store's file stands for the store that was killed.
fn print_opening_times() {
    let (closed, killed) = (directory("closed"), directory("killed"));
    let store = durable(&closed);
    publish(&store, Durability::Buffered, 100_000);
    store.flush_blocking().unwrap();
    std::fs::copy(closed.join("replay.redb"), killed.join("replay.redb")).unwrap();
    std::fs::File::open(killed.join("replay.redb")).unwrap().sync_all().unwrap();
    drop(store);
    for (after, path) in [("a close", closed), ("a kill", killed)] {
        let begun = Instant::now();
        let store = durable(&path);
        let took = begun.elapsed();
        println!("opening 100,000 events after {after}: {took:?}, {} topic with a gap", store.crash_gaps());
    }
}

criterion_group!(benches, appending, reading, summary);
criterion_main!(benches);
