//! The shards of one system and the order of their stop: first the actors of all shards, then the drivers.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use super::remote::Remote;
use crate::stop::Phase;

/// All shards of one system.
#[derive(Debug)]
pub(crate) struct ShardGroup {
    pub(crate) shards: Vec<Arc<Remote>>,
    /// `true` for each shard where all actors have exited and no new one can start.
    actors_exited: Vec<AtomicBool>,
    /// Number of shards where an actor lives or can still start.
    shards_with_actors: AtomicUsize,
}

impl ShardGroup {
    /// Creates a group of running shards.
    pub(crate) fn new(shards: Vec<Arc<Remote>>) -> Arc<Self> {
        let count = shards.len();
        let actors_exited = (0..count).map(|_| AtomicBool::new(false)).collect();
        Arc::new(Self { shards, actors_exited, shards_with_actors: AtomicUsize::new(count) })
    }

    /// Raises the phase of every shard to at least `phase`.
    pub(crate) fn raise_phase(&self, phase: Phase) {
        for shard in &self.shards {
            shard.raise_phase(phase);
        }
    }

    /// Records that all actors of a shard have exited and no new one can start. Repeated calls have no
    /// effect.
    ///
    /// The call for the last shard makes all shards check whether they may stop their drivers.
    pub(crate) fn record_actors_exited(&self, shard: usize) {
        if self.actors_exited[shard].swap(true, Ordering::SeqCst) {
            return;
        }
        if self.shards_with_actors.fetch_sub(1, Ordering::SeqCst) == 1 {
            for shard in &self.shards {
                shard.notify_commands();
            }
        }
    }

    /// Returns `true` if the actors of all shards have exited.
    pub(crate) fn all_actors_exited(&self) -> bool {
        self.shards_with_actors.load(Ordering::SeqCst) == 0
    }
}
