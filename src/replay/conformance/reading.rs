//! Rules on reading: pages, gaps, resets.

use super::{Fixture, Outcome, Rule, append, ensure, fill, page, read_on, same};
use crate::replay::{Append, Continuity, Epoch, Gap, Position, Query, Reset, Start, Window};

pub(super) const RULES: &[Rule] = &[
    ("a topic without events is empty, not missing", empty_topic),
    ("pages join and keep their windows", pages_join),
    ("a page has one event, however large", one_large_event),
    ("at the end there is nothing and nothing missing", at_the_end),
    ("a position of another epoch resets", unknown_epoch),
    ("a position beyond the end resets", beyond_end),
    ("what was trimmed is a gap of known ends", trimmed_is_a_gap),
    ("the earliest is no gap", earliest_is_no_gap),
];

fn empty_topic(fixture: &dyn Fixture) -> Outcome {
    let store = fixture.fresh();
    let page = page(&*store, Query::new("nothing", Start::Earliest))?;
    let is_empty = page.continuity == Continuity::Complete && page.events.is_empty() && !page.has_more();
    ensure(is_empty, || format!("{page:?}"))?;
    let after = super::page(&*store, Query::new("nothing", Start::After(page.end)))?;
    ensure(after == page, || format!("after its end: {after:?}"))?;
    // Its end is where a subscriber that came first goes on from.
    let wanted = fill(&*store, "nothing", 3)?;
    same(&wanted, &read_on(&*store, Query::new("nothing", Start::After(page.end)))?)
}

fn pages_join(fixture: &dyn Fixture) -> Outcome {
    let store = fixture.fresh();
    let wanted = fill(&*store, "topic", 100)?;
    for events in [0, 1, 7, 100, 1000] {
        let window = Window { events, ..Window::default() };
        let first = page(&*store, Query::new("topic", Start::Earliest).window(window))?;
        let fits = first.events.len() == events.clamp(1, wanted.len());
        ensure(fits, || format!("{} events in a window of {events}", first.events.len()))?;
        ensure(first.end == wanted[99].position, || format!("the end is {}", first.end))?;
        same(&wanted, &read_on(&*store, Query::new("topic", Start::Earliest).window(window))?)?;
        let later = Query::new("topic", Start::After(wanted[41].position)).window(window);
        same(&wanted[42..], &read_on(&*store, later)?)?;
    }
    let window = Window { bytes: 1000, ..Window::default() };
    let first = page(&*store, Query::new("topic", Start::Earliest).window(window))?;
    let bytes: usize = first.events.iter().map(crate::replay::Event::size_bytes).sum();
    ensure(bytes <= 1000 && first.has_more(), || format!("{bytes} bytes in a window of 1000"))?;
    same(&wanted, &read_on(&*store, Query::new("topic", Start::Earliest).window(window))?)
}

fn one_large_event(fixture: &dyn Fixture) -> Outcome {
    let store = fixture.fresh();
    let mut wanted = Vec::new();
    for _ in 0..3 {
        wanted.push(append(&*store, Append::new("topic", vec![b'x'; 10_000]))?);
    }
    let window = Window { bytes: 100, ..Window::default() };
    let first = page(&*store, Query::new("topic", Start::Earliest).window(window))?;
    ensure(first.events.len() == 1, || format!("{} events", first.events.len()))?;
    same(&wanted, &read_on(&*store, Query::new("topic", Start::Earliest).window(window))?)
}

fn at_the_end(fixture: &dyn Fixture) -> Outcome {
    let store = fixture.fresh();
    let end = fill(&*store, "topic", 10)?[9].position;
    let page = page(&*store, Query::new("topic", Start::After(end)))?;
    let is_over = page.events.is_empty()
        && page.continuity == Continuity::Complete
        && page.resume == end
        && page.end == end;
    ensure(is_over, || format!("{page:?}"))
}

fn unknown_epoch(fixture: &dyn Fixture) -> Outcome {
    let store = fixture.fresh();
    let end = fill(&*store, "topic", 10)?[9].position;
    let other = Position::new(Epoch::from_bits(!end.epoch().to_bits()), 5);
    for topic in ["topic", "nothing"] {
        let page = page(&*store, Query::new(topic, Start::After(other)))?;
        let is_reset = page.continuity == Continuity::Reset(Reset::UnknownEpoch) && page.events.is_empty();
        ensure(is_reset && page.resume == page.end, || format!("{page:?}"))?;
        ensure(topic != "topic" || page.end == end, || format!("the end is {}", page.end))?;
    }
    Ok(())
}

fn beyond_end(fixture: &dyn Fixture) -> Outcome {
    let store = fixture.fresh();
    let end = fill(&*store, "topic", 10)?[9].position;
    for seq in [end.seq() + 1, u64::MAX] {
        let beyond = Position::new(end.epoch(), seq);
        let page = page(&*store, Query::new("topic", Start::After(beyond)))?;
        let is_reset = page.continuity == Continuity::Reset(Reset::BeyondEnd) && page.events.is_empty();
        ensure(is_reset && page.resume == end && page.end == end, || format!("{page:?}"))?;
    }
    Ok(())
}

fn trimmed_is_a_gap(fixture: &dyn Fixture) -> Outcome {
    let Some(store) = fixture.keeping(10) else { return Ok(()) };
    let wanted = fill(&*store, "topic", 100)?;
    let held = read_on(&*store, Query::new("topic", Start::Earliest))?;
    ensure((1..=10).contains(&held.len()), || format!("{} events held of at most 10", held.len()))?;
    let oldest = 100 - held.len();
    same(&wanted[oldest..], &held)?;
    for known in [0, oldest - 2] {
        let page = page(&*store, Query::new("topic", Start::After(wanted[known].position)))?;
        let gap = Gap { from: wanted[known + 1].position, to: wanted[oldest - 1].position };
        ensure(page.continuity == Continuity::Gap(gap), || {
            format!("{:?} instead of {gap:?}", page.continuity)
        })?;
        same(&wanted[oldest..], &page.events)?;
    }
    same(
        &wanted[oldest..],
        &read_on(&*store, Query::new("topic", Start::After(wanted[oldest - 1].position)))?,
    )
}

fn earliest_is_no_gap(fixture: &dyn Fixture) -> Outcome {
    let Some(store) = fixture.keeping(3) else { return Ok(()) };
    fill(&*store, "topic", 10)?;
    let page = page(&*store, Query::new("topic", Start::Earliest))?;
    ensure(page.continuity == Continuity::Complete && !page.events.is_empty(), || format!("{page:?}"))
}
