//! Helpers shared by the replay store tests.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, UNIX_EPOCH},
};

use windlass::replay::{Append, Clock, Page, Position, Query, ReplayStore, Start};

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

/// Pseudo-random numbers from a seed (SplitMix64).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    /// Returns a number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }
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
