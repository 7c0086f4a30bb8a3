//! Addresses of one actor on each shard.

use std::{ops::Index, sync::Arc};

use super::address::Addr;
use crate::shard::Local;

/// Addresses of actors of one kind, one on each shard, indexed by shard. Clones are cheap.
#[derive(Debug)]
pub struct PerShard<M>(Arc<[Addr<M>]>);

impl<M> PerShard<M> {
    /// Creates the set from addresses in the order of their shards.
    pub(crate) fn new(addresses: Arc<[Addr<M>]>) -> Self {
        Self(addresses)
    }

    /// Returns the address on the shard of the calling thread, or `None` on a thread that runs no shard of
    /// this system.
    pub fn here(&self) -> Option<&Addr<M>> {
        // The index is not enough: another system in this process has shards of the same index.
        self.0.get(Local::current()?.shard()).filter(|address| address.is_here())
    }

    /// Returns all addresses, ordered by shard.
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

    /// Returns the address on the shard of this index.
    ///
    /// # Panics
    ///
    /// The system has no shard of this index.
    fn index(&self, shard: usize) -> &Addr<M> {
        &self.0[shard]
    }
}

impl<M> Clone for PerShard<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
