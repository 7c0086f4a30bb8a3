//! Rules on appending: positions, order, what survives.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use super::{Fixture, Outcome, Rule, answered, append, ensure, fill, page, read_on, same};
use crate::replay::{Append, Continuity, Durability, Position, Query, ReplayStore, Start, pair};

pub(super) const RULES: &[Rule] = &[
    ("positions of a topic rise by one", positions_rise),
    ("topics count for themselves", topics_are_apart),
    ("what was acknowledged is read at once", writes_are_read),
    ("any bytes come back as they were", any_bytes),
    ("completions come in the order of positions", completions_are_ordered),
    ("appends of one thread keep their order", one_thread_keeps_order),
    ("what was acknowledged as fsynced survives", fsynced_survives),
    ("no position is given out twice over reopenings", positions_are_not_reused),
];

fn positions_rise(fixture: &dyn Fixture) -> Outcome {
    let store = fixture.fresh();
    let wanted = fill(&*store, "topic", 100)?;
    for pair in wanted.windows(2) {
        let (first, second) = (pair[0].position, pair[1].position);
        ensure(first.epoch() == second.epoch(), || format!("{first} and {second} have different epochs"))?;
        ensure(first.seq() + 1 == second.seq(), || format!("{second} follows {first}"))?;
    }
    ensure(wanted[0].seq > 0, || "the first event has the number 0, which stands before it".to_owned())
}

fn topics_are_apart(fixture: &dyn Fixture) -> Outcome {
    let store = fixture.fresh();
    let mut wanted = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..50 {
        for (events, topic) in wanted.iter_mut().zip(["a", "b", "ab"]) {
            events.extend(fill(&*store, topic, 1)?);
        }
    }
    for (events, topic) in wanted.iter().zip(["a", "b", "ab"]) {
        same(events, &read_on(&*store, Query::new(topic, Start::Earliest))?)?;
    }
    Ok(())
}

fn writes_are_read(fixture: &dyn Fixture) -> Outcome {
    let store = fixture.fresh();
    for durability in [Durability::None, Durability::Buffered, Durability::Fsynced] {
        for _ in 0..20 {
            let written = append(&*store, Append::new("topic", "event").durability(durability))?;
            let before = Position::new(written.position.epoch(), written.seq - 1);
            let read = page(&*store, Query::new("topic", Start::After(before)))?;
            same(&[written], &read.events)?;
        }
    }
    Ok(())
}

fn any_bytes(fixture: &dyn Fixture) -> Outcome {
    let store = fixture.fresh();
    let all: Vec<u8> = (0..=255).collect();
    let topic = Append::new(vec![0, 255, b'\n'], Vec::new());
    let long = Append { data: vec![b'x'; 60_000].into(), ..topic.clone() };
    let appends = [topic.clone(), topic.clone().name(""), topic.name(all.clone()), long];
    let mut wanted = Vec::new();
    for event in appends {
        wanted.push(append(&*store, Append { data: event.data.clone(), ..event })?);
    }
    same(&wanted, &read_on(&*store, Query::new(vec![0, 255, b'\n'], Start::Earliest))?)
}

/// Appends of several threads, without waiting for each.
fn completions_are_ordered(fixture: &dyn Fixture) -> Outcome {
    const THREADS: usize = 4;
    const EACH: usize = 100;
    let store = fixture.fresh();
    let told = Arc::new(Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| (0..EACH).for_each(|_| append_and_note(&*store, &told)));
        }
    });
    let (done, answer) = pair();
    // Whatever was appended before completes before.
    drop(store.append(Append::new("topic", "last").durability(Durability::Fsynced), done));
    let last = answered(answer, "an append")?.position.seq();
    let told = told.lock().unwrap_or_else(PoisonError::into_inner).clone();
    ensure(told.len() == THREADS * EACH, || {
        format!("{} completions for {} appends", told.len(), THREADS * EACH)
    })?;
    ensure(told.is_sorted(), || "the completions did not come in the order of the positions".to_owned())?;
    let distinct: HashSet<_> = told.iter().collect();
    ensure(distinct.len() == told.len(), || "a position was given out twice".to_owned())?;
    ensure(last > told[told.len() - 1], || "the last append is not the last".to_owned())
}

/// Appends without waiting, but for room.
fn append_and_note(store: &dyn ReplayStore, told: &Arc<Mutex<Vec<u64>>>) {
    let mut event = Append::new("topic", "concurrent");
    loop {
        let told = Arc::clone(told);
        let done = move |outcome: Result<crate::replay::Appended, _>| {
            let seq = outcome.map_or(0, |appended| appended.position.seq());
            told.lock().unwrap_or_else(PoisonError::into_inner).push(seq);
        };
        match store.append(event, Box::new(done)) {
            Ok(()) => return,
            Err(refused) => event = refused.append,
        }
        let (ready, readiness) = pair();
        store.when_ready(Box::new(move || ready(Ok(()))));
        drop(readiness.wait());
    }
}

fn one_thread_keeps_order(fixture: &dyn Fixture) -> Outcome {
    let store = fixture.fresh();
    let mut answers = Vec::new();
    for number in 0..100 {
        let (done, answer) = pair();
        let durability = if number % 3 == 0 { Durability::Buffered } else { Durability::None };
        let event = Append::new("topic", number.to_string()).durability(durability);
        if store.append(event, done).is_err() {
            return Err("100 appends are too many for the queue".to_owned());
        }
        answers.push(answer);
    }
    for (number, answer) in answers.into_iter().enumerate() {
        let position = answered(answer, "an append")?.position;
        let before = Position::new(position.epoch(), position.seq() - 1);
        let read = page(&*store, Query::new("topic", Start::After(before)))?;
        let data = &read.events.first().ok_or("an acknowledged event is not there")?.data;
        ensure(data == &number.to_string(), || format!("{data:?} was appended as number {number}"))?;
    }
    Ok(())
}

fn fsynced_survives(fixture: &dyn Fixture) -> Outcome {
    let store = fixture.fresh();
    let mut wanted = Vec::new();
    for number in 0..50 {
        let event = Append::new("topic", number.to_string()).name("name").durability(Durability::Fsynced);
        wanted.push(append(&*store, event)?);
    }
    let Some(store) = fixture.reopen(store) else { return Ok(()) };
    same(&wanted, &read_on(&*store, Query::new("topic", Start::Earliest))?)?;
    let after = page(&*store, Query::new("topic", Start::After(wanted[9].position)))?;
    ensure(after.continuity == Continuity::Complete, || format!("{:?} after reopening", after.continuity))?;
    same(&wanted[10..], &after.events)
}

fn positions_are_not_reused(fixture: &dyn Fixture) -> Outcome {
    let mut store = fixture.fresh();
    let mut seen = HashSet::new();
    for round in 0..4 {
        for durability in [Durability::None, Durability::Buffered, Durability::Fsynced, Durability::None] {
            let event = Append::new("topic", round.to_string()).durability(durability);
            let position = append(&*store, event)?.position;
            ensure(seen.insert(position), || format!("{position} was given out twice"))?;
        }
        let Some(reopened) = fixture.reopen(store) else { return Ok(()) };
        store = reopened;
    }
    Ok(())
}
