//! Tests of the [`ReplayStore`] contract, for any store; must not know how a store works inside.
//!
//! ```
//! use std::sync::Arc;
//! use windlass::replay::{MemoryStore, ReplayStore, Retention, StoreLimits, conformance};
//!
//! struct Memory;
//!
//! impl conformance::Fixture for Memory {
//!     fn fresh(&self) -> Arc<dyn ReplayStore> {
//!         Arc::new(MemoryStore::new(Retention::default(), StoreLimits::default()).expect("random numbers"))
//!     }
//! }
//!
//! conformance::check(&Memory).expect("the contract holds");
//! ```
mod reading;
mod writing;

use std::{error::Error, fmt, sync::Arc, time::Duration};

use super::{Answer, Append, Continuity, Event, Page, Query, ReplayStore, Start, pair};

/// Makes stores to be tested.
pub trait Fixture {
    /// Makes an empty store that keeps at least 1000 small events of a topic, whatever their age, and 20 topics.
    fn fresh(&self) -> Arc<dyn ReplayStore>;

    /// Makes an empty store that keeps at most so many events of a topic. Default `None`: there is no such store, and the
    /// rules on trimmed events are not tested.
    fn keeping(&self, events: usize) -> Option<Arc<dyn ReplayStore>> {
        let _ = events;
        None
    }

    /// Ends the store, which nobody else holds, and opens what it left. Default `None`: it leaves nothing, and the rules on
    /// what survives are not tested.
    fn reopen(&self, store: Arc<dyn ReplayStore>) -> Option<Arc<dyn ReplayStore>> {
        drop(store);
        None
    }
}

/// Names the rule that a store breaks, and how.
#[derive(Clone, Debug)]
pub struct Violation {
    rule: &'static str,
    how: String,
}

impl Violation {
    /// Returns the rule's name, a sentence.
    pub fn rule(&self) -> &str {
        self.rule
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store breaks the rule `{}`: {}", self.rule, self.how)
    }
}

impl Error for Violation {}

/// Tests every rule, each on stores of its own.
///
/// # Errors
///
/// The first rule that does not hold.
pub fn check(fixture: &dyn Fixture) -> Result<(), Violation> {
    for (rule, test) in writing::RULES.iter().chain(reading::RULES) {
        test(fixture).map_err(|how| Violation { rule, how })?;
    }
    Ok(())
}

/// What a test of one rule comes to: how it is broken.
type Outcome<T = ()> = Result<T, String>;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
type Rule = (&'static str, fn(&dyn Fixture) -> Outcome);

/// Says how a rule is broken unless a condition holds.
fn ensure(holds: bool, how: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(how()) }
}

/// Waits for an answer, but not for ever: a store that forgets its completions shall be told, not hang.
fn answered<T>(answer: Answer<T>, what: &str) -> Outcome<T> {
    let outcome =
        answer.wait_at_most(PATIENCE).ok_or_else(|| format!("{what} was not answered in {PATIENCE:?}"))?;
    outcome.map_err(|error| format!("{what} failed: {error}"))
}

/// Appends an event to a topic and returns it as it should come back.
fn append(store: &dyn ReplayStore, append: Append) -> Outcome<Wanted> {
    let (name, data) = (append.name.clone(), append.data.clone());
    let (done, answer) = pair();
    store.append(append, done).map_err(|_| "the queue of an idle store is full".to_owned())?;
    let appended = answered(answer, "an append")?;
    Ok(Wanted { seq: appended.position.seq(), event: (name, data), position: appended.position })
}

/// Appends numbered events.
fn fill(store: &dyn ReplayStore, topic: &'static str, count: usize) -> Outcome<Vec<Wanted>> {
    let numbered = |number| Append::new(topic, format!("event {number} of {topic}"));
    (0..count).map(|number| append(store, numbered(number))).collect()
}

fn page(store: &dyn ReplayStore, query: Query) -> Outcome<Page> {
    let (done, answer) = pair();
    store.read(query, done);
    answered(answer, "a read")
}

/// Reads pages to the end, checking how they join; gaps are an error.
fn read_on(store: &dyn ReplayStore, query: Query) -> Outcome<Vec<Event>> {
    let (mut query, mut events) = (query, Vec::new());
    loop {
        let page = page(store, query.clone())?;
        ensure(page.continuity == Continuity::Complete, || {
            format!("{:?} where nothing is missing", page.continuity)
        })?;
        let progress = !page.events.is_empty() || !page.has_more();
        ensure(progress, || "an empty page says there is more".to_owned())?;
        events.extend(page.events.iter().cloned());
        if !page.has_more() {
            return Ok(events);
        }
        query.start = Start::After(page.resume);
    }
}

/// An event as it was appended.
#[derive(Clone, Debug)]
struct Wanted {
    seq: u64,
    position: super::Position,
    event: (Option<bytes::Bytes>, bytes::Bytes),
}

/// Says how what was read differs from what was appended.
fn same(wanted: &[Wanted], read: &[Event]) -> Outcome {
    let lengths = || format!("{} events read, {} appended", read.len(), wanted.len());
    ensure(wanted.len() == read.len(), lengths)?;
    for (wanted, read) in wanted.iter().zip(read) {
        let is_same =
            wanted.position == read.position && wanted.event == (read.name.clone(), read.data.clone());
        ensure(is_same, || format!("{read:?} was appended as {wanted:?}"))?;
    }
    Ok(())
}
