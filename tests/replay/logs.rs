//! Logs with labels, for both stores: what retention spares, which gaps a filter sees, keys, ids, forgetting.

use std::{collections::HashSet, sync::Arc, time::Duration};

use windlass::replay::{
    Append, Clock, Continuity, ErrorKind, Filter, Gap, GapReason, LOG_OVERHEAD_BYTES, Matcher, MemoryStore,
    Page, Position, Query, ReplayStore, Retention, RetentionPolicy, Start, StoreLimits, Window,
};

use crate::common::{ManualClock, append, page, rounds};

/// Settings of a store under test.
struct Settings {
    policy: RetentionPolicy,
    limits: StoreLimits,
    clock: Clock,
}

fn settings(set: impl FnOnce(&mut Retention, &mut StoreLimits)) -> Settings {
    let (mut retention, mut limits) = Default::default();
    set(&mut retention, &mut limits);
    Settings { policy: RetentionPolicy::new(retention), limits, clock: Clock::default() }
}

/// Runs a test on each kind of store.
fn on_each_store(settings: &Settings, test: impl Fn(&dyn ReplayStore)) {
    let Settings { policy, limits, clock } = settings;
    println!("memory store");
    test(&MemoryStore::with_policy(policy.clone(), limits.clone(), clock.clone()).unwrap());
    #[cfg(feature = "durable")]
    {
        println!("durable store");
        test(&durable(settings, &crate::disk::MemoryDisk::default()));
    }
}

#[cfg(feature = "durable")]
fn durable(settings: &Settings, disk: &crate::disk::MemoryDisk) -> windlass::replay::durable::DurableStore {
    let mut options = windlass::replay::durable::Options::default();
    options.policy = Some(settings.policy.clone());
    (options.limits, options.clock) = (settings.limits.clone(), settings.clock.clone());
    windlass::replay::durable::DurableStore::open_on(disk.disks(), options).unwrap()
}

fn put(store: &dyn ReplayStore, log: &'static str, labels: &[&'static str]) -> Position {
    let append = Append::new(log, "data").labels(labels.iter().copied());
    store.append_blocking(append).unwrap().position
}

fn only(label: &'static str) -> Filter {
    Filter::any_of([Matcher::label(label)])
}

fn filtered(store: &dyn ReplayStore, log: &'static str, start: Start, filter: Filter) -> Page {
    store.read_blocking(Query::new(log, start).filter(filter)).unwrap()
}

fn seqs(page: &Page) -> Vec<u64> {
    page.events.iter().map(|event| event.position.seq()).collect()
}

#[test]
fn a_busy_label_neither_evicts_the_newest_event_of_a_quiet_one_nor_causes_a_gap_there() {
    on_each_store(&settings(|kept, _| kept.events = 10), |store| {
        let first = put(store, "log", &["quiet"]);
        let second = put(store, "log", &["quiet"]);
        let busy: Vec<Position> = (0..100).map(|_| put(store, "log", &["busy"])).collect();
        let quiet = filtered(store, "log", Start::Earliest, only("quiet"));
        assert_eq!(seqs(&quiet), [second.seq()]);
        let after = filtered(store, "log", Start::After(second), only("quiet"));
        assert_eq!((after.continuity, seqs(&after), after.resume), (Continuity::Complete, vec![], after.end));
        let after = filtered(store, "log", Start::After(first), only("quiet"));
        assert_eq!(after.continuity, Continuity::Complete);
        let after = filtered(store, "log", Start::After(busy[0]), only("busy"));
        let gap = Gap::new(busy[1], busy[89], GapReason::Expired);
        assert_eq!(after.continuity, Continuity::Gap(gap));
        assert_eq!(seqs(&after), busy[90..].iter().map(|position| position.seq()).collect::<Vec<_>>());
        // A new event of the quiet label takes the place of the spared one.
        let third = put(store, "log", &["quiet"]);
        let quiet = filtered(store, "log", Start::After(first), only("quiet"));
        assert_eq!(seqs(&quiet), [third.seq()]);
        assert!(
            matches!(quiet.continuity, Continuity::Gap(gap) if gap.to == second),
            "{:?}",
            quiet.continuity
        );
    });
}

#[test]
fn an_event_with_several_labels_stays_while_it_is_the_newest_of_one() {
    on_each_store(&settings(|kept, _| (kept.events, kept.label_events) = (5, 2)), |store| {
        let both = put(store, "log", &["a", "b"]);
        for _ in 0..20 {
            put(store, "log", &["a"]);
        }
        assert_eq!(seqs(&filtered(store, "log", Start::Earliest, only("b"))), [both.seq()]);
        let a = filtered(store, "log", Start::Earliest, only("a"));
        assert_eq!(a.events.first().map(|event| event.position), Some(both), "it still has the label a");
        put(store, "log", &["b"]);
        assert_eq!(filtered(store, "log", Start::Earliest, only("b")).events.len(), 2);
        put(store, "log", &["b"]);
        let b = filtered(store, "log", Start::Earliest, only("b"));
        assert_eq!((b.events.len(), b.events[0].position.seq()), (2, 22));
    });
}

#[test]
fn spared_events_are_bounded() {
    on_each_store(&settings(|kept, _| kept.events = 10), |store| {
        let labels: Vec<String> = (0..100).map(|number| format!("label/{number}")).collect();
        for label in &labels {
            store.append_blocking(Append::new("log", "data").labels([label.clone()])).unwrap();
        }
        let mut query =
            Query::new("log", Start::Earliest).filter(Filter::any_of([Matcher::prefix("label/")]));
        let mut held = Vec::new();
        loop {
            let page = store.read_blocking(query.clone()).unwrap();
            held.extend(seqs(&page));
            if !page.has_more() {
                break;
            }
            query.start = Start::After(page.resume);
        }
        assert_eq!(held, (81..=100).collect::<Vec<u64>>());
    });
}

#[test]
fn a_prefix_sees_the_gaps_of_its_labels_only() {
    on_each_store(&settings(|kept, _| kept.events = 10), |store| {
        let start = put(store, "log", &["start"]);
        for _ in 0..50 {
            put(store, "log", &["a/1"]);
        }
        let end = put(store, "log", &["b/1"]);
        let read =
            |prefix| filtered(store, "log", Start::After(start), Filter::any_of([Matcher::prefix(prefix)]));
        assert!(matches!(read("a/").continuity, Continuity::Gap(_)));
        assert_eq!((read("b/").continuity, seqs(&read("b/"))), (Continuity::Complete, vec![end.seq()]));
        assert_eq!(read("c/").continuity, Continuity::Complete);
        let no_tag = Filter::all().with_tags(["tag=1"]);
        let page = filtered(store, "log", Start::After(start), no_tag);
        assert!(matches!(page.continuity, Continuity::Gap(_)), "the tags of removed events are not known");
    });
}

#[test]
fn labels_beyond_the_limit_are_forgotten_with_a_gap_to_be_safe() {
    let few = settings(|kept, limits| (kept.events, kept.label_events, limits.labels) = (2, 0, 4));
    on_each_store(&few, |store| {
        let first = put(store, "log", &["first"]);
        for number in 0..50 {
            let label = format!("label/{number}");
            store.append_blocking(Append::new("log", "data").labels([label])).unwrap();
        }
        let page = filtered(store, "log", Start::After(first), only("never seen"));
        assert!(matches!(page.continuity, Continuity::Gap(gap) if gap.to.seq() < 50), "{page:?}");
        let later =
            filtered(store, "log", Start::After(Position::new(first.epoch(), 49)), only("never seen"));
        assert_eq!(later.continuity, Continuity::Complete);
    });
}

#[test]
fn a_repeated_key_appends_nothing_until_it_expires() {
    let clock = ManualClock::new();
    let few = settings(|kept, _| (kept.keys, kept.key_age) = (3, Duration::from_secs(60)));
    on_each_store(&Settings { clock: clock.clock(), ..few }, |store| {
        let keyed = |key: &str, data: &str| Append::new("log", data.to_owned()).key(key.to_owned());
        let first = store.append_blocking(keyed("a", "1")).unwrap();
        assert!(!first.is_repeat);
        let repeat = store.append_blocking(keyed("a", "1")).unwrap();
        assert_eq!((repeat.position, repeat.is_repeat), (first.position, true));
        for other in [keyed("a", "2"), keyed("a", "1").name("name"), keyed("a", "1").labels(["x"])] {
            let error = store.append_blocking(other).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::KeyReused);
            assert!(error.is_rejection());
        }
        assert!(!store.append_blocking(Append::new("other", "1").key("a")).unwrap().is_repeat);
        assert_eq!(page(store, "log", Start::Earliest).events.len(), 1);
        for key in ["b", "c", "d"] {
            assert!(!store.append_blocking(keyed(key, "1")).unwrap().is_repeat);
        }
        assert!(!store.append_blocking(keyed("a", "2")).unwrap().is_repeat, "the oldest key is forgotten");
        assert!(store.append_blocking(keyed("d", "1")).unwrap().is_repeat);
        clock.advance(Duration::from_secs(61));
        assert!(!store.append_blocking(keyed("d", "other")).unwrap().is_repeat, "the key has expired");
        assert!(store.append_blocking(keyed("d", "other")).unwrap().is_repeat);
    });
}

#[test]
fn an_id_finds_the_earliest_stored_event() {
    on_each_store(&settings(|kept, _| kept.events = 3), |store| {
        let find =
            |log: &'static str, id: &'static str| store.find_id_blocking(log.into(), id.into()).unwrap();
        let put = |id: &'static str| store.append_blocking(Append::new("log", "x").id(id)).unwrap().position;
        let first = put("id");
        let second = put("id");
        let longer = put("id2");
        assert_eq!((find("log", "id"), find("log", "id2")), (Some(first), Some(longer)));
        assert_eq!((find("log", "i"), find("other", "id")), (None, None));
        let event = &page(store, "log", Start::Earliest).events[0];
        assert_eq!(event.attributes().id.as_deref(), Some(&b"id"[..]));
        append(store, "log", "no id");
        assert_eq!(find("log", "id"), Some(second), "the first event with the id is removed");
        append(store, "log", "no id");
        assert_eq!(find("log", "id"), None);
    });
}

#[test]
fn the_log_that_was_unused_longest_is_forgotten_and_its_positions_are_not_reused() {
    on_each_store(&settings(|_, limits| limits.logs = 3), |store| {
        let a: Vec<Position> = (0..5).map(|_| append(store, "a", "a")).collect();
        for log in ["b", "c", "a"] {
            append(store, log, "data");
        }
        append(store, "d", "data");
        assert!(page(store, "b", Start::Earliest).events.is_empty(), "b was unused longest");
        assert_eq!(page(store, "a", Start::Earliest).events.len(), 6);
        append(store, "e", "data");
        append(store, "f", "data");
        append(store, "g", "data");
        let end = page(store, "a", Start::Earliest).end;
        assert!(end.seq() >= 6, "the end of a forgotten log is not lower than its last number");
        let again = append(store, "a", "new");
        assert!(!a.contains(&again) && again.seq() > 6, "{again}");
        let page = page(store, "a", Start::After(a[4]));
        assert!(matches!(page.continuity, Continuity::Gap(_)), "{page:?}");
        assert_eq!(seqs(&page), [again.seq()]);
    });
}

#[test]
fn a_log_without_use_for_its_time_is_forgotten() {
    let clock = ManualClock::new();
    let idle = settings(|kept, _| kept.idle = Some(Duration::from_secs(60)));
    on_each_store(&Settings { clock: clock.clock(), ..idle }, |store| {
        let old = store.append_blocking(Append::new("old", "data").id("id")).unwrap().position;
        clock.advance(Duration::from_secs(40));
        append(store, "young", "data");
        clock.advance(Duration::from_secs(40));
        append(store, "new", "data");
        // A read would be a use.
        let is_gone = || store.find_id_blocking("old".into(), "id".into()).unwrap().is_none();
        let begun = std::time::Instant::now();
        while !is_gone() {
            assert!(begun.elapsed() < Duration::from_secs(20), "the idle log must be forgotten");
            clock.advance(Duration::from_millis(1));
            std::thread::sleep(Duration::from_millis(100));
        }
        assert_eq!(page(store, "young", Start::Earliest).events.len(), 1);
        assert!(append(store, "old", "data") != old);
    });
}

#[test]
fn retention_may_differ_by_log() {
    let policy = RetentionPolicy::new(Retention::default());
    let policy = policy.by_log(|log| {
        let mut short = Retention::default();
        short.events = 3;
        log.starts_with(b"short").then(|| Arc::new(short))
    });
    on_each_store(&Settings { policy, ..settings(|_, _| ()) }, |store| {
        for _ in 0..10 {
            append(store, "short/1", "data");
            append(store, "long", "data");
        }
        assert_eq!(page(store, "short/1", Start::Earliest).events.len(), 3);
        assert_eq!(page(store, "long", Start::Earliest).events.len(), 10);
    });
}

/// `WINDLASS_REPLAY_ROUNDS=5` makes it a million logs.
#[test]
fn very_many_logs_published_once_stay_within_their_bound_and_reuse_no_position() {
    let limit = 8 * 1024 * 1024;
    let (retention, limits) = {
        let mut retention = Retention::default();
        retention.total_bytes = limit;
        (retention, StoreLimits::default())
    };
    let store = MemoryStore::new(retention, limits).unwrap();
    let mut seen = HashSet::new();
    for number in 0..rounds() * 200_000 {
        let name = format!("topic/{number}");
        let appended = store.append_blocking(Append::new(name.clone(), "data")).unwrap();
        if number % 10_000 == 0 {
            assert!(store.total_bytes() <= limit + 100 * LOG_OVERHEAD_BYTES, "{}", store.total_bytes());
            assert!(store.logs().len() > 10_000.min(number) as usize, "the bound is used");
            seen.insert((name, appended.position.seq()));
        }
    }
    for (name, seq) in seen {
        let again = store.append_blocking(Append::new(name.clone(), "again")).unwrap();
        assert!(again.position.seq() > seq, "{name}: {seq} was reused");
    }
}

#[test]
fn a_filtered_read_goes_on_where_its_page_was_scanned_to() {
    on_each_store(&settings(|kept, _| kept.events = 100), |store| {
        for number in 0..90 {
            put(store, "log", if number % 30 == 29 { &["rare"] } else { &["often"] });
        }
        let window = Window { scanned: 20, ..Window::default() };
        let mut query = Query::new("log", Start::Earliest).filter(only("rare")).window(window);
        let (mut found, mut pages) = (Vec::new(), 0);
        loop {
            let page = store.read_blocking(query.clone()).unwrap();
            assert_eq!((page.continuity, page.resume), (Continuity::Complete, page.scanned_to));
            found.extend(seqs(&page));
            pages += 1;
            if !page.has_more() {
                break;
            }
            query.start = Start::After(page.resume);
        }
        assert_eq!((found, pages), (vec![30, 60, 90], 5));
    });
}

/// An id of a topic must never stand for an event of the log that the topic was put into.
#[cfg(feature = "durable")]
#[test]
fn a_configured_log_starts_above_every_topic() {
    let store = durable(&settings(|_, _| ()), &crate::disk::MemoryDisk::default());
    let old: Vec<Position> = (0..20).map(|_| append(&store, "prices/gold", "old")).collect();
    append(&store, "news", "other");
    let position = put(&store, "\0prices", &["prices/gold"]);
    assert!(position.seq() > old[19].seq(), "{position}");
    for known in [old[4], old[19]] {
        let page = filtered(&store, "\0prices", Start::After(known), only("prices/gold"));
        assert!(matches!(page.continuity, Continuity::Gap(gap) if gap.to.seq() < position.seq()), "{page:?}");
        assert_eq!(seqs(&page), [position.seq()]);
    }
}

#[cfg(feature = "durable")]
#[test]
fn after_another_grouping_every_log_continues_above_all_numbers() {
    use windlass::replay::{
        Durability,
        durable::{DurableStore, Options},
    };

    let disk = crate::disk::MemoryDisk::default();
    let open = |grouping| {
        let mut options = Options::default();
        options.grouping = grouping;
        DurableStore::open_on(disk.disks(), options).unwrap()
    };
    let fsynced = |store: &DurableStore, log: &'static str| {
        let event = Append::new(log, "data").durability(Durability::Fsynced);
        store.append_blocking(event).unwrap().position
    };
    let store = open(1);
    let many: Vec<Position> = (0..10).map(|_| fsynced(&store, "many")).collect();
    let few: Vec<Position> = (0..3).map(|_| fsynced(&store, "few")).collect();
    drop(store);
    let store = open(1);
    assert_eq!(fsynced(&store, "few").seq(), few[2].seq() + 1, "the grouping is the same");
    drop(store);
    for reopened in 0..2 {
        let store = open(2);
        let page = page(&store, "few", Start::After(few[2]));
        assert_eq!((page.events.len(), page.end.seq()), (1, many[9].seq() + reopened));
        let before = Position::new(many[9].epoch(), few[2].seq() + 1);
        let gone = filtered(&store, "few", Start::After(before), only("few"));
        assert!(
            matches!(gone.continuity, Continuity::Gap(gap) if gap.to == many[9]),
            "ids of other logs must not be taken for this one's: {gone:?}"
        );
        assert_eq!(fsynced(&store, "few").seq(), many[9].seq() + reopened + 1);
    }
}

/// The events of a large log are removed in several commits.
#[cfg(feature = "durable")]
#[test]
fn a_large_log_is_forgotten_and_found_empty_after_a_reopening() {
    let disk = crate::disk::MemoryDisk::default();
    let one = settings(|kept, limits| (kept.events, limits.logs) = (20_000, 1));
    let store = durable(&one, &disk);
    let (sender, outcomes) = std::sync::mpsc::channel();
    for _ in 0..5000 {
        let sender = sender.clone();
        let done = Box::new(move |outcome: Result<_, _>| sender.send(outcome.is_ok()).unwrap());
        assert!(store.append(Append::new("large", "data").labels(["a", "b"]), done).is_ok());
    }
    (0..5000).for_each(|_| assert!(outcomes.recv().unwrap()));
    let last = page(&store, "large", Start::Earliest).end;
    append(&store, "small", "data");
    assert!(page(&store, "large", Start::Earliest).events.is_empty());
    drop(store);
    let store = durable(&one, &disk);
    append(&store, "small", "data");
    append(&store, "small", "data");
    let again = append(&store, "large", "data");
    assert!(again.seq() > last.seq());
    assert_eq!(seqs(&page(&store, "large", Start::Earliest)), [again.seq()]);
}
