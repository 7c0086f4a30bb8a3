//! Filters: which events a filtered page contains, how far it reads, and which gaps it reports.

use std::{convert::Infallible, sync::Arc, time::UNIX_EPOCH};

use windlass::replay::{
    Append, Continuity, Entry, Epoch, Event, Filter, Gap, GapReason, Labels, Matcher, MemoryStore, Page,
    PageBuilder, Position, Query, ReplayStore, Retention, Start, StoreLimits, Window,
};

fn at(seq: u64) -> Position {
    Position::new(Epoch::from_bits(7), seq)
}

/// A stored event with this number and label.
fn entry(seq: u64, label: &'static str) -> Entry {
    let mut event = Event::new(at(seq), None, "data".into(), UNIX_EPOCH);
    event.labels = Labels::from_iter([label]);
    event.into()
}

fn only(label: &'static str) -> Filter {
    Filter::any_of([Matcher::label(label)])
}

fn build(builder: PageBuilder<'_>, query: &Query, stored: &[Entry]) -> Page {
    builder.build(query, stored.iter().cloned().map(Ok::<_, Infallible>)).unwrap()
}

fn seqs(page: &Page) -> Vec<u64> {
    page.events.iter().map(|event| event.position.seq()).collect()
}

fn after(seq: u64, filter: Filter) -> Query {
    Query::new("log", Start::After(at(seq))).filter(filter)
}

#[test]
fn a_filtered_page_has_no_gap_where_only_other_events_are_missing() {
    let builder = PageBuilder::new(Epoch::from_bits(7), 12).trimmed_to(3);
    let stored = [entry(8, "b"), entry(9, "a"), entry(11, "a")];
    let page = build(builder, &after(3, only("a")), &stored);
    assert_eq!((page.continuity, seqs(&page)), (Continuity::Complete, vec![9, 11]));
    assert_eq!((page.resume, page.scanned_to, page.has_more()), (at(12), at(12), false));
}

#[test]
fn a_filtered_page_reports_removed_events_that_it_may_match() {
    let builder = PageBuilder::new(Epoch::from_bits(7), 12).trimmed_to(5);
    let stored = [entry(8, "b"), entry(9, "a")];
    let page = build(builder, &after(2, only("a")), &stored);
    assert_eq!(page.continuity, Continuity::Gap(Gap::new(at(3), at(5), GapReason::Expired)));
    assert_eq!((seqs(&page), page.resume), (vec![9], at(12)));
    let page = build(builder, &after(5, only("a")), &stored);
    assert_eq!(page.continuity, Continuity::Complete);
}

#[test]
fn a_filtered_page_ends_before_a_gap_and_the_next_one_reports_it() {
    let lost = [(5, 7)];
    let builder = PageBuilder::new(Epoch::from_bits(7), 9).trimmed_to(0).lost(&lost);
    let stored = [entry(3, "a"), entry(4, "b"), entry(8, "b"), entry(9, "a")];
    let first = build(builder, &after(2, only("a")), &stored);
    assert_eq!((first.continuity, seqs(&first)), (Continuity::Complete, vec![3]));
    assert!(first.has_more() && first.resume == at(4), "{first:?}");
    let second = build(builder, &after(4, only("a")), &stored[2..]);
    assert_eq!(second.continuity, Continuity::Gap(Gap::new(at(5), at(7), GapReason::Lost)));
    assert_eq!((seqs(&second), second.resume), (vec![9], at(9)));
}

#[test]
fn a_damaged_event_is_a_gap_for_every_filter() {
    let builder = PageBuilder::new(Epoch::from_bits(7), 3).trimmed_to(0);
    let stored = [entry(1, "a"), Entry::Corrupt(2), entry(3, "a")];
    for filter in [Filter::all(), only("a"), only("b")] {
        let page = build(builder, &after(1, filter.clone()), &stored[1..]);
        assert_eq!(
            page.continuity,
            Continuity::Gap(Gap::new(at(2), at(2), GapReason::Corrupt)),
            "{filter:?}"
        );
        assert_eq!(page.resume, at(3));
    }
    let first = build(builder, &after(0, only("a")), &stored);
    assert_eq!((first.continuity, seqs(&first), first.resume), (Continuity::Complete, vec![1], at(1)));
}

#[test]
fn a_filtered_read_examines_a_bounded_number_of_events_per_page() {
    let store = MemoryStore::new(Retention::default(), StoreLimits::default()).unwrap();
    for number in 0..100 {
        let label = if number == 77 { "rare" } else { "often" };
        store.append_blocking(Append::new("log", number.to_string()).labels([label])).unwrap();
    }
    let window = Window { scanned: 30, ..Window::default() };
    let mut query = Query::new("log", Start::Earliest).filter(only("rare")).window(window);
    let mut pages = Vec::new();
    loop {
        let page = store.read_blocking(query.clone()).unwrap();
        assert_eq!(page.continuity, Continuity::Complete);
        query.start = Start::After(page.resume);
        let has_more = page.has_more();
        pages.push((page.scanned_to.seq(), seqs(&page)));
        if !has_more {
            break;
        }
    }
    assert_eq!(pages, [(30, vec![]), (60, vec![]), (90, vec![78]), (100, vec![])]);
}

#[test]
fn tags_and_predicates_select_events() {
    let store = MemoryStore::new(Retention::default(), StoreLimits::default()).unwrap();
    for (label, tags, private) in [
        ("a", vec!["lang=de"], false),
        ("a", vec!["lang=de", "region=at"], true),
        ("b", vec!["region=at"], false),
        ("a", vec![], false),
    ] {
        let append = Append::new("log", "data").labels([label, "every"]).tags(tags).private(private);
        store.append_blocking(append).unwrap();
    }
    let read = |filter: Filter| {
        seqs(&store.read_blocking(Query::new("log", Start::Earliest).filter(filter)).unwrap())
    };
    assert_eq!(read(only("a")), [1, 2, 4]);
    assert_eq!(read(only("a").with_tags(["lang=de"])), [1, 2]);
    assert_eq!(read(Filter::all().with_tags(["region=at"])), [2, 3]);
    assert_eq!(read(only("a").with_tags(["lang=de"]).with_tags(["region=at"])), [2]);
    assert_eq!(read(Filter::any_of([Matcher::prefix("ev"), Matcher::label("a")])), [1, 2, 3, 4]);
    assert_eq!(read(Filter::any_of([])), [0_u64; 0]);
    assert_eq!(read(Filter::predicate(Arc::new(|event| event.private))), [2]);
    assert_eq!(read(Filter::predicate(Arc::new(|_| panic!("deliberate panic of the test")))), [0_u64; 0]);
}
