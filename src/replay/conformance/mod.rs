//! Tests of the [`ReplayStore`] contract, for any store; must not know how a store works inside.
//!
//! ```
//! use std::sync::Arc;
//! use windlass::replay::{MemoryStore, ReplayStore, Retention, StoreLimits, conformance};
//!
//! struct Memory;
//!
//! impl conformance::Fixture for Memory {
//!     fn create(&self) -> Arc<dyn ReplayStore> {
//!         Arc::new(MemoryStore::new(Retention::default(), StoreLimits::default()).expect("a random epoch"))
//!     }
//! }
//!
//! conformance::check(&Memory).expect("the store fulfils the contract");
//! ```
mod labels;
mod reading;
mod writing;

use std::{error::Error, fmt, sync::Arc, time::Duration};

use bytes::Bytes;

use super::{Append, Continuity, Event, Page, Position, Query, ReplayStore, Start, StoreFuture, completion};

/// Factory of the stores to test.
pub trait Fixture {
    /// Creates an empty store that keeps at least 1000 small events per log without an age limit, and 20
    /// logs, and knows at least 10 idempotency keys per log for some minutes.
    fn create(&self) -> Arc<dyn ReplayStore>;

    /// Creates an empty store that keeps at most `events` recent events per log, and the newest event of each
    /// label besides. Default: `None`, which skips the rules about removed events.
    fn create_bounded(&self, events: usize) -> Option<Arc<dyn ReplayStore>> {
        let _ = events;
        None
    }

    /// Closes the store, to which no other handle exists, and opens it again with its data. Default: `None`,
    /// which skips the rules about durability.
    fn reopen(&self, store: Arc<dyn ReplayStore>) -> Option<Arc<dyn ReplayStore>> {
        drop(store);
        None
    }
}

/// Violation of a rule of the contract.
#[derive(Clone, Debug)]
pub struct Violation {
    rule: &'static str,
    details: String,
}

impl Violation {
    /// Returns the rule as a sentence.
    pub fn rule(&self) -> &str {
        self.rule
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store violates the rule `{}`: {}", self.rule, self.details)
    }
}

impl Error for Violation {}

/// Tests every rule, each on new stores. Skips the rules that need a store which the fixture does not create.
///
/// # Errors
///
/// The first rule that the store violates.
pub fn check(fixture: &dyn Fixture) -> Result<(), Violation> {
    for (rule, test) in writing::RULES.iter().chain(reading::RULES).chain(labels::RULES) {
        test(fixture).map_err(|details| Violation { rule, details })?;
    }
    Ok(())
}

/// Result of a test. The error describes the violation.
type TestResult<T = ()> = Result<T, String>;
/// Maximum time that an operation may take.
const TIMEOUT: Duration = Duration::from_secs(30);
type Rule = (&'static str, fn(&dyn Fixture) -> TestResult);

/// Returns the details of a violation as an error if the condition is false.
fn ensure(condition: bool, details: impl FnOnce() -> String) -> TestResult {
    if condition { Ok(()) } else { Err(details()) }
}

/// Waits for a result. Fails after [`TIMEOUT`], so that a store that never calls its completions does not
/// block the test.
fn wait_for<T>(result: StoreFuture<T>, operation: &str) -> TestResult<T> {
    let outcome =
        result.wait_timeout(TIMEOUT).ok_or_else(|| format!("no result of {operation} within {TIMEOUT:?}"))?;
    outcome.map_err(|error| format!("{operation} failed: {error}"))
}

/// Appends an event. Returns the event that a read should find.
fn append(store: &dyn ReplayStore, append: Append) -> TestResult<Expected> {
    let (name, data) = (append.name.clone(), append.data.clone());
    let (done, result) = completion();
    store.append(append, done).map_err(|_| "the queue of an idle store is full".to_owned())?;
    let appended = wait_for(result, "the append")?;
    Ok(Expected { seq: appended.position.seq(), event: (name, data), position: appended.position })
}

/// Appends `count` numbered events.
fn fill(store: &dyn ReplayStore, log: &'static str, count: usize) -> TestResult<Vec<Expected>> {
    let numbered = |number| Append::new(log, format!("event {number} of {log}"));
    (0..count).map(|number| append(store, numbered(number))).collect()
}

/// Reads one page. Fails if the read does.
fn page(store: &dyn ReplayStore, query: Query) -> TestResult<Page> {
    let (done, result) = completion();
    store.read(query, done);
    wait_for(result, "the read")
}

/// Reads all events from the query's start on. A gap is an error.
fn read_all(store: &dyn ReplayStore, query: Query) -> TestResult<Vec<Event>> {
    let (mut query, mut events) = (query, Vec::new());
    loop {
        let page = page(store, query.clone())?;
        ensure(page.continuity == Continuity::Complete, || {
            format!("{:?} although no event is missing", page.continuity)
        })?;
        let progress = !page.events.is_empty() || !page.has_more();
        ensure(progress, || "an empty page claims that another one follows".to_owned())?;
        events.extend(page.events.iter().cloned());
        if !page.has_more() {
            return Ok(events);
        }
        query.start = Start::After(page.resume);
    }
}

/// Event that a read should find.
#[derive(Clone, Debug)]
struct Expected {
    seq: u64,
    position: Position,
    /// Name and data.
    event: (Option<Bytes>, Bytes),
}

/// Compares the events read with the events appended.
fn check_events(expected: &[Expected], read: &[Event]) -> TestResult {
    let lengths = || format!("{} events read, {} appended", read.len(), expected.len());
    ensure(expected.len() == read.len(), lengths)?;
    for (expected, read) in expected.iter().zip(read) {
        let is_same =
            expected.position == read.position && expected.event == (read.name.clone(), read.data.clone());
        ensure(is_same, || format!("read {read:?}, expected {expected:?}"))?;
    }
    Ok(())
}
