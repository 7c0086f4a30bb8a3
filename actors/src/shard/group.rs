//! All shards of one system, and the order in which they stop: the actors of all, then the drivers.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use super::remote::Remote;
use crate::stop::Phase;

/// The shards of one system.
#[derive(Debug)]
pub(crate) struct ShardGroup {
    pub(crate) shards: Vec<Arc<Remote>>,
    /// For each shard, whether its actors have ended for good.
    ended: Vec<AtomicBool>,
    /// How many of them have not.
    acting: AtomicUsize,
}

impl ShardGroup {
    pub(crate) fn new(shards: Vec<Arc<Remote>>) -> Arc<Self> {
        let count = shards.len();
        let ended = (0..count).map(|_| AtomicBool::new(false)).collect();
        Arc::new(Self { shards, ended, acting: AtomicUsize::new(count) })
    }

    pub(crate) fn raise(&self, phase: Phase) {
        for shard in &self.shards {
            shard.raise(phase);
        }
    }

    /// Notes that a shard has no actors any more and takes none. The last one has all shards stop their drivers.
    pub(crate) fn actors_ended(&self, shard: usize) {
        if self.ended[shard].swap(true, Ordering::SeqCst) {
            return;
        }
        if self.acting.fetch_sub(1, Ordering::SeqCst) == 1 {
            for shard in &self.shards {
                shard.command();
            }
        }
    }

    pub(crate) fn all_actors_ended(&self) -> bool {
        self.acting.load(Ordering::SeqCst) == 0
    }
}
