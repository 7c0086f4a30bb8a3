//! The durable store: conformance, retention, durability levels, locking and file modes.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use windlass::replay::{
    Append, Continuity, Durability, ErrorKind, Gap, GapReason, ReplayStore, Retention, Start,
    conformance::{self, Fixture},
    durable::{DurableStore, Options},
};

use crate::{
    common::{ManualClock, Scratch, append, page, stored_data},
    disk::MemoryDisk,
};

fn options(set: impl FnOnce(&mut Options)) -> Options {
    let mut options = Options::default();
    set(&mut options);
    options
}

fn retaining(set: impl FnOnce(&mut Retention)) -> Options {
    options(|options| set(&mut options.retention))
}

fn in_memory(options: Options) -> DurableStore {
    DurableStore::open_on(MemoryDisk::default().disks(), options).unwrap()
}

fn with_durability(durability: Durability) -> Append {
    Append::new("topic", "event").durability(durability)
}

/// Opens each store in a directory of its own; the last one can be reopened.
struct Files(Scratch, std::sync::Mutex<usize>);

impl Files {
    fn open(&self, options: Options, number: usize) -> Arc<dyn ReplayStore> {
        Arc::new(DurableStore::open(self.0.path().join(number.to_string()), options).unwrap())
    }

    fn next(&self) -> usize {
        let mut count = self.1.lock().unwrap();
        *count += 1;
        *count
    }
}

impl Fixture for Files {
    fn create(&self) -> Arc<dyn ReplayStore> {
        self.open(Options::default(), self.next())
    }

    fn create_bounded(&self, events: usize) -> Option<Arc<dyn ReplayStore>> {
        Some(self.open(retaining(|kept| kept.events = events), self.next()))
    }

    fn reopen(&self, store: Arc<dyn ReplayStore>) -> Option<Arc<dyn ReplayStore>> {
        drop(store);
        let last = *self.1.lock().unwrap();
        Some(self.open(Options::default(), last))
    }
}

#[test]
fn passes_the_conformance_suite() {
    conformance::check(&Files(Scratch::new("conforms"), 0.into())).unwrap();
}

#[test]
fn a_clean_close_leaves_no_gap_at_any_level() {
    let scratch = Scratch::new("clean");
    let mut wanted = Vec::new();
    let mut last = None;
    for round in 0..3 {
        let store = DurableStore::open(scratch.path(), Options::default()).unwrap();
        assert_eq!(store.crash_gaps(), 0);
        for durability in [Durability::None, Durability::Buffered, Durability::Fsynced] {
            wanted.push(format!("{round}"));
            let position =
                store.append_blocking(Append::new("topic", format!("{round}")).durability(durability));
            let position = position.unwrap().position;
            assert_eq!(position.seq(), wanted.len() as u64);
            last = last.or(Some(position));
        }
        assert_eq!(stored_data(&store, "topic"), wanted);
        assert_eq!(page(&store, "topic", Start::After(last.unwrap())).continuity, Continuity::Complete);
        store.close().unwrap();
        assert_eq!(
            store.append_blocking(with_durability(Durability::None)).unwrap_err().kind(),
            ErrorKind::Closed
        );
        let query = windlass::replay::Query::new("topic", Start::Earliest);
        assert_eq!(store.read_blocking(query).unwrap_err().kind(), ErrorKind::Closed);
    }
}

#[test]
fn an_fsynced_append_waits_for_its_sync_and_lower_levels_do_not() {
    let store = in_memory(options(|options| options.buffered_interval = Duration::from_secs(3600)));
    let reached = |durability| store.append_blocking(with_durability(durability)).unwrap().durability;
    // The first append takes a lease, which is synced.
    assert_eq!(reached(Durability::Buffered), Durability::Fsynced);
    let before = store.counters();
    assert_eq!(reached(Durability::Buffered), Durability::Buffered);
    assert_eq!(reached(Durability::None), Durability::None);
    assert_eq!(store.counters().syncs, before.syncs);
    assert_eq!(reached(Durability::Fsynced), Durability::Fsynced);
    assert_eq!(store.counters().syncs, before.syncs + 1);
    assert_eq!(store.counters().appends, 4);
}

#[test]
fn buffered_events_are_synced_within_the_interval() {
    let store = in_memory(options(|options| options.buffered_interval = Duration::from_millis(20)));
    store.append_blocking(with_durability(Durability::Buffered)).unwrap();
    let before = store.counters().syncs;
    let begun = Instant::now();
    store.append_blocking(with_durability(Durability::Buffered)).unwrap();
    while store.counters().syncs == before {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "the buffered event must be synced within the interval"
        );
        std::thread::yield_now();
    }
    assert!(begun.elapsed() >= Duration::from_millis(20));
}

#[test]
fn many_appends_share_a_commit() {
    let store = in_memory(Options::default());
    let (sender, outcomes) = mpsc::channel();
    for _ in 0..2000 {
        let sender = sender.clone();
        let done = Box::new(move |outcome| sender.send(outcome).unwrap());
        assert!(store.append(with_durability(Durability::Fsynced), done).is_ok());
    }
    let seqs: Vec<u64> = (0..2000).map(|_| outcomes.recv().unwrap().unwrap().position.seq()).collect();
    assert!(seqs.is_sorted());
    let syncs = store.counters().syncs;
    assert!(syncs < 500, "{syncs} syncs for 2000 appends");
}

#[test]
fn a_full_queue_returns_the_append_and_calls_back_when_there_is_room() {
    let store = in_memory(options(|options| options.queue_events = 2));
    let (open, gate) = mpsc::channel::<()>();
    let (entered, enters) = mpsc::channel();
    // Blocks the writer thread in a completion.
    let done = Box::new(move |_| {
        entered.send(()).unwrap();
        gate.recv().unwrap();
    });
    assert!(store.append(with_durability(Durability::None), done).is_ok());
    enters.recv().unwrap();
    for _ in 0..2 {
        assert!(store.append(with_durability(Durability::None), Box::new(|_| ())).is_ok());
    }
    let Err(refused) = store.append(Append::new("topic", "too much"), Box::new(|_| ())) else {
        panic!("the full queue must refuse a third append")
    };
    assert_eq!(refused.append.data, "too much");
    assert_eq!(store.counters().rejected, 1);
    let (ready, readiness) = mpsc::channel();
    store.when_ready(Box::new(move || ready.send(()).unwrap()));
    assert!(readiness.try_recv().is_err(), "the callback must wait until there is room");
    open.send(()).unwrap();
    readiness.recv().unwrap();
    let waited = store.append_blocking(refused.append).unwrap();
    assert_eq!(waited.position.seq(), 4);
}

#[test]
fn retention_bounds_events_bytes_and_total_bytes() {
    let store = in_memory(retaining(|kept| kept.events = 10));
    let positions: Vec<_> = (0..35).map(|number| append(&store, "topic", &number.to_string())).collect();
    assert_eq!(stored_data(&store, "topic"), (25..35).map(|number| number.to_string()).collect::<Vec<_>>());
    let gap = Gap::new(positions[3], positions[24], GapReason::Expired);
    assert_eq!(page(&store, "topic", Start::After(positions[2])).continuity, Continuity::Gap(gap));

    let store = in_memory(retaining(|kept| kept.bytes = 300));
    for number in 0..10 {
        append(&store, "topic", &format!("{number:036}"));
    }
    assert_eq!(stored_data(&store, "topic").len(), 3, "three events of 100 bytes each must fit");
    append(&store, "topic", &"x".repeat(1000));
    assert_eq!(stored_data(&store, "topic").len(), 1);

    let store = in_memory(retaining(|kept| kept.total_bytes = 20_000));
    let topics = ["a", "b", "c", "d"];
    for _ in 0..100 {
        for topic in topics {
            append(&store, topic, &"x".repeat(36));
        }
    }
    let infos = store.logs_blocking().unwrap();
    let total: u64 = infos.iter().map(|info| info.bytes).sum();
    assert!((16_000..=18_000).contains(&total), "{total}");
    assert!(
        topics.iter().all(|topic| !stored_data(&store, topic).is_empty()),
        "each topic must keep at least one event"
    );
    for info in infos {
        assert_eq!((info.end.seq(), info.events), (100, stored_count(&store, &info.log)), "{info:?}");
    }
}

fn stored_count(store: &DurableStore, topic: &bytes::Bytes) -> u64 {
    let query = windlass::replay::Query::new(topic.clone(), Start::Earliest);
    store.read_blocking(query).unwrap().events.len() as u64
}

#[test]
fn old_events_expire_without_new_appends() {
    let clock = ManualClock::new();
    let aging = options(|options| {
        options.retention.age = Some(Duration::from_secs(10));
        options.clock = clock.clock();
    });
    let disk = MemoryDisk::default();
    let store = DurableStore::open_on(disk.disks(), aging.clone()).unwrap();
    let first = append(&store, "topic", "a");
    clock.advance(Duration::from_secs(6));
    append(&store, "topic", "b");
    append(&store, "other", "c");
    drop(store);
    let store = DurableStore::open_on(disk.disks(), aging).unwrap();
    assert_eq!(stored_data(&store, "topic"), ["a", "b"]);
    clock.advance(Duration::from_secs(5));
    wait_until(|| stored_data(&store, "topic") == ["b"]);
    clock.advance(Duration::from_secs(6));
    wait_until(|| stored_data(&store, "topic").is_empty() && stored_data(&store, "other").is_empty());
    let page = page(&store, "topic", Start::After(first));
    assert!(
        matches!(page.continuity, Continuity::Gap(Gap { from, to, .. }) if from.seq() == 2 && to.seq() == 2),
        "{page:?}"
    );
}

fn wait_until(state: impl Fn() -> bool) {
    let begun = Instant::now();
    while !state() {
        assert!(begun.elapsed() < Duration::from_secs(20), "the expected state was not reached in time");
        std::thread::yield_now();
    }
}

#[test]
fn a_log_beyond_the_limit_replaces_another_whose_positions_are_not_reused() {
    let small = options(|options| options.limits.logs = 2);
    let disk = MemoryDisk::default();
    let store = DurableStore::open_on(disk.disks(), small.clone()).unwrap();
    let old: Vec<_> = (0..5).map(|_| append(&store, "a", "old")).collect();
    append(&store, "b", "b");
    append(&store, "c", "c");
    assert_eq!(store.logs_blocking().unwrap().len(), 2);
    drop(store);
    let store = DurableStore::open_on(disk.disks(), small).unwrap();
    for topic in ["d", "e", "a"] {
        append(&store, topic, "new");
    }
    let position = append(&store, "a", "new");
    assert!(!old.contains(&position));
    let page = page(&store, "a", Start::After(old[4]));
    assert_eq!(page.events.len(), 2);
    assert!(matches!(page.continuity, Continuity::Gap(_)), "{:?}", page.continuity);
}

#[test]
fn the_error_names_the_process_that_has_the_directory_open() {
    let scratch = Scratch::new("locked");
    let path = scratch.path().join("a").join("b");
    let store = DurableStore::open(&path, Options::default()).unwrap();
    append(&store, "topic", "a");
    // A second open in the same process uses another file description, so the lock applies to it too.
    let error = DurableStore::open(&path, Options::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InUse);
    let text = format!(
        "replay open: {} is in use by process {}: stop it, or use another directory",
        path.display(),
        std::process::id()
    );
    assert_eq!(error.to_string(), text);
    drop(store);
    assert_eq!(stored_data(&DurableStore::open(&path, Options::default()).unwrap(), "topic"), ["a"]);
}

#[test]
fn the_files_are_private_to_the_user() {
    let scratch = Scratch::new("modes");
    let path = scratch.path().join("data");
    let store = DurableStore::open(&path, Options::default()).unwrap();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    assert_eq!(mode(&path.join("replay.redb")), 0o600);
    assert_eq!(mode(&path.join("replay.lock")), 0o600);
    drop(store);
}

#[test]
fn trimming_other_logs_causes_no_sync() {
    let store = in_memory(retaining(|kept| kept.total_bytes = 512 * 1024));
    let kept = |topic: &str| Append::new(topic.to_owned(), vec![b'x'; 1000]);
    for n in 0..480 {
        store.append_blocking(kept(&format!("old{}", n % 4)).durability(Durability::Fsynced)).unwrap();
    }
    let before = store.counters();
    for _ in 0..40 {
        store.append_blocking(kept("new").durability(Durability::None)).unwrap();
    }
    let now = store.counters();
    let (commits, syncs) = (now.commits - before.commits, now.syncs - before.syncs);
    assert!(commits >= 10 && syncs <= 3, "{syncs} of {commits} commits were synced");
}
