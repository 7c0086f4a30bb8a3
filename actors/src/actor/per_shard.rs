//! One actor of a kind on each shard.

use std::{ops::Index, sync::Arc};

use super::address::Addr;
use crate::shard::Local;

/// The addresses of actors of one kind, one on each shard. Indexed by the shard; clones are cheap.
#[derive(Debug)]
pub struct PerShard<M>(Arc<[Addr<M>]>);

impl<M> FromIterator<Addr<M>> for PerShard<M> {
    fn from_iter<I: IntoIterator<Item = Addr<M>>>(addresses: I) -> Self {
        Self(addresses.into_iter().collect())
    }
}

impl<M> PerShard<M> {
    /// Returns the one on the calling thread's shard. `None` on any other thread.
    pub fn here(&self) -> Option<&Addr<M>> {
        // Two systems in one process have shards of the same index.
        self.0.get(Local::current()?.shard()).filter(|address| address.is_here())
    }

    /// Returns them all, by shard.
    pub fn iter(&self) -> std::slice::Iter<'_, Addr<M>> {
        self.0.iter()
    }
}

impl<'a, M> IntoIterator for &'a PerShard<M> {
    type Item = &'a Addr<M>;
    type IntoIter = std::slice::Iter<'a, Addr<M>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<M> Index<usize> for PerShard<M> {
    type Output = Addr<M>;

    /// Returns the one on a shard.
    ///
    /// # Panics
    ///
    /// There is no such shard.
    fn index(&self, shard: usize) -> &Addr<M> {
        &self.0[shard]
    }
}

impl<M> Clone for PerShard<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
