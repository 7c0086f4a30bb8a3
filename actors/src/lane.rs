//! The shard's side of an actor's mailbox, entered by the shard's thread alone: no lock, no locked instruction.
//!
//! The only file that names qcell. A lane is made anywhere and may be dropped anywhere, but only whoever holds its
//! shard's key gets in, and the key never leaves the shard's thread.

use std::sync::{Mutex, PoisonError};

use qcell::{QCell, QCellOwner, QCellOwnerID};

use crate::mailbox::Intake;

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

/// What an actor takes its messages from.
pub(crate) struct Lane<M> {
    /// The mutex is never locked: it makes a `Send` message good enough for a cell that is shared.
    track: QCell<Mutex<Track<M>>>,
}

/// The contents of a lane.
pub(crate) struct Track<M> {
    pub(crate) intake: Intake<M>,
    /// The actor was asked to run for what is inside, and has not found the lane empty since.
    pub(crate) called: bool,
}

impl<M> Lane<M> {
    pub(crate) fn new(lock: Lock) -> Self {
        Self { track: lock.0.cell(Mutex::new(Track { intake: Intake::new(), called: false })) }
    }

    /// Enters the lane.
    ///
    /// # Panics
    ///
    /// The key is that of another shard.
    pub(crate) fn enter<'a>(&'a self, key: &'a mut Key) -> &'a mut Track<M> {
        self.track.rw(&mut key.0).get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}
