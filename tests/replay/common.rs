//! Helpers shared by the replay store tests.

#[path = "../support/random.rs"]
mod random;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, UNIX_EPOCH},
};

use windlass::replay::{Append, Clock, Page, Position, Query, ReplayStore, Start};

pub(crate) use random::Random;

/// A clock that stands still until the test advances it.
#[derive(Clone)]
pub(crate) struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
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
    store.read_blocking(Query::new(topic, start)).unwrap()
}

/// Returns the data of all events that the store holds for the topic.
pub(crate) fn stored_data(store: &dyn ReplayStore, topic: &'static str) -> Vec<String> {
    let events = page(store, topic, Start::Earliest).events;
    events.iter().map(|event| String::from_utf8(event.data.to_vec()).unwrap()).collect()
}

/// Returns the factor that multiplies the number of crashes.
pub(crate) fn rounds() -> u64 {
    std::env::var("WINDLASS_REPLAY_ROUNDS").map_or(1, |rounds| rounds.parse().unwrap())
}

/// Returns the seed and prints it, so that a failed run can be repeated.
pub(crate) fn seed() -> u64 {
    let seed = std::env::var("WINDLASS_REPLAY_SEED").map(|seed| seed.parse().unwrap());
    let seed = seed.unwrap_or_else(|_| windlass::replay::Epoch::random().unwrap().to_bits() >> 16);
    println!("repeat with WINDLASS_REPLAY_SEED={seed}");
    seed
}

/// A temporary directory, removed on drop.
pub(crate) struct Scratch(std::path::PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let id = windlass::replay::Epoch::random().unwrap();
        let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{id}"));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &std::path::Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}
