//! Addresses: handles with which other code sends messages to an actor and stops it.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
    task::Wake,
};

use super::{cell::ActorCell, children::ActorControl, exit::ActorId};
use crate::{
    error::{Closed, TellError},
    future::block_on,
    shard::{Local, Remote},
    stop::Undelivered,
};

/// Address of an actor, for sending it messages of type `M` from any thread.
///
/// The address stays valid when the actor restarts. When the last address is dropped, the actor handles the
/// messages in its mailbox and exits, whatever timers and watches it still has. Clones are cheap, and there
/// may be any number of them. Two addresses are equal if they belong to the same actor.
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
///     Err(TellError::Full(page)) => println!("busy, try again later: {page}"),
///     Err(TellError::Closed(page)) => println!("gone: {page}"),
/// }
/// assert_eq!((printer.name(), printer.capacity()), ("printer", 16));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Addr<M>(pub(super) Arc<ActorCell<M>>);

impl<M: Send + 'static> Addr<M> {
    /// Sends a message if the mailbox has a free slot.
    ///
    /// `Ok` means that the mailbox has accepted the message. If the actor exits before it handles the
    /// message, the message is dropped and counted. Sending to an actor of the calling thread's shard takes
    /// no lock.
    ///
    /// # Errors
    ///
    /// The mailbox is full, or the actor is draining or has exited. The error returns the message.
    pub fn try_tell(&self, message: M) -> Result<(), TellError<M>> {
        self.0.try_tell(message)
    }

    /// Sends a message as soon as the mailbox has a free slot.
    ///
    /// Actors that wait for slots in each other's full mailboxes wait forever. In a cycle of actors use
    /// [`try_tell`](Self::try_tell), or [`ask`](Self::ask) with its timeout.
    ///
    /// # Errors
    ///
    /// The actor is draining or has exited. The error returns the message.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the message is dropped too and is not delivered.
    pub async fn tell(&self, message: M) -> Result<(), Closed<M>> {
        match self.0.try_tell(message) {
            Ok(()) => Ok(()),
            Err(TellError::Closed(message)) => Err(Closed(message)),
            Err(TellError::Full(message)) => self.0.tell(message).await,
        }
    }

    /// Sends a message as soon as the mailbox has a free slot. Blocks the calling thread until then.
    ///
    /// Do not call it on a shard's thread: the thread would wait for an actor that it has to run itself.
    ///
    /// # Errors
    ///
    /// The actor is draining or has exited. The error returns the message.
    pub fn tell_blocking(&self, message: M) -> Result<(), Closed<M>> {
        match self.0.try_tell(message) {
            Ok(()) => Ok(()),
            Err(TellError::Closed(message)) => Err(Closed(message)),
            // Without a deadline the future always completes.
            Err(TellError::Full(message)) => block_on(self.0.tell(message)),
        }
    }

    /// Makes the actor exit. Does not wait for the exit.
    ///
    /// With `Drain` the actor refuses new messages once it has noticed the stop, and handles the waiting ones
    /// before it exits. With `Discard` it handles no further message; messages that arrive before its exit
    /// are dropped and counted too. It does not restart, whatever its policy.
    /// [`stopped`](crate::Actor::stopped) is called.
    ///
    /// A repeated call has no effect, except that `Discard` after `Drain` drops the messages not handled so
    /// far.
    pub fn stop(&self, undelivered: Undelivered) {
        self.0.stop(undelivered.into());
    }

    /// Creates an address that does not keep the actor from exiting.
    pub fn downgrade(&self) -> WeakAddr<M> {
        WeakAddr(Arc::clone(&self.0))
    }
}

impl<M> Addr<M> {
    /// Creates an address. While there is none, only the actor itself, or the code that spawns it, may call
    /// this.
    pub(crate) fn new(cell: &Arc<ActorCell<M>>) -> Self {
        cell.addresses.increment();
        Self(Arc::clone(cell))
    }

    /// Returns the number of waiting messages. It is exact while nobody sends or receives.
    pub fn depth(&self) -> usize {
        self.0.mailbox.len()
    }

    /// Returns the maximum number of waiting messages.
    ///
    /// With a capacity of 16 or more, senders on the actor's own shard may reserve up to an eighth of the
    /// slots, at most 32, while the actor is busy. Other senders find the mailbox full that much earlier.
    pub fn capacity(&self) -> usize {
        self.0.mailbox.capacity()
    }

    /// Returns `true` until the actor drains or has exited. A full mailbox counts as open.
    pub fn is_open(&self) -> bool {
        self.0.mailbox.is_open()
    }

    /// Returns the part of the actor's shard that all threads share.
    pub(crate) fn remote(&self) -> &Arc<Remote> {
        &self.0.shard
    }

    /// Returns the index of the actor's shard.
    pub fn shard(&self) -> usize {
        self.0.shard.index
    }

    /// Returns the name that the actor was spawned with.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Returns the id of the actor.
    pub fn id(&self) -> ActorId {
        self.0.id
    }

    /// Returns `true` on the thread of the actor's shard.
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
        if self.0.addresses.decrement() {
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

/// Address that does not keep its actor from exiting, for actors that know each other and for caches.
pub struct WeakAddr<M>(Arc<ActorCell<M>>);

impl<M: Send + 'static> WeakAddr<M> {
    /// Creates an address. Returns `None` if the actor drains, has exited, or is about to because it has no
    /// addresses.
    pub fn upgrade(&self) -> Option<Addr<M>> {
        let cell = &self.0;
        (cell.mailbox.is_open() && cell.addresses.increment_if_nonzero()).then(|| Addr(Arc::clone(cell)))
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
