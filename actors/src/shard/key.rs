//! Cells that many threads share and only one shard's thread enters: no lock, no locked instruction.
//!
//! The only file that names qcell. A [`ShardCell`] may be created and dropped on any thread. Entering it
//! takes the shard's [`ShardKey`], which never leaves the thread of the shard.

use std::sync::{Mutex, PoisonError};

use qcell::{QCell, QCellOwner, QCellOwnerID};

/// Key to the cells of one shard.
pub(crate) struct ShardKey(QCellOwner);

/// Id of a [`ShardKey`], needed to create cells for its shard.
#[derive(Clone, Copy)]
pub(crate) struct ShardKeyId(QCellOwnerID);

impl ShardKey {
    /// Creates a key that opens no existing cell.
    pub(crate) fn new() -> Self {
        Self(QCellOwner::new())
    }

    /// Returns the id of the key.
    pub(crate) fn id(&self) -> ShardKeyId {
        ShardKeyId(self.0.id())
    }
}

/// Value that many threads share and only the thread of one shard enters.
pub(crate) struct ShardCell<T> {
    /// Nobody ever locks the mutex. It makes a value that is only `Send` acceptable in a shared cell.
    cell: QCell<Mutex<T>>,
}

impl<T> ShardCell<T> {
    /// Creates a cell for the shard whose key has this id.
    pub(crate) fn new(key: ShardKeyId, value: T) -> Self {
        Self { cell: key.0.cell(Mutex::new(value)) }
    }

    /// Gives access to the value while the key is borrowed.
    ///
    /// # Panics
    ///
    /// The key belongs to another shard.
    pub(crate) fn enter<'a>(&'a self, key: &'a mut ShardKey) -> &'a mut T {
        self.cell.rw(&mut key.0).get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}
