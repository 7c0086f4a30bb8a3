//! The conformance suite detects stores that break the contract.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use bytes::Bytes;
use windlass::replay::{
    Append, Appended, Completion, Continuity, Durability, Epoch, MemoryStore, Page, Position, Query,
    RejectedAppend, ReplayStore, Reset, Retention, Start, StoreLimits,
    conformance::{self, Fixture},
};

/// Way in which a store breaks the contract.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Defect {
    SkipsNumbers,
    DropsNames,
    HidesGaps,
    IgnoresWindows,
    AcceptsAnyEpoch,
    AcceptsPositionsBeyondTheEnd,
    CompletesOutOfOrder,
    LosesEventsOnReopen,
    ReusesPositionsOnReopen,
    ReturnsOneEventPerPage,
    DropsLabels,
    IgnoresFilters,
    ExaminesEverything,
    ReportsGapsOfOtherLabels,
    ForgetsKeys,
    IgnoresContentOfRepeats,
    IgnoresIds,
}

/// Memory store with one defect.
struct BrokenStore {
    defect: Defect,
    correct: MemoryStore,
    calls: AtomicU64,
    delayed: Mutex<Vec<(Appended, Completion<Appended>)>>,
}

impl BrokenStore {
    fn new(defect: Defect, events: usize) -> Arc<Self> {
        let mut retention = Retention::default();
        retention.events = events;
        let correct = MemoryStore::new(retention, StoreLimits::default()).unwrap();
        Arc::new(Self { defect, correct, calls: AtomicU64::new(0), delayed: Mutex::new(Vec::new()) })
    }

    /// Delays every fourth completion until the next one has run.
    fn complete_out_of_order(&self, append: Append, done: Completion<Appended>) {
        let fsynced = append.durability == Durability::Fsynced;
        let appended = self.correct.append_blocking(append).unwrap();
        let is_delayed = !fsynced && self.calls.fetch_add(1, Relaxed) % 4 == 3;
        if is_delayed {
            self.delayed.lock().unwrap().push((appended, done));
        } else {
            done(Ok(appended));
            self.delayed.lock().unwrap().drain(..).for_each(|(appended, done)| done(Ok(appended)));
        }
    }
}

impl ReplayStore for BrokenStore {
    fn append(&self, mut append: Append, done: Completion<Appended>) -> Result<(), RejectedAppend> {
        // Events with tags are those that are read back.
        let is_keyed = append.attributes().key.is_some() && append.attributes().tags.is_empty();
        match self.defect {
            Defect::SkipsNumbers => drop(self.correct.append_blocking(append.clone())),
            Defect::DropsNames => append.name = None,
            Defect::DropsLabels => append = append.labels(["label"]),
            Defect::ForgetsKeys if is_keyed => {
                append = Append::new(append.log, append.data).durability(append.durability);
            }
            Defect::IgnoresContentOfRepeats if is_keyed => {
                append = Append::new(append.log, "same").key("key").durability(append.durability);
            }
            Defect::CompletesOutOfOrder if append.data == "concurrent" || append.data == "last" => {
                self.complete_out_of_order(append, done);
                return Ok(());
            }
            _ => (),
        }
        self.correct.append(append, done)
    }

    fn read(&self, mut query: Query, done: Completion<Page>) {
        match (self.defect, query.start) {
            (Defect::IgnoresWindows, _) => query.window = windlass::replay::Window::default(),
            (Defect::ReturnsOneEventPerPage, _) => query.window.events = 1,
            (Defect::IgnoresFilters, _) => query.filter = windlass::replay::Filter::all(),
            (Defect::ExaminesEverything, _) => query.window.scanned = usize::MAX,
            _ => (),
        }
        let mut page = self.correct.read_blocking(query.clone()).unwrap();
        let Start::After(position) = query.start else { return done(Ok(page)) };
        if self.defect == Defect::ReportsGapsOfOtherLabels && !query.filter.is_all() {
            query.filter = windlass::replay::Filter::all();
            page.continuity = self.correct.read_blocking(query).unwrap().continuity;
            return done(Ok(page));
        }
        match (self.defect, page.continuity) {
            (Defect::HidesGaps, Continuity::Gap(_))
            | (Defect::AcceptsPositionsBeyondTheEnd, Continuity::Reset(Reset::BeyondEnd)) => {
                page.continuity = Continuity::Complete;
            }
            (Defect::AcceptsAnyEpoch, Continuity::Reset(Reset::UnknownEpoch)) => {
                query.start =
                    Start::After(Position::new(page.end.epoch(), position.seq().min(page.end.seq())));
                page = self.correct.read_blocking(query).unwrap();
            }
            _ => (),
        }
        done(Ok(page));
    }

    fn find_id(&self, log: Bytes, id: Bytes, done: Completion<Option<Position>>) {
        match self.defect {
            Defect::IgnoresIds => done(Ok(None)),
            _ => self.correct.find_id(log, id, done),
        }
    }
}

struct Broken(Defect);

impl Fixture for Broken {
    fn create(&self) -> Arc<dyn ReplayStore> {
        BrokenStore::new(self.0, 1000)
    }

    fn create_bounded(&self, events: usize) -> Option<Arc<dyn ReplayStore>> {
        Some(BrokenStore::new(self.0, events))
    }

    fn reopen(&self, store: Arc<dyn ReplayStore>) -> Option<Arc<dyn ReplayStore>> {
        match self.0 {
            Defect::LosesEventsOnReopen => Some(self.create()),
            Defect::ReusesPositionsOnReopen => {
                let known = store.read_blocking(Query::new("topic", Start::Earliest)).unwrap();
                Some(Arc::new(Rewound { epoch: known.end.epoch(), store }))
            }
            _ => None,
        }
    }
}

/// Store that restarts numbers at 1 when it is reopened.
struct Rewound {
    epoch: Epoch,
    store: Arc<dyn ReplayStore>,
}

impl ReplayStore for Rewound {
    fn append(&self, _: Append, done: Completion<Appended>) -> Result<(), RejectedAppend> {
        done(Ok(Appended::new(Position::new(self.epoch, 1), Durability::None)));
        Ok(())
    }

    fn read(&self, query: Query, done: Completion<Page>) {
        self.store.read(query, done);
    }
}

#[test]
fn every_defect_violates_its_rule() {
    for (defect, rule) in [
        (Defect::SkipsNumbers, "the positions of a log increase by one"),
        (Defect::DropsNames, "events are read back unchanged"),
        (Defect::HidesGaps, "removed events are a gap with both ends"),
        (Defect::IgnoresWindows, "consecutive pages are complete and within their windows"),
        (Defect::AcceptsAnyEpoch, "a position of another epoch is a reset"),
        (Defect::AcceptsPositionsBeyondTheEnd, "a position beyond the end is a reset"),
        (Defect::CompletesOutOfOrder, "completions run in the order of the positions"),
        (Defect::LosesEventsOnReopen, "an event acknowledged as fsynced survives a reopening"),
        (Defect::ReusesPositionsOnReopen, "no position is assigned twice, reopenings included"),
        (Defect::ReturnsOneEventPerPage, "consecutive pages are complete and within their windows"),
        (Defect::DropsLabels, "labels and attributes are read back unchanged"),
        (Defect::IgnoresFilters, "a filtered read returns exactly the events that match"),
        (Defect::ExaminesEverything, "a filtered page examines no more events than its window allows"),
        (Defect::ReportsGapsOfOtherLabels, "removed events that the filter does not match are no gap"),
        (Defect::ForgetsKeys, "a repeated idempotency key appends nothing"),
        (Defect::IgnoresContentOfRepeats, "an idempotency key with other content is rejected"),
        (Defect::IgnoresIds, "an id finds the earliest stored event with it"),
    ] {
        let violation =
            conformance::check(&Broken(defect)).expect_err(&format!("{defect:?} was not detected"));
        assert_eq!(violation.rule(), rule, "{defect:?}: {violation}");
    }
}
