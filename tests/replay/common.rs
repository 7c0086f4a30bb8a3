//! What the tests of several stores need.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, UNIX_EPOCH},
};

use windlass::replay::{Append, Clock, Page, Position, Query, ReplayStore, Start};

/// A clock that stands until it is moved.
#[derive(Clone)]
pub(crate) struct Hand(Arc<AtomicU64>);

impl Hand {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1_000_000)))
    }

    pub(crate) fn advance(&self, time: Duration) {
        self.0.fetch_add(u64::try_from(time.as_millis()).unwrap(), Relaxed);
    }

    pub(crate) fn clock(&self) -> Clock {
        let ms = Arc::clone(&self.0);
        Clock::new(move || UNIX_EPOCH + Duration::from_millis(ms.load(Relaxed)))
    }
}

pub(crate) fn append(store: &dyn ReplayStore, topic: &'static str, data: &str) -> Position {
    store.append_blocking(Append::new(topic, data.to_owned())).unwrap().position
}

pub(crate) fn page(store: &dyn ReplayStore, topic: &'static str, start: Start) -> Page {
    store.since_blocking(Query::new(topic, start)).unwrap()
}

/// The data of the events a store holds of a topic.
pub(crate) fn held(store: &dyn ReplayStore, topic: &'static str) -> Vec<String> {
    let events = page(store, topic, Start::Earliest).events;
    events.iter().map(|event| String::from_utf8(event.data.to_vec()).unwrap()).collect()
}
