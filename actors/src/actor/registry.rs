//! Finding actors by name and message type.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use super::{address::Addr, exit::ActorId, watch::WatchGuard};
use crate::error::RegisterError;

/// Directory of actors by name and message type. Clones are handles to the same registry.
///
/// Each [`System`](crate::System) has a registry. One created by [`new`](Self::new) can be shared between
/// systems, or be part of the state of a server's handlers. The registry holds an address of each registered
/// actor, so a registered actor does not exit for lack of addresses. The exit of an actor removes its
/// entries.
///
/// A lookup takes a lock for a short time. An actor or handler that uses the same actor often keeps its
/// address instead.
///
/// ```
/// # use std::time::Duration;
/// # use windlass_actors::{Actor, Context, Cores, Flow, Placement, Registry, Reply, SpawnOptions, System};
/// # struct Clock;
/// # impl Actor for Clock {
/// #     type Msg = Reply<u64>;
/// #     async fn handle(&mut self, reply: Reply<u64>, _: &mut Context<Reply<u64>>) -> Flow {
/// #         reply.send(12);
/// #         Flow::Continue
/// #     }
/// # }
/// # let system = System::builder().cores(Cores::Unpinned(1)).start()?;
/// let clock = system.spawn(Placement::LeastLoaded, SpawnOptions::named("clock"), || Clock)?;
/// system.registry().register("clock", &clock)?;
///
/// let found = system.registry().find::<Reply<u64>>("clock").expect("the clock is registered");
/// assert_eq!(found.ask_blocking(|reply| reply, Duration::from_secs(1))?, 12);
/// assert!(system.registry().find::<String>("clock").is_none(), "its messages have another type");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct Registry(Arc<RwLock<Entries>>);

/// Entries by message type, then by name.
type Entries = HashMap<TypeId, HashMap<Arc<str>, Entry>>;

struct Entry {
    id: ActorId,
    /// A `Registration<M>`.
    registration: Box<dyn Any + Send + Sync>,
}

struct Registration<M> {
    address: Addr<M>,
    /// Removes the entry when the actor exits.
    _guard: WatchGuard<M>,
}

impl Registry {
    /// Creates an empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers an actor under a name. Actors with different message types may use the same name.
    ///
    /// # Errors
    ///
    /// An actor with the same message type is registered under the name already, which may be this one, or
    /// this actor has exited.
    pub fn register<M: Send + 'static>(
        &self,
        name: impl Into<Arc<str>>,
        actor: &Addr<M>,
    ) -> Result<(), RegisterError> {
        let (name, id) = (name.into(), actor.id());
        let (registry, registered) = (Arc::downgrade(&self.0), Arc::clone(&name));
        let guard = WatchGuard::new(Arc::clone(&actor.0), move |_| {
            if let Some(entries) = registry.upgrade() {
                Self(entries).remove_if::<M>(&registered, |entry| entry.id == id);
            }
        });
        let registration = Box::new(Registration { address: actor.clone(), _guard: guard });
        self.insert::<M>(&name, Entry { id, registration })?;
        // If the actor exited before the insertion, the guard had no entry to remove.
        if actor.exit_status().is_some() {
            self.remove_if::<M>(&name, |entry| entry.id == id);
            return Err(RegisterError::Exited);
        }
        Ok(())
    }

    /// Returns the actor with messages of type `M` that is registered under this name, or `None`.
    pub fn find<M: Send + 'static>(&self, name: &str) -> Option<Addr<M>> {
        let entries = self.read();
        let entry = entries.get(&TypeId::of::<M>())?.get(name)?;
        let registration = entry.registration.downcast_ref::<Registration<M>>()?;
        Some(registration.address.clone())
    }

    /// Removes the entry of a name for messages of type `M`. Returns `false` if there is none.
    pub fn remove<M: Send + 'static>(&self, name: &str) -> bool {
        self.remove_if::<M>(name, |_| true)
    }

    /// Returns the names of all actors registered for messages of type `M`, in no particular order.
    pub fn names<M: Send + 'static>(&self) -> Vec<Arc<str>> {
        self.read().get(&TypeId::of::<M>()).map(|names| names.keys().cloned().collect()).unwrap_or_default()
    }

    fn insert<M: Send + 'static>(&self, name: &Arc<str>, entry: Entry) -> Result<(), RegisterError> {
        let mut entries = self.write();
        let names = entries.entry(TypeId::of::<M>()).or_default();
        if names.contains_key(name) {
            // Dropping `entry` may drop an actor's last address, so the lock is released first.
            drop(entries);
            return Err(RegisterError::Taken);
        }
        names.insert(Arc::clone(name), entry);
        Ok(())
    }

    fn remove_if<M: Send + 'static>(&self, name: &str, matches: impl FnOnce(&Entry) -> bool) -> bool {
        let mut entries = self.write();
        let Some(names) = entries.get_mut(&TypeId::of::<M>()) else { return false };
        if !names.get(name).is_some_and(matches) {
            return false;
        }
        let removed = names.remove(name);
        // Dropping the entry may drop an actor's last address, so the lock is released first.
        drop(entries);
        removed.is_some()
    }

    fn read(&self) -> RwLockReadGuard<'_, Entries> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Entries> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries: usize = self.read().values().map(HashMap::len).sum();
        f.debug_struct("Registry").field("entries", &entries).finish()
    }
}
