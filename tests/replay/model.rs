//! Both stores agree with a model: random appends with labels to logs with small bounds, read through random
//! filters from random positions.
//!
//! The model keeps every event ever appended. A reader may miss an event only if a gap covers it, and a gap
//! must have a reason.

use std::collections::BTreeMap;

use windlass::replay::{
    Append, Continuity, Filter, Matcher, MemoryStore, Position, Query, ReplayStore, Retention, Start,
    StoreLimits, Window,
};

use crate::common::{Random, rounds, seed};

const LABELS: [&str; 6] = ["a", "b", "c/1", "c/2", "c/10", "log"];

/// Everything ever appended to a log: labels by number.
type Model = BTreeMap<u64, Vec<&'static str>>;

fn filter(random: &mut Random) -> Filter {
    let label = Matcher::label(LABELS[random.below(LABELS.len())]);
    match random.below(6) {
        0 => Filter::all(),
        1 => Filter::any_of([Matcher::prefix("c/")]),
        2 => Filter::any_of([Matcher::prefix("c/1"), label]),
        3 => Filter::any_of([label]).with_tags(["even"]),
        _ => Filter::any_of([label]),
    }
}

fn tags(seq: u64) -> Vec<bytes::Bytes> {
    if seq.is_multiple_of(2) { vec!["even".into()] } else { Vec::new() }
}

/// Appends an event with random labels and records it. The tag follows from the number.
fn append(store: &dyn ReplayStore, model: &mut Model, random: &mut Random) -> Position {
    let next = model.last_key_value().map_or(1, |(seq, _)| seq + 1);
    // Some labels are much more frequent than others.
    let busy = random.below(3);
    let mut labels = vec![LABELS[if random.below(10) < 8 { busy } else { random.below(LABELS.len()) }]];
    if random.below(4) == 0 {
        labels.push(LABELS[random.below(LABELS.len())]);
    }
    let event = Append::new("log", "x".repeat(random.below(100))).labels(labels.iter().copied());
    let position = store.append_blocking(event.tags(tags(next))).unwrap().position;
    assert_eq!(position.seq(), next);
    model.insert(next, labels);
    position
}

/// Reads from a position to the end, and asserts that exactly the matching events arrive, apart from those
/// that gaps cover.
fn check(store: &dyn ReplayStore, model: &Model, kept: usize, end: Position, random: &mut Random) {
    let filter = filter(random);
    let from = random.below(model.len() + 1) as u64;
    let window = Window { events: 1 + random.below(20), scanned: 1 + random.below(30), ..Window::default() };
    let start = Start::After(Position::new(end.epoch(), from));
    let mut query = Query::new("log", start).filter(filter.clone()).window(window);
    let matches = |seq: u64| {
        let labels: Vec<bytes::Bytes> = model[&seq].iter().map(|label| (*label).into()).collect();
        filter.matches(&labels, &tags(seq), false)
    };
    let newest = end.seq().saturating_sub(kept as u64);
    let mut done = from;
    loop {
        let page = store.read_blocking(query.clone()).unwrap();
        if let Continuity::Gap(gap) = page.continuity {
            assert_eq!(gap.from.seq(), done + 1, "{filter:?} {page:?}");
            assert!(gap.to.seq() <= newest, "no recent event is missing: {filter:?} {page:?}");
            done = gap.to.seq();
        } else {
            assert_eq!(page.continuity, Continuity::Complete);
        }
        for event in &page.events {
            let seq = event.position.seq();
            let missed: Vec<u64> = (done + 1..seq).filter(|seq| matches(*seq)).collect();
            assert!(missed.is_empty() && matches(seq) && seq > done, "{filter:?}: {missed:?} before {seq}");
            done = seq;
        }
        let missed: Vec<u64> = (done + 1..=page.resume.seq()).filter(|seq| matches(*seq)).collect();
        assert!(missed.is_empty(), "{filter:?}: {missed:?} are missing without a gap: {page:?}");
        assert!(page.resume.seq() >= done && page.resume == page.scanned_to && page.end == end);
        done = page.resume.seq();
        if !page.has_more() {
            return assert_eq!(done, end.seq());
        }
        query.start = Start::After(page.resume);
    }
}

/// The newest `label_events` events of each label are stored, unless there are too many labels for that.
fn check_newest(store: &dyn ReplayStore, model: &Model, label_events: usize) {
    for label in LABELS {
        let newest = model.iter().rev().filter(|(_, labels)| labels.contains(&label)).take(label_events);
        let mut query = Query::new("log", Start::Earliest).filter(Filter::any_of([Matcher::label(label)]));
        let mut held = Vec::new();
        loop {
            let page = store.read_blocking(query.clone()).unwrap();
            held.extend(page.events.iter().map(|event| event.position.seq()));
            if !page.has_more() {
                break;
            }
            query.start = Start::After(page.resume);
        }
        for (seq, _) in newest {
            assert!(held.contains(seq), "{label}: {seq} is one of the newest, stored are {held:?}");
        }
    }
}

fn retention(random: &mut Random) -> Retention {
    let mut retention = Retention::default();
    retention.events = 15 + random.below(20);
    retention.label_events = 1 + random.below(2);
    retention
}

fn limits() -> StoreLimits {
    let mut limits = StoreLimits::default();
    limits.labels = 2;
    limits
}

#[test]
fn the_memory_store_agrees_with_the_model() {
    let seed = seed();
    for round in 0..rounds() * 30 {
        let mut random = Random::new(seed + round);
        let retention = retention(&mut random);
        let (kept, label_events) = (retention.events, retention.label_events);
        let store = MemoryStore::new(retention, limits()).unwrap();
        let mut model = Model::new();
        for _ in 0..250 {
            let end = append(&store, &mut model, &mut random);
            check(&store, &model, kept, end, &mut random);
        }
        check_newest(&store, &model, label_events);
    }
}

#[cfg(feature = "durable")]
#[test]
fn the_durable_store_agrees_with_the_model_over_reopenings() {
    use windlass::replay::durable::{DurableStore, Options};

    let seed = seed();
    for round in 0..rounds() * 10 {
        let mut random = Random::new(seed + round);
        let mut options = Options::default();
        options.retention = retention(&mut random);
        (options.limits, options.readers, options.cache_bytes) = (limits(), 1, 1 << 20);
        let (kept, label_events) = (options.retention.events, options.retention.label_events);
        let disk = crate::disk::MemoryDisk::default();
        let mut model = Model::new();
        for _ in 0..4 {
            let store = DurableStore::open_on(disk.disks(), options.clone()).unwrap();
            for _ in 0..60 {
                let end = append(&store, &mut model, &mut random);
                check(&store, &model, kept, end, &mut random);
            }
            check_newest(&store, &model, label_events);
            store.close().unwrap();
        }
    }
}
