//! The conformance suite finds stores that break the contract.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use windlass::replay::{
    Append, Appended, Completion, Continuity, Durability, Epoch, MemoryStore, Page, Position, Query, Refused,
    ReplayStore, Reset, Retention, Start, StoreLimits,
    conformance::{self, Fixture},
};

/// How a store lies.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Lie {
    SkipsNumbers,
    DropsNames,
    HidesGaps,
    IgnoresWindows,
    TakesAnyEpoch,
    ClampsTheFuture,
    AnswersLate,
    ForgetsOnReopen,
    ReusesOnReopen,
    EndsPagesAtOneEvent,
}

struct Liar {
    lie: Lie,
    honest: MemoryStore,
    calls: AtomicU64,
    late: Mutex<Vec<(Appended, Completion<Appended>)>>,
}

impl Liar {
    fn new(lie: Lie, events: usize) -> Arc<Self> {
        let mut retention = Retention::default();
        retention.events = events;
        let honest = MemoryStore::new(retention, StoreLimits::default()).unwrap();
        Arc::new(Self { lie, honest, calls: AtomicU64::new(0), late: Mutex::new(Vec::new()) })
    }

    /// Holds every fourth answer back until the next has gone.
    fn answer_late(&self, append: Append, done: Completion<Appended>) {
        let fsynced = append.durability == Durability::Fsynced;
        let appended = self.honest.append_blocking(append).unwrap();
        let is_held = !fsynced && self.calls.fetch_add(1, Relaxed) % 4 == 3;
        if is_held {
            self.late.lock().unwrap().push((appended, done));
        } else {
            done(Ok(appended));
            self.late.lock().unwrap().drain(..).for_each(|(appended, done)| done(Ok(appended)));
        }
    }
}

impl ReplayStore for Liar {
    fn append(&self, mut append: Append, done: Completion<Appended>) -> Result<(), Refused> {
        match self.lie {
            Lie::SkipsNumbers => drop(self.honest.append_blocking(append.clone())),
            Lie::DropsNames => append.name = None,
            Lie::AnswersLate if append.data == "concurrent" || append.data == "last" => {
                self.answer_late(append, done);
                return Ok(());
            }
            _ => (),
        }
        self.honest.append(append, done)
    }

    fn read(&self, mut query: Query, done: Completion<Page>) {
        match (self.lie, query.start) {
            (Lie::IgnoresWindows, _) => query.window = windlass::replay::Window::default(),
            (Lie::EndsPagesAtOneEvent, _) => query.window.events = 1,
            _ => (),
        }
        let mut page = self.honest.read_blocking(query.clone()).unwrap();
        let Start::After(position) = query.start else { return done(Ok(page)) };
        match (self.lie, page.continuity) {
            (Lie::HidesGaps, Continuity::Gap(_))
            | (Lie::ClampsTheFuture, Continuity::Reset(Reset::BeyondEnd)) => {
                page.continuity = Continuity::Complete;
            }
            (Lie::TakesAnyEpoch, Continuity::Reset(Reset::UnknownEpoch)) => {
                query.start =
                    Start::After(Position::new(page.end.epoch(), position.seq().min(page.end.seq())));
                page = self.honest.read_blocking(query).unwrap();
            }
            _ => (),
        }
        done(Ok(page));
    }
}

struct Lying(Lie);

impl Fixture for Lying {
    fn fresh(&self) -> Arc<dyn ReplayStore> {
        Liar::new(self.0, 1000)
    }

    fn keeping(&self, events: usize) -> Option<Arc<dyn ReplayStore>> {
        Some(Liar::new(self.0, events))
    }

    fn reopen(&self, store: Arc<dyn ReplayStore>) -> Option<Arc<dyn ReplayStore>> {
        match self.0 {
            Lie::ForgetsOnReopen => Some(self.fresh()),
            Lie::ReusesOnReopen => {
                let known = store.read_blocking(Query::new("topic", Start::Earliest)).unwrap();
                Some(Arc::new(Rewound { epoch: known.end.epoch(), store }))
            }
            _ => None,
        }
    }
}

/// Keeps what was there and numbers what comes from 1 again.
struct Rewound {
    epoch: Epoch,
    store: Arc<dyn ReplayStore>,
}

impl ReplayStore for Rewound {
    fn append(&self, _: Append, done: Completion<Appended>) -> Result<(), Refused> {
        done(Ok(Appended::new(Position::new(self.epoch, 1), Durability::None)));
        Ok(())
    }

    fn read(&self, query: Query, done: Completion<Page>) {
        self.store.read(query, done);
    }
}

#[test]
fn every_lie_is_found_by_its_rule() {
    for (lie, rule) in [
        (Lie::SkipsNumbers, "positions of a topic rise by one"),
        (Lie::DropsNames, "any bytes come back as they were"),
        (Lie::HidesGaps, "what was trimmed is a gap of known ends"),
        (Lie::IgnoresWindows, "pages join and keep their windows"),
        (Lie::TakesAnyEpoch, "a position of another epoch resets"),
        (Lie::ClampsTheFuture, "a position beyond the end resets"),
        (Lie::AnswersLate, "completions come in the order of positions"),
        (Lie::ForgetsOnReopen, "what was acknowledged as fsynced survives"),
        (Lie::ReusesOnReopen, "no position is given out twice over reopenings"),
        (Lie::EndsPagesAtOneEvent, "pages join and keep their windows"),
    ] {
        let violation = conformance::check(&Lying(lie)).expect_err(&format!("{lie:?} was not found"));
        assert_eq!(violation.rule(), rule, "{lie:?}: {violation}");
    }
}
