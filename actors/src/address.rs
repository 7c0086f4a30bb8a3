//! Addresses of actors: what everyone else holds of them.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Wake,
};

use crate::{
    error::{Closed, TellError},
    mailbox::Mailbox,
    remote::Remote,
    wake::{Target, Wakeable},
};

/// What an actor shares with its addresses. Outlives restarts.
pub(crate) struct Post<M> {
    pub(crate) mailbox: Mailbox<M>,
    pub(crate) wakeable: Arc<Wakeable>,
    pub(crate) shard: Arc<Remote>,
    pub(crate) name: String,
    /// Addresses that live. An actor that nobody can tell anything any more ends.
    addresses: AtomicUsize,
}

impl<M> Post<M> {
    pub(crate) fn new(name: String, mailbox: Mailbox<M>, shard: Arc<Remote>) -> Arc<Self> {
        let wakeable = Wakeable::new(Arc::clone(&shard.line), Target::Guest);
        Arc::new(Self { mailbox, wakeable, shard, name, addresses: AtomicUsize::new(0) })
    }

    /// Makes an address. From zero addresses only the actor itself can make one.
    pub(crate) fn address(self: &Arc<Self>) -> Addr<M> {
        self.addresses.fetch_add(1, Ordering::Relaxed);
        Addr(Arc::clone(self))
    }

    pub(crate) fn is_forgotten(&self) -> bool {
        self.addresses.load(Ordering::Acquire) == 0
    }
}

/// The address of an actor that takes messages of type `M`: sends to it from any thread.
///
/// It survives the actor's restarts. When the last address is dropped the actor handles what is in its mailbox,
/// then ends. Clones are cheap and not limited in number.
pub struct Addr<M>(pub(crate) Arc<Post<M>>);

impl<M: Send + 'static> Addr<M> {
    /// Tells the actor something if its mailbox has room.
    ///
    /// `Ok` means that the mailbox took the message: a system's stop may still refuse it, and counts it then.
    ///
    /// # Errors
    ///
    /// The mailbox is full or the actor has ended; the message comes back.
    pub fn try_tell(&self, message: M) -> Result<(), TellError<M>> {
        self.0.mailbox.try_push(message)?;
        self.0.wakeable.wake_by_ref();
        Ok(())
    }

    /// Tells the actor something as soon as its mailbox has room.
    ///
    /// # Errors
    ///
    /// The actor has ended; the message comes back.
    ///
    /// # Cancel safety
    ///
    /// A dropped future may have delivered the message or not.
    pub async fn tell(&self, message: M) -> Result<(), Closed<M>> {
        self.0.mailbox.push(message).await?;
        self.0.wakeable.wake_by_ref();
        Ok(())
    }

    /// Tells the actor something as soon as its mailbox has room and blocks the thread until then.
    ///
    /// For plain threads: on a shard's thread it may wait for itself.
    ///
    /// # Errors
    ///
    /// The actor has ended; the message comes back.
    pub fn tell_blocking(&self, message: M) -> Result<(), Closed<M>> {
        self.0.mailbox.push_blocking(message)?;
        self.0.wakeable.wake_by_ref();
        Ok(())
    }

    /// Returns how many messages wait. Takes the mailbox's lock.
    pub fn depth(&self) -> usize {
        self.0.mailbox.len()
    }

    /// Returns how many messages may wait.
    pub fn capacity(&self) -> usize {
        self.0.mailbox.capacity()
    }

    /// Says whether the actor still takes messages.
    pub fn is_open(&self) -> bool {
        self.0.mailbox.is_open()
    }

    /// Returns the index of the shard the actor lives on.
    pub fn shard(&self) -> usize {
        self.0.shard.index
    }

    /// Returns the name the actor was spawned with.
    pub fn name(&self) -> &str {
        &self.0.name
    }
}

impl<M> Clone for Addr<M> {
    fn clone(&self) -> Self {
        self.0.address()
    }
}

impl<M> Drop for Addr<M> {
    fn drop(&mut self) {
        if self.0.addresses.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.wakeable.wake_by_ref();
        }
    }
}

impl<M> fmt::Debug for Addr<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Addr").field("name", &self.0.name).field("shard", &self.0.shard.index).finish_non_exhaustive()
    }
}
