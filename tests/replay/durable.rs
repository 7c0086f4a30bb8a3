//! The durable store: the contract, what it keeps, what its levels cost, who may open it.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use windlass::replay::{
    Append, Continuity, Durability, ErrorKind, Gap, ReplayStore, Retention, Start,
    conformance::{self, Fixture},
    durable::{DurableStore, Options},
};

use crate::{
    common::{Hand, Scratch, append, held, page},
    disk::Platter,
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
    DurableStore::open_on(Platter::default().disks(), options).unwrap()
}

fn as_safe_as(durability: Durability) -> Append {
    Append::new("topic", "event").durability(durability)
}

/// Opens stores in a directory each; the last one can be opened again.
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
fn conforms() {
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
        assert_eq!(held(&store, "topic"), wanted);
        assert_eq!(page(&store, "topic", Start::After(last.unwrap())).continuity, Continuity::Complete);
        store.close().unwrap();
        assert_eq!(
            store.append_blocking(as_safe_as(Durability::None)).unwrap_err().kind(),
            ErrorKind::Closed
        );
        let query = windlass::replay::Query::new("topic", Start::Earliest);
        assert_eq!(store.read_blocking(query).unwrap_err().kind(), ErrorKind::Closed);
    }
}

#[test]
fn fsynced_waits_for_its_sync_and_the_others_do_not() {
    let store = in_memory(options(|options| options.buffered_interval = Duration::from_secs(3600)));
    let reached = |durability| store.append_blocking(as_safe_as(durability)).unwrap().durability;
    // The first takes a lease.
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
    store.append_blocking(as_safe_as(Durability::Buffered)).unwrap();
    let before = store.counters().syncs;
    let begun = Instant::now();
    store.append_blocking(as_safe_as(Durability::Buffered)).unwrap();
    while store.counters().syncs == before {
        assert!(begun.elapsed() < Duration::from_secs(10), "no sync");
        std::thread::yield_now();
    }
    assert!(begun.elapsed() >= Duration::from_millis(20));
}

#[test]
fn many_appends_share_a_commit() {
    let store = in_memory(Options::default());
    let (told, tells) = mpsc::channel();
    for _ in 0..2000 {
        let told = told.clone();
        let done = Box::new(move |outcome| told.send(outcome).unwrap());
        assert!(store.append(as_safe_as(Durability::Fsynced), done).is_ok());
    }
    let seqs: Vec<u64> = (0..2000).map(|_| tells.recv().unwrap().unwrap().position.seq()).collect();
    assert!(seqs.is_sorted());
    let syncs = store.counters().syncs;
    assert!(syncs < 500, "{syncs} syncs for 2000 appends");
}

#[test]
fn a_full_queue_gives_the_append_back_and_calls_when_there_is_room() {
    let store = in_memory(options(|options| options.queue_events = 2));
    let (open, gate) = mpsc::channel::<()>();
    let (entered, enters) = mpsc::channel();
    // Holds the writer.
    let done = Box::new(move |_| {
        entered.send(()).unwrap();
        gate.recv().unwrap();
    });
    assert!(store.append(as_safe_as(Durability::None), done).is_ok());
    enters.recv().unwrap();
    for _ in 0..2 {
        assert!(store.append(as_safe_as(Durability::None), Box::new(|_| ())).is_ok());
    }
    let Err(refused) = store.append(Append::new("topic", "too much"), Box::new(|_| ())) else {
        panic!("a third append was taken")
    };
    assert_eq!(refused.append.data, "too much");
    assert_eq!(store.counters().rejected, 1);
    let (ready, readiness) = mpsc::channel();
    store.when_ready(Box::new(move || ready.send(()).unwrap()));
    assert!(readiness.try_recv().is_err(), "there is no room");
    open.send(()).unwrap();
    readiness.recv().unwrap();
    let waited = store.append_blocking(refused.append).unwrap();
    assert_eq!(waited.position.seq(), 4);
}

#[test]
fn events_bytes_and_all_topics_together_are_bounded() {
    let store = in_memory(retaining(|kept| kept.events = 10));
    let positions: Vec<_> = (0..35).map(|number| append(&store, "topic", &number.to_string())).collect();
    assert_eq!(held(&store, "topic"), (25..35).map(|number| number.to_string()).collect::<Vec<_>>());
    let gap = Gap { from: positions[3], to: positions[24] };
    assert_eq!(page(&store, "topic", Start::After(positions[2])).continuity, Continuity::Gap(gap));

    let store = in_memory(retaining(|kept| kept.bytes = 300));
    for number in 0..10 {
        append(&store, "topic", &format!("{number:036}"));
    }
    assert_eq!(held(&store, "topic").len(), 3, "100 bytes each");
    append(&store, "topic", &"x".repeat(1000));
    assert_eq!(held(&store, "topic").len(), 1);

    let store = in_memory(retaining(|kept| kept.total_bytes = 10_000));
    let topics = ["a", "b", "c", "d"];
    for _ in 0..100 {
        for topic in topics {
            append(&store, topic, &"x".repeat(36));
        }
    }
    let infos = store.topics_blocking().unwrap();
    let total: u64 = infos.iter().map(|info| info.bytes).sum();
    assert!((9_000..=10_000).contains(&total), "{total}");
    assert!(topics.iter().all(|topic| !held(&store, topic).is_empty()), "one topic cannot drive another out");
    assert!(infos.iter().all(|info| info.end.seq() == 100 && info.events == held_len(&store, &info.topic)));
}

fn held_len(store: &DurableStore, topic: &bytes::Bytes) -> u64 {
    let query = windlass::replay::Query::new(topic.clone(), Start::Earliest);
    store.read_blocking(query).unwrap().events.len() as u64
}

#[test]
fn old_events_go_also_while_nothing_is_published() {
    let hand = Hand::new();
    let aging = options(|options| {
        options.retention.age = Some(Duration::from_secs(10));
        options.clock = hand.clock();
    });
    let platter = Platter::default();
    let store = DurableStore::open_on(platter.disks(), aging.clone()).unwrap();
    let first = append(&store, "topic", "a");
    hand.advance(Duration::from_secs(6));
    append(&store, "topic", "b");
    append(&store, "other", "c");
    drop(store);
    let store = DurableStore::open_on(platter.disks(), aging).unwrap();
    assert_eq!(held(&store, "topic"), ["a", "b"]);
    hand.advance(Duration::from_secs(5));
    wait(|| held(&store, "topic") == ["b"]);
    hand.advance(Duration::from_secs(6));
    wait(|| held(&store, "topic").is_empty() && held(&store, "other").is_empty());
    let page = page(&store, "topic", Start::After(first));
    assert!(
        matches!(page.continuity, Continuity::Gap(Gap { from, to }) if from.seq() == 2 && to.seq() == 2),
        "{page:?}"
    );
}

fn wait(state: impl Fn() -> bool) {
    let begun = Instant::now();
    while !state() {
        assert!(begun.elapsed() < Duration::from_secs(20), "the state did not come");
        std::thread::yield_now();
    }
}

#[test]
fn an_empty_topic_makes_room_and_its_positions_do_not_come_back() {
    let hand = Hand::new();
    let small = options(|options| {
        options.retention.age = Some(Duration::from_secs(10));
        options.limits.topics = 2;
        options.clock = hand.clock();
    });
    let platter = Platter::default();
    let store = DurableStore::open_on(platter.disks(), small.clone()).unwrap();
    let old: Vec<_> = (0..5).map(|_| append(&store, "a", "old")).collect();
    append(&store, "b", "b");
    let error = store.append_blocking(Append::new("c", "c")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooManyTopics);
    append(&store, "b", "the refused one harmed nobody");

    hand.advance(Duration::from_secs(11));
    wait(|| held(&store, "a").is_empty() && held(&store, "b").is_empty());
    append(&store, "c", "c");
    drop(store);
    let store = DurableStore::open_on(platter.disks(), small).unwrap();
    hand.advance(Duration::from_secs(11));
    wait(|| held(&store, "c").is_empty());
    for topic in ["d", "e", "a"] {
        append(&store, topic, "new");
        hand.advance(Duration::from_secs(11));
        wait(|| held(&store, topic).is_empty());
    }
    let position = append(&store, "a", "new");
    assert!(!old.contains(&position));
    let page = page(&store, "a", Start::After(old[4]));
    assert_eq!(page.events.len(), 1);
    assert!(matches!(page.continuity, Continuity::Gap(_)), "{:?}", page.continuity);
}

#[test]
fn a_second_process_is_told_who_has_the_directory() {
    let scratch = Scratch::new("locked");
    let path = scratch.path().join("a").join("b");
    let store = DurableStore::open(&path, Options::default()).unwrap();
    append(&store, "topic", "a");
    // A second opening, even in one process, is another file description, so the lock holds against it too.
    let error = DurableStore::open(&path, Options::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InUse);
    let told = format!("replay open: {} is in use by process {}", path.display(), std::process::id());
    assert_eq!(error.to_string(), told);
    drop(store);
    assert_eq!(held(&DurableStore::open(&path, Options::default()).unwrap(), "topic"), ["a"]);
}

#[test]
fn others_may_not_read_the_files() {
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
fn a_full_store_is_not_synced_for_topics_it_only_takes_from() {
    let store = in_memory(retaining(|kept| kept.total_bytes = 64 * 1024));
    let kept = |topic: &str| Append::new(topic.to_owned(), vec![b'x'; 1000]);
    for n in 0..64 {
        store.append_blocking(kept(&format!("old{n}")).durability(Durability::Fsynced)).unwrap();
    }
    let before = store.counters();
    for _ in 0..40 {
        store.append_blocking(kept("new").durability(Durability::None)).unwrap();
    }
    let now = store.counters();
    let (commits, syncs) = (now.commits - before.commits, now.syncs - before.syncs);
    assert!(commits >= 10 && syncs <= 3, "{syncs} of {commits} commits were synced");
}
