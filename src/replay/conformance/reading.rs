//! Rules about reads: pages, gaps and resets.

use super::{Fixture, Rule, TestResult, append, check_events, ensure, fill, page, read_all};
use crate::replay::{Append, Continuity, Epoch, Gap, GapReason, Position, Query, Reset, Start, Window};

pub(super) const RULES: &[Rule] = &[
    ("a log without events reads as empty", empty_log),
    ("consecutive pages are complete and within their windows", pages_join),
    ("a page contains at least one event of any size", one_large_event),
    ("a read at the end is empty and complete", at_the_end),
    ("a position of another epoch is a reset", unknown_epoch),
    ("a position beyond the end is a reset", beyond_end),
    ("removed events are a gap with both ends", removed_events_are_a_gap),
    ("a read from the earliest event reports no gap", earliest_reports_no_gap),
];

fn empty_log(fixture: &dyn Fixture) -> TestResult {
    let store = fixture.create();
    let page = page(&*store, Query::new("nothing", Start::Earliest))?;
    let is_empty = page.continuity == Continuity::Complete && page.events.is_empty() && !page.has_more();
    ensure(is_empty, || format!("{page:?}"))?;
    let after = super::page(&*store, Query::new("nothing", Start::After(page.end)))?;
    ensure(after == page, || format!("after the end: {after:?}"))?;
    // A subscriber that read the empty log continues after this end.
    let expected = fill(&*store, "nothing", 3)?;
    check_events(&expected, &read_all(&*store, Query::new("nothing", Start::After(page.end)))?)
}

fn pages_join(fixture: &dyn Fixture) -> TestResult {
    let store = fixture.create();
    let expected = fill(&*store, "log", 100)?;
    for events in [0, 1, 7, 100, 1000] {
        let window = Window { events, ..Window::default() };
        let first = page(&*store, Query::new("log", Start::Earliest).window(window))?;
        let fits = first.events.len() == events.clamp(1, expected.len());
        ensure(fits, || format!("{} events in a window of {events}", first.events.len()))?;
        ensure(first.end == expected[99].position, || format!("the end is {}", first.end))?;
        check_events(&expected, &read_all(&*store, Query::new("log", Start::Earliest).window(window))?)?;
        let later = Query::new("log", Start::After(expected[41].position)).window(window);
        check_events(&expected[42..], &read_all(&*store, later)?)?;
    }
    let window = Window { bytes: 1000, ..Window::default() };
    let first = page(&*store, Query::new("log", Start::Earliest).window(window))?;
    let bytes: usize = first.events.iter().map(crate::replay::Event::size_bytes).sum();
    ensure(bytes <= 1000 && first.has_more(), || format!("{bytes} bytes in a window of 1000"))?;
    check_events(&expected, &read_all(&*store, Query::new("log", Start::Earliest).window(window))?)
}

fn one_large_event(fixture: &dyn Fixture) -> TestResult {
    let store = fixture.create();
    let mut expected = Vec::new();
    for _ in 0..3 {
        expected.push(append(&*store, Append::new("log", vec![b'x'; 10_000]))?);
    }
    let window = Window { bytes: 100, ..Window::default() };
    let first = page(&*store, Query::new("log", Start::Earliest).window(window))?;
    ensure(first.events.len() == 1, || format!("{} events", first.events.len()))?;
    check_events(&expected, &read_all(&*store, Query::new("log", Start::Earliest).window(window))?)
}

fn at_the_end(fixture: &dyn Fixture) -> TestResult {
    let store = fixture.create();
    let end = fill(&*store, "log", 10)?[9].position;
    let page = page(&*store, Query::new("log", Start::After(end)))?;
    let is_end = page.events.is_empty()
        && page.continuity == Continuity::Complete
        && page.resume == end
        && page.end == end;
    ensure(is_end, || format!("{page:?}"))
}

fn unknown_epoch(fixture: &dyn Fixture) -> TestResult {
    let store = fixture.create();
    let end = fill(&*store, "log", 10)?[9].position;
    let other = Position::new(Epoch::from_bits(!end.epoch().to_bits()), 5);
    for log in ["log", "nothing"] {
        let page = page(&*store, Query::new(log, Start::After(other)))?;
        let is_reset = page.continuity == Continuity::Reset(Reset::UnknownEpoch) && page.events.is_empty();
        ensure(is_reset && page.resume == page.end, || format!("{page:?}"))?;
        ensure(log != "log" || page.end == end, || format!("the end is {}", page.end))?;
    }
    Ok(())
}

fn beyond_end(fixture: &dyn Fixture) -> TestResult {
    let store = fixture.create();
    let end = fill(&*store, "log", 10)?[9].position;
    for seq in [end.seq() + 1, u64::MAX] {
        let beyond = Position::new(end.epoch(), seq);
        let page = page(&*store, Query::new("log", Start::After(beyond)))?;
        let is_reset = page.continuity == Continuity::Reset(Reset::BeyondEnd) && page.events.is_empty();
        ensure(is_reset && page.resume == end && page.end == end, || format!("{page:?}"))?;
    }
    Ok(())
}

fn removed_events_are_a_gap(fixture: &dyn Fixture) -> TestResult {
    let Some(store) = fixture.create_bounded(10) else { return Ok(()) };
    let expected = fill(&*store, "log", 100)?;
    let stored = read_all(&*store, Query::new("log", Start::Earliest))?;
    ensure((1..=10).contains(&stored.len()), || format!("{} events stored, the limit is 10", stored.len()))?;
    let oldest = 100 - stored.len();
    check_events(&expected[oldest..], &stored)?;
    for known in [0, oldest - 2] {
        let page = page(&*store, Query::new("log", Start::After(expected[known].position)))?;
        let gap = Gap::new(expected[known + 1].position, expected[oldest - 1].position, GapReason::Expired);
        ensure(page.continuity == Continuity::Gap(gap), || {
            format!("{:?} instead of {gap:?}", page.continuity)
        })?;
        check_events(&expected[oldest..], &page.events)?;
    }
    check_events(
        &expected[oldest..],
        &read_all(&*store, Query::new("log", Start::After(expected[oldest - 1].position)))?,
    )
}

fn earliest_reports_no_gap(fixture: &dyn Fixture) -> TestResult {
    let Some(store) = fixture.create_bounded(3) else { return Ok(()) };
    fill(&*store, "log", 10)?;
    let page = page(&*store, Query::new("log", Start::Earliest))?;
    ensure(page.continuity == Continuity::Complete && !page.events.is_empty(), || format!("{page:?}"))
}
