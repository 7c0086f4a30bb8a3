//! The memory store: conformance and retention.

use std::{sync::Arc, time::Duration};

use windlass::replay::{
    Append, Continuity, Durability, ErrorKind, Gap, GapReason, MemoryStore, Position, ReplayStore, Reset,
    Retention, Start, StoreLimits,
    conformance::{self, Fixture},
};

use crate::common::{ManualClock, append, page, stored_data};

fn retention(set: impl FnOnce(&mut Retention)) -> Retention {
    let mut retention = Retention::default();
    set(&mut retention);
    retention
}

fn limits(set: impl FnOnce(&mut StoreLimits)) -> StoreLimits {
    let mut limits = StoreLimits::default();
    set(&mut limits);
    limits
}

fn store(retention: Retention) -> MemoryStore {
    MemoryStore::new(retention, StoreLimits::default()).unwrap()
}

struct Memory;

impl Fixture for Memory {
    fn create(&self) -> Arc<dyn ReplayStore> {
        Arc::new(store(Retention::default()))
    }

    fn create_bounded(&self, events: usize) -> Option<Arc<dyn ReplayStore>> {
        Some(Arc::new(store(retention(|kept| kept.events = events))))
    }
}

#[test]
fn passes_the_conformance_suite() {
    conformance::check(&Memory).unwrap();
}

#[test]
fn asynchronous_calls_complete() {
    let store: Arc<dyn ReplayStore> = Memory.create();
    let appended = pollster::block_on(store.append_async(Append::new("topic", "one"))).unwrap();
    assert_eq!(appended.durability, Durability::None, "a memory store has no durability");
    let query = windlass::replay::Query::new("topic", Start::Earliest);
    assert_eq!(pollster::block_on(store.read_async(query)).unwrap().events.len(), 1);
}

#[test]
fn bytes_are_bounded_but_the_newest_event_is_kept() {
    let store = store(retention(|kept| kept.bytes = 300));
    for number in 0..10 {
        append(&store, "topic", &format!("{number:036}"));
    }
    assert_eq!(stored_data(&store, "topic").len(), 3, "three events of 100 bytes each must fit");
    append(&store, "topic", &"x".repeat(1000));
    assert_eq!(stored_data(&store, "topic").len(), 1);
}

#[test]
fn old_events_expire_without_new_appends() {
    let clock = ManualClock::new();
    let kept = retention(|kept| kept.age = Some(Duration::from_secs(10)));
    let store = MemoryStore::with_clock(kept, StoreLimits::default(), clock.clock()).unwrap();
    let first = append(&store, "topic", "a");
    clock.advance(Duration::from_secs(6));
    let second = append(&store, "topic", "b");
    assert_eq!(stored_data(&store, "topic"), ["a", "b"]);
    clock.advance(Duration::from_secs(5));
    assert_eq!(stored_data(&store, "topic"), ["b"]);
    clock.advance(Duration::from_secs(6));
    assert!(stored_data(&store, "topic").is_empty());
    let page = page(&store, "topic", Start::After(first));
    assert_eq!(page.continuity, Continuity::Gap(Gap::new(second, second, GapReason::Expired)));
    assert!(!page.has_more());
}

#[test]
fn the_total_of_all_topics_is_bounded() {
    let store = store(retention(|kept| kept.total_bytes = 20_000));
    let topics = ["a", "b", "c", "d"];
    for _ in 0..100 {
        for topic in topics {
            append(&store, topic, &"x".repeat(36));
        }
    }
    let total = store.total_bytes();
    assert!((19_000..=20_000).contains(&total), "{total}");
    let events: u64 = store.logs().iter().map(|info| info.bytes).sum();
    assert!(events > 16_000, "{events}");
    assert!(
        topics.iter().all(|topic| !stored_data(&store, topic).is_empty()),
        "each topic must keep at least one event"
    );
}

#[test]
fn a_log_beyond_the_limit_replaces_another_whose_positions_are_not_reused() {
    let store = MemoryStore::new(Retention::default(), limits(|limits| limits.logs = 2)).unwrap();
    let old: Vec<Position> = (0..5).map(|_| append(&store, "a", "old")).collect();
    append(&store, "b", "b");
    append(&store, "c", "c");
    assert_eq!(store.logs().len(), 2);
    append(&store, "a", "new");
    let page = page(&store, "a", Start::After(old[4]));
    assert!(
        page.events.iter().all(|event| event.data == "new" && !old.contains(&event.position)),
        "{page:?}"
    );
    assert_eq!(page.events.len(), 1);
}

#[test]
fn the_error_names_the_part_that_is_too_long() {
    let small = limits(|limits| (limits.log_bytes, limits.name_bytes, limits.data_bytes) = (3, 3, 3));
    let store = MemoryStore::new(Retention::default(), small).unwrap();
    let refused = |append| {
        let error = store.append_blocking(append).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        error.to_string()
    };
    let text = refused(Append::new("long", "abc"));
    assert_eq!(text, "replay append: the name of the log has 4 bytes, the limit is 3");
    assert!(refused(Append::new("abc", "long")).contains("the event data has"));
    assert!(refused(Append::new("abc", "abc").name("long")).contains("the event name"));
    assert!(store.logs().is_empty());
    store.append_blocking(Append::new("abc", "abc").name("abc")).unwrap();
}

#[test]
fn a_position_of_another_store_resets() {
    let (first, second) = (store(Retention::default()), store(Retention::default()));
    let position = append(&first, "topic", "a");
    append(&second, "topic", "b");
    assert_eq!(
        page(&second, "topic", Start::After(position)).continuity,
        Continuity::Reset(Reset::UnknownEpoch)
    );
}

#[test]
fn a_panicking_completion_does_not_affect_the_store() {
    let store = store(Retention::default());
    let done = Box::new(|_| panic!("deliberate panic of the test"));
    assert!(store.append(Append::new("topic", "a"), done).is_ok());
    append(&store, "topic", "b");
    assert_eq!(stored_data(&store, "topic"), ["a", "b"]);
}
