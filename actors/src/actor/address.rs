//! Addresses of actors: what everyone else holds of them.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
    task::Wake,
};

use super::{cell::Post, children::Kin, exit::ActorId};
use crate::{
    error::{Closed, TellError},
    future::block_on,
    shard::{Local, Remote},
    stop::Undelivered,
};

/// The address of an actor that takes messages of type `M`: sends to it from any thread.
///
/// It survives the actor's restarts. When the last address is dropped the actor handles what is in its mailbox,
/// then ends. Clones are cheap and not limited in number. Two are equal if they are the same actor's.
///
/// ```
/// # use windlass_actors::{Actor, Context, Cores, Flow, Placement, SpawnOptions, System, TellError};
/// # struct Printer;
/// # impl Actor for Printer {
/// #     type Msg = String;
/// #     async fn handle(&mut self, _: String, _: &mut Context<String>) -> Flow { Flow::Continue }
/// # }
/// # let system = System::builder().cores(Cores::Unpinned(1)).start()?;
/// let options = SpawnOptions { mailbox: 16, ..SpawnOptions::named("printer") };
/// let printer = system.spawn(Placement::LeastLoaded, options, || Printer)?;
/// match printer.try_tell("a page".to_owned()) {
///     Ok(()) => {}
///     Err(TellError::Full(page)) => println!("later: {page}"),
///     Err(TellError::Closed(page)) => println!("never: {page}"),
/// }
/// assert_eq!((printer.name(), printer.capacity()), ("printer", 16));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Addr<M>(pub(crate) Arc<Post<M>>);

impl<M: Send + 'static> Addr<M> {
    /// Tells the actor something if its mailbox has room.
    ///
    /// `Ok` means that the mailbox took the message: a system's stop may still refuse it, and counts it then. On the
    /// actor's own shard this takes no lock.
    ///
    /// # Errors
    ///
    /// The mailbox is full or the actor has ended; the message comes back.
    pub fn try_tell(&self, message: M) -> Result<(), TellError<M>> {
        self.0.try_tell(message)
    }

    /// Tells the actor something as soon as its mailbox has room.
    ///
    /// Actors that wait for room in each other's full mailboxes wait for ever: in a cycle use
    /// [`try_tell`](Self::try_tell), or [`ask`](Self::ask) with its timeout.
    ///
    /// # Errors
    ///
    /// The actor has ended; the message comes back.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready it has not delivered the message, which is dropped with it.
    pub async fn tell(&self, message: M) -> Result<(), Closed<M>> {
        match self.0.try_tell(message) {
            Ok(()) => Ok(()),
            Err(TellError::Closed(message)) => Err(Closed(message)),
            Err(TellError::Full(message)) => self.0.tell(message).await,
        }
    }

    /// Tells the actor something as soon as its mailbox has room and blocks the thread until then.
    ///
    /// For plain threads: on a shard's thread it may wait for itself.
    ///
    /// # Errors
    ///
    /// The actor has ended; the message comes back.
    pub fn tell_blocking(&self, message: M) -> Result<(), Closed<M>> {
        match self.0.try_tell(message) {
            Ok(()) => Ok(()),
            Err(TellError::Closed(message)) => Err(Closed(message)),
            // Without a deadline it always comes to an end of its own.
            Err(TellError::Full(message)) => block_on(self.0.tell(message), None).unwrap_or(Ok(())),
        }
    }

    /// Has the actor end: it handles what waits first, or drops and counts it. Does not wait.
    ///
    /// New messages are refused from the moment the actor heard of it. It is not built anew, whatever its policy;
    /// [`stopped`](crate::Actor::stopped) runs. Called again it does nothing, except that `Refuse` after `Drain` drops
    /// what was not yet handled.
    pub fn stop(&self, undelivered: Undelivered) {
        self.0.end(undelivered.into());
    }

    /// Makes an address that does not keep the actor from ending.
    pub fn downgrade(&self) -> WeakAddr<M> {
        WeakAddr(Arc::clone(&self.0))
    }
}

impl<M> Addr<M> {
    /// Makes an address. From zero addresses only the actor itself may.
    pub(crate) fn new(post: &Arc<Post<M>>) -> Self {
        post.addresses.add();
        Self(Arc::clone(post))
    }

    /// Returns how many messages wait; exact while nobody sends or receives.
    pub fn depth(&self) -> usize {
        self.0.mailbox.len()
    }

    /// Returns how many messages may wait.
    ///
    /// From 16 on up to an eighth of it, 32 at most, may be lent to the actor's own shard while the actor is busy:
    /// senders elsewhere find the mailbox full that much earlier.
    pub fn capacity(&self) -> usize {
        self.0.mailbox.capacity()
    }

    /// Says whether the actor still takes messages.
    pub fn is_open(&self) -> bool {
        self.0.mailbox.is_open()
    }

    /// Returns the shard the actor lives on.
    pub(crate) fn remote(&self) -> &Arc<Remote> {
        &self.0.shard
    }

    /// Returns the index of the shard the actor lives on.
    pub fn shard(&self) -> usize {
        self.0.shard.index
    }

    /// Returns the name the actor was spawned with.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Returns what names the actor in its system.
    pub fn id(&self) -> ActorId {
        self.0.id
    }

    /// Says whether the calling thread is that of the actor's shard.
    pub fn is_here(&self) -> bool {
        Local::of(&self.0.shard).is_some()
    }
}

impl<M> Clone for Addr<M> {
    fn clone(&self) -> Self {
        Self::new(&self.0)
    }
}

impl<M> Drop for Addr<M> {
    fn drop(&mut self) {
        if self.0.addresses.remove() {
            self.0.wakeable.wake_by_ref();
        }
    }
}

impl<M> PartialEq for Addr<M> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<M> Eq for Addr<M> {}

impl<M> Hash for Addr<M> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

impl<M> fmt::Debug for Addr<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Addr")
            .field("name", &self.0.name)
            .field("shard", &self.0.shard.index)
            .finish_non_exhaustive()
    }
}

/// An address that does not keep its actor from ending: for those who know each other, and for caches.
pub struct WeakAddr<M>(Arc<Post<M>>);

impl<M: Send + 'static> WeakAddr<M> {
    /// Makes an address. `None`: the actor has ended, or is about to for lack of addresses.
    pub fn upgrade(&self) -> Option<Addr<M>> {
        let post = &self.0;
        (post.mailbox.is_open() && post.addresses.add_to_others()).then(|| Addr(Arc::clone(post)))
    }
}

impl<M> Clone for WeakAddr<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M> fmt::Debug for WeakAddr<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakAddr").field("name", &self.0.name).finish_non_exhaustive()
    }
}
