//! The shard's side of an actor's mailbox, entered by the shard's thread alone: no lock, no locked instruction.
//!
//! The only file that names qcell. A lane is made anywhere and may be dropped anywhere, but only whoever holds its
//! shard's key gets in, and the key never leaves the shard's thread.

use std::sync::{Mutex, PoisonError};

use qcell::{QCell, QCellOwner, QCellOwnerID};

/// Opens the lanes of one shard.
pub(crate) struct Key(QCellOwner);

/// Names a shard's [`Key`]; lanes are made with it.
#[derive(Clone, Copy)]
pub(crate) struct Lock(QCellOwnerID);

impl Key {
    pub(crate) fn new() -> Self {
        Self(QCellOwner::new())
    }

    pub(crate) fn lock(&self) -> Lock {
        Lock(self.0.id())
    }
}

/// A value that many threads share and one shard's thread enters.
pub(crate) struct ShardCell<T> {
    /// The mutex is never locked: it makes a `Send` value good enough for a cell that is shared.
    cell: QCell<Mutex<T>>,
}

impl<T> ShardCell<T> {
    pub(crate) fn new(lock: Lock, value: T) -> Self {
        Self { cell: lock.0.cell(Mutex::new(value)) }
    }

    /// Enters the cell.
    ///
    /// # Panics
    ///
    /// The key is that of another shard.
    pub(crate) fn enter<'a>(&'a self, key: &'a mut Key) -> &'a mut T {
        self.cell.rw(&mut key.0).get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}
