//! Rules about appends: positions, order and durability.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use super::{Fixture, Rule, TestResult, append, check_events, ensure, fill, page, read_all, wait_for};
use crate::replay::{Append, Continuity, Durability, Position, Query, ReplayStore, Start, completion};

pub(super) const RULES: &[Rule] = &[
    ("the positions of a log increase by one", positions_increase),
    ("logs have independent numbers", logs_are_independent),
    ("an acknowledged event can be read at once", appends_are_read),
    ("events are read back unchanged", events_are_unchanged),
    ("completions run in the order of the positions", completions_are_ordered),
    ("appends of one thread keep their order", one_thread_keeps_order),
    ("an event acknowledged as fsynced survives a reopening", fsynced_survives),
    ("no position is assigned twice, reopenings included", positions_are_not_reused),
];

fn positions_increase(fixture: &dyn Fixture) -> TestResult {
    let store = fixture.create();
    let expected = fill(&*store, "log", 100)?;
    for pair in expected.windows(2) {
        let (first, second) = (pair[0].position, pair[1].position);
        ensure(first.epoch() == second.epoch(), || format!("{first} and {second} have different epochs"))?;
        ensure(first.seq() + 1 == second.seq(), || format!("{second} follows {first}"))?;
    }
    ensure(expected[0].seq > 0, || "the first event has the number 0, which is reserved".to_owned())
}

fn logs_are_independent(fixture: &dyn Fixture) -> TestResult {
    let store = fixture.create();
    let mut expected = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..50 {
        for (events, log) in expected.iter_mut().zip(["a", "b", "ab"]) {
            events.extend(fill(&*store, log, 1)?);
        }
    }
    for (events, log) in expected.iter().zip(["a", "b", "ab"]) {
        check_events(events, &read_all(&*store, Query::new(log, Start::Earliest))?)?;
    }
    Ok(())
}

fn appends_are_read(fixture: &dyn Fixture) -> TestResult {
    let store = fixture.create();
    for durability in [Durability::None, Durability::Buffered, Durability::Fsynced] {
        for _ in 0..20 {
            let written = append(&*store, Append::new("log", "event").durability(durability))?;
            let before = Position::new(written.position.epoch(), written.seq - 1);
            let read = page(&*store, Query::new("log", Start::After(before)))?;
            check_events(&[written], &read.events)?;
        }
    }
    Ok(())
}

fn events_are_unchanged(fixture: &dyn Fixture) -> TestResult {
    let store = fixture.create();
    let all: Vec<u8> = (0..=255).collect();
    let log = Append::new(vec![0, 255, b'\n'], Vec::new());
    let long = Append { data: vec![b'x'; 60_000].into(), ..log.clone() };
    let appends = [log.clone(), log.clone().name(""), log.name(all.clone()), long];
    let mut expected = Vec::new();
    for event in appends {
        expected.push(append(&*store, Append { data: event.data.clone(), ..event })?);
    }
    check_events(&expected, &read_all(&*store, Query::new(vec![0, 255, b'\n'], Start::Earliest))?)
}

/// Several threads append without waiting for completions.
fn completions_are_ordered(fixture: &dyn Fixture) -> TestResult {
    const THREADS: usize = 4;
    const EACH: usize = 100;
    let store = fixture.create();
    let completed = Arc::new(Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| (0..EACH).for_each(|_| append_and_record(&*store, &completed)));
        }
    });
    let (done, result) = completion();
    // Every earlier append completes before this one.
    drop(store.append(Append::new("log", "last").durability(Durability::Fsynced), done));
    let last = wait_for(result, "the append")?.position.seq();
    let completed = completed.lock().unwrap_or_else(PoisonError::into_inner).clone();
    ensure(completed.len() == THREADS * EACH, || {
        format!("{} completions for {} appends", completed.len(), THREADS * EACH)
    })?;
    ensure(completed.is_sorted(), || "the completions did not run in the order of the positions".to_owned())?;
    let distinct: HashSet<_> = completed.iter().collect();
    ensure(distinct.len() == completed.len(), || "a position was assigned twice".to_owned())?;
    ensure(last > completed[completed.len() - 1], || {
        "the last append does not have the last position".to_owned()
    })
}

/// Appends an event and records its number when it completes. Waits only while the queue is full.
fn append_and_record(store: &dyn ReplayStore, completed: &Arc<Mutex<Vec<u64>>>) {
    let mut event = Append::new("log", "concurrent");
    loop {
        let completed = Arc::clone(completed);
        let done = move |outcome: Result<crate::replay::Appended, _>| {
            let seq = outcome.map_or(0, |appended| appended.position.seq());
            completed.lock().unwrap_or_else(PoisonError::into_inner).push(seq);
        };
        match store.append(event, Box::new(done)) {
            Ok(()) => return,
            Err(rejected) => event = rejected.append,
        }
        let (ready, readiness) = completion();
        store.when_ready(Box::new(move || ready(Ok(()))));
        drop(readiness.wait());
    }
}

fn one_thread_keeps_order(fixture: &dyn Fixture) -> TestResult {
    let store = fixture.create();
    let mut results = Vec::new();
    for number in 0..100 {
        let (done, result) = completion();
        let durability = if number % 3 == 0 { Durability::Buffered } else { Durability::None };
        let event = Append::new("log", number.to_string()).durability(durability);
        if store.append(event, done).is_err() {
            return Err("the queue is full after at most 100 appends".to_owned());
        }
        results.push(result);
    }
    for (number, result) in results.into_iter().enumerate() {
        let position = wait_for(result, "the append")?.position;
        let before = Position::new(position.epoch(), position.seq() - 1);
        let read = page(&*store, Query::new("log", Start::After(before)))?;
        let data = &read.events.first().ok_or("an acknowledged event is missing")?.data;
        ensure(data == &number.to_string(), || format!("{data:?} was appended as number {number}"))?;
    }
    Ok(())
}

fn fsynced_survives(fixture: &dyn Fixture) -> TestResult {
    let store = fixture.create();
    let mut expected = Vec::new();
    for number in 0..50 {
        let event = Append::new("log", number.to_string()).name("name").durability(Durability::Fsynced);
        expected.push(append(&*store, event)?);
    }
    let Some(store) = fixture.reopen(store) else { return Ok(()) };
    check_events(&expected, &read_all(&*store, Query::new("log", Start::Earliest))?)?;
    let after = page(&*store, Query::new("log", Start::After(expected[9].position)))?;
    ensure(after.continuity == Continuity::Complete, || format!("{:?} after reopening", after.continuity))?;
    check_events(&expected[10..], &after.events)
}

fn positions_are_not_reused(fixture: &dyn Fixture) -> TestResult {
    let mut store = fixture.create();
    let mut seen = HashSet::new();
    for round in 0..4 {
        for durability in [Durability::None, Durability::Buffered, Durability::Fsynced, Durability::None] {
            let event = Append::new("log", round.to_string()).durability(durability);
            let position = append(&*store, event)?.position;
            ensure(seen.insert(position), || format!("{position} was assigned twice"))?;
        }
        let Some(reopened) = fixture.reopen(store) else { return Ok(()) };
        store = reopened;
    }
    Ok(())
}
