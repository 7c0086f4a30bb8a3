//! Rules about labels, filters, idempotency keys and ids.

use std::sync::Arc;

use super::{Fixture, Rule, TestResult, append, check_events, ensure, fill, page, read_all, wait_for};
use crate::replay::{
    Append, Appended, Attributes, Continuity, Durability, ErrorKind, Filter, Matcher, Page, Position, Query,
    ReplayStore, Start, Window, completion,
};

pub(super) const RULES: &[Rule] = &[
    ("labels and attributes are read back unchanged", attributes_are_unchanged),
    ("a filtered read returns exactly the events that match", filters_select),
    ("a filtered page examines no more events than its window allows", scans_are_bounded),
    ("removed events that the filter does not match are no gap", other_removed_events_are_no_gap),
    ("removed events that the filter matches are a gap", removed_matching_events_are_a_gap),
    ("the newest event of a label stays beside a busy label", newest_of_label_stays),
    ("a repeated idempotency key appends nothing", repeats_append_nothing),
    ("an idempotency key with other content is rejected", reused_keys_are_rejected),
    ("an idempotency key survives a reopening", keys_survive),
    ("an id finds the earliest stored event with it", ids_are_found),
];

/// Appends an event with these labels. Returns its position.
fn put(store: &dyn ReplayStore, labels: &[&'static str]) -> TestResult<Position> {
    let event = Append::new("log", labels.join(",")).labels(labels.iter().copied());
    append(store, event).map(|expected| expected.position)
}

/// Appends an event. Returns the acknowledgement or the kind of the error.
fn try_append(store: &dyn ReplayStore, event: Append) -> TestResult<Result<Appended, ErrorKind>> {
    let (done, result) = completion();
    let done = Box::new(move |outcome: Result<Appended, _>| {
        done(Ok(outcome.map_err(|error: crate::replay::StoreError| error.kind())));
    });
    store.append(event, done).map_err(|_| "the queue of an idle store is full".to_owned())?;
    wait_for(result, "the append")
}

fn label(label: &'static str) -> Filter {
    Filter::any_of([Matcher::label(label)])
}

fn filtered(store: &dyn ReplayStore, start: Start, filter: &Filter) -> TestResult<Page> {
    page(store, Query::new("log", start).filter(filter.clone()))
}

fn attributes_are_unchanged(fixture: &dyn Fixture) -> TestResult {
    let store = fixture.create();
    let plain = Append::new("log", "data");
    let events = [
        plain.clone(),
        plain.clone().labels(["a"]).tags(["k=v"]).key("key").id("id").private(true),
        plain.clone().labels(["a", "b", "log", "d", "e", "f", "g", "h"]).tags(["1", "2", "", "k=v"]),
        plain.clone().id(""),
        plain.labels(Vec::<&str>::new()).private(true),
    ];
    for event in &events {
        append(&*store, event.clone())?;
    }
    let read = page(&*store, Query::new("log", Start::Earliest))?.events;
    ensure(read.len() == events.len(), || format!("{} events", read.len()))?;
    for (read, event) in read.iter().zip(&events) {
        let is_same = read.labels == event.labels && read.attributes() == event.attributes();
        ensure(is_same, || format!("read {read:?}, appended {event:?}"))?;
    }
    Ok(())
}

/// Filters with rules of all kinds.
fn filters() -> Vec<Filter> {
    vec![
        Filter::all(),
        Filter::any_of([]),
        label("a"),
        label("nothing"),
        Filter::any_of([Matcher::label("b/1"), Matcher::label("c")]),
        Filter::any_of([Matcher::prefix("b/")]),
        Filter::any_of([Matcher::prefix(""), Matcher::label("a")]),
        Filter::any_of([Matcher::prefix("b/1"), Matcher::label("c")]).with_tags(["tag=1"]),
        Filter::all().with_tags(["tag=1", "tag=2"]),
        Filter::predicate(Arc::new(|event| event.private && event.labels.len() > 1)),
    ]
}

fn filters_select(fixture: &dyn Fixture) -> TestResult {
    let store = fixture.create();
    let mut appended: Vec<(u64, Append)> = Vec::new();
    for number in 0..240_usize {
        let labels = ["a", "b/1", "b/2", "b/10", "c"];
        let chosen = labels.iter().enumerate().filter(|(bit, _)| (number * 7 + number / 5) >> bit & 1 == 1);
        let tags = ["tag=1", "tag=2"].into_iter().take(number % 4);
        let event = Append::new("log", number.to_string())
            .labels(chosen.map(|(_, label)| *label))
            .tags(tags)
            .private(number % 3 == 0);
        appended.push((append(&*store, event.clone())?.seq, event));
    }
    for filter in filters() {
        let matches = |event: &Append| {
            let Attributes { tags, private, .. } = event.attributes();
            filter.matches(&event.labels, tags, *private)
        };
        let wanted: Vec<u64> =
            appended.iter().filter(|(_, event)| matches(event)).map(|(seq, _)| *seq).collect();
        for window in [Window::default(), Window { events: 3, ..Window::default() }] {
            let query = Query::new("log", Start::Earliest).filter(filter.clone()).window(window);
            let read: Vec<u64> = read_all(&*store, query)?.iter().map(|event| event.position.seq()).collect();
            ensure(read == wanted, || format!("{filter:?}: {read:?} instead of {wanted:?}"))?;
        }
    }
    Ok(())
}

fn scans_are_bounded(fixture: &dyn Fixture) -> TestResult {
    let store = fixture.create();
    for number in 0..100 {
        put(&*store, if number == 80 { &["rare"] } else { &["often"] })?;
    }
    let mut query = Query::new("log", Start::Earliest).filter(label("rare"));
    query.window.scanned = 10;
    let mut found = 0;
    for pages in 1.. {
        let read = page(&*store, query.clone())?;
        ensure(read.resume == read.scanned_to, || format!("{read:?}"))?;
        found += read.events.len();
        if !read.has_more() {
            return ensure(pages == 10 && found == 1, || format!("{found} events in {pages} pages"));
        }
        ensure(pages < 10, || "more pages than the window needs".to_owned())?;
        query.start = Start::After(read.resume);
    }
    Ok(())
}

fn other_removed_events_are_no_gap(fixture: &dyn Fixture) -> TestResult {
    let Some(store) = fixture.create_bounded(10) else { return Ok(()) };
    let quiet = put(&*store, &["quiet"])?;
    (0..100).try_for_each(|_| put(&*store, &["busy"]).map(drop))?;
    for (filter, events) in [(label("quiet"), 0), (label("new"), 0), (Filter::any_of([]), 0)] {
        let read = filtered(&*store, Start::After(quiet), &filter)?;
        let is_complete = read.continuity == Continuity::Complete && read.events.len() == events;
        ensure(is_complete && !read.has_more(), || format!("{filter:?}: {read:?}"))?;
    }
    let quiet_again = put(&*store, &["quiet"])?;
    let read = filtered(&*store, Start::After(quiet), &label("quiet"))?;
    let is_next = read.continuity == Continuity::Complete && read.events.len() == 1;
    ensure(is_next && read.events[0].position == quiet_again, || format!("{read:?}"))
}

fn removed_matching_events_are_a_gap(fixture: &dyn Fixture) -> TestResult {
    let Some(store) = fixture.create_bounded(10) else { return Ok(()) };
    let mut busy = Vec::new();
    for _ in 0..50 {
        busy.push(put(&*store, &["busy"])?);
        put(&*store, &["other"])?;
    }
    let filters = [label("busy"), Filter::any_of([Matcher::prefix("bu")]), Filter::all().with_tags(["t"])];
    for filter in filters {
        let read = filtered(&*store, Start::After(busy[1]), &filter)?;
        let Continuity::Gap(gap) = read.continuity else {
            return Err(format!("{filter:?}: {:?}", read.continuity));
        };
        let first = read.events.first().map_or(read.end.seq() + 1, |event| event.position.seq());
        // At least the first 40 of each label are removed.
        let covers = gap.from.seq() == busy[1].seq() + 1 && gap.to.seq() >= busy[39].seq();
        ensure(covers && gap.to.seq() < first, || format!("{filter:?}: {gap:?}"))?;
    }
    let newest = filtered(&*store, Start::After(busy[48]), &label("busy"))?;
    ensure(newest.continuity == Continuity::Complete, || format!("{newest:?}"))
}

fn newest_of_label_stays(fixture: &dyn Fixture) -> TestResult {
    let Some(store) = fixture.create_bounded(10) else { return Ok(()) };
    put(&*store, &["quiet"])?;
    let newest = put(&*store, &["quiet", "other"])?;
    (0..100).try_for_each(|_| put(&*store, &["busy"]).map(drop))?;
    for quiet in ["quiet", "other"] {
        let read = filtered(&*store, Start::Earliest, &label(quiet))?;
        let is_kept = read.events.len() == 1 && read.events[0].position == newest;
        ensure(is_kept, || format!("{quiet}: {read:?}"))?;
    }
    Ok(())
}

fn repeats_append_nothing(fixture: &dyn Fixture) -> TestResult {
    let store = fixture.create();
    let event = Append::new("log", "data").key("key");
    let first = try_append(&*store, event.clone())?;
    fill(&*store, "log", 3)?;
    for _ in 0..3 {
        let repeat = try_append(&*store, event.clone())?;
        let is_repeat = matches!((&first, &repeat), (Ok(first), Ok(repeat))
            if repeat.is_repeat && !first.is_repeat && repeat.position == first.position);
        ensure(is_repeat, || format!("{repeat:?} repeats {first:?}"))?;
    }
    let read = page(&*store, Query::new("log", Start::Earliest))?;
    ensure(read.events.len() == 4, || format!("{} events instead of 4", read.events.len()))?;
    let elsewhere = try_append(&*store, Append::new("other", "data").key("key"))?;
    ensure(elsewhere.is_ok_and(|appended| !appended.is_repeat), || "the logs share their keys".to_owned())
}

fn reused_keys_are_rejected(fixture: &dyn Fixture) -> TestResult {
    let store = fixture.create();
    let event = Append::new("log", "data").key("key");
    append(&*store, event.clone())?;
    let others = [
        Append::new("log", "other").key("key"),
        event.clone().name("name"),
        event.clone().labels(["other"]),
        event.clone().tags(["tag"]),
        event.clone().id("id"),
        event.private(true),
    ];
    for other in others {
        let outcome = try_append(&*store, other.clone())?;
        ensure(outcome == Err(ErrorKind::KeyReused), || format!("{outcome:?} for {other:?}"))?;
    }
    let read = page(&*store, Query::new("log", Start::Earliest))?;
    ensure(read.events.len() == 1, || format!("{} events instead of 1", read.events.len()))
}

fn keys_survive(fixture: &dyn Fixture) -> TestResult {
    let store = fixture.create();
    let event = Append::new("log", "data").key("key").durability(Durability::Fsynced);
    let first = append(&*store, event.clone())?;
    let Some(store) = fixture.reopen(store) else { return Ok(()) };
    let repeat = try_append(&*store, event)?;
    let is_repeat = repeat.as_ref().is_ok_and(|repeat| repeat.is_repeat && repeat.position == first.position);
    ensure(is_repeat, || format!("{repeat:?} repeats {first:?}"))?;
    check_events(&[first], &read_all(&*store, Query::new("log", Start::Earliest))?)
}

fn ids_are_found(fixture: &dyn Fixture) -> TestResult {
    let store = fixture.create();
    let find = |log: &'static str, id: &'static str| {
        let (done, result) = completion();
        store.find_id(log.into(), id.into(), done);
        wait_for(result, "the search")
    };
    let first = append(&*store, Append::new("log", "1").id("id"))?.position;
    append(&*store, Append::new("log", "2").id("id"))?;
    let longer = append(&*store, Append::new("log", "3").id("id-2"))?.position;
    for (log, id, wanted) in [
        ("log", "id", Some(first)),
        ("log", "id-2", Some(longer)),
        ("log", "i", None),
        ("log", "", None),
        ("other", "id", None),
    ] {
        let found = find(log, id)?;
        ensure(found == wanted, || format!("{id} in {log}: {found:?} instead of {wanted:?}"))?;
    }
    Ok(())
}
