//! Finding actors by name and type.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use super::{address::Addr, exit::ActorId, watch::Watch};
use crate::error::RegisterError;

/// Finds actors by name and by the type of their messages. Clones are handles to the same registry.
///
/// Each [`System`](crate::System) has one; one made by [`new`](Self::new) can be shared between systems, or be the state
/// of a server's handlers. An actor that is registered is not forgotten: its entry counts as an address. When it ends
/// for good its entries go.
///
/// Looking up takes a lock that is only ever held for a look or a change: a handler or an actor that uses the same actor
/// all the time keeps its address.
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
/// let found = system.registry().find::<Reply<u64>>("clock").expect("it was registered");
/// assert_eq!(found.ask_blocking(|reply| reply, Duration::from_secs(1))?, 12);
/// assert!(system.registry().find::<String>("clock").is_none(), "it takes other messages");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct Registry(Arc<RwLock<Entries>>);

/// By the type of the messages, then by name.
type Entries = HashMap<TypeId, HashMap<Arc<str>, Entry>>;

struct Entry {
    id: ActorId,
    /// A `Held<M>`.
    held: Box<dyn Any + Send + Sync>,
}

struct Held<M> {
    address: Addr<M>,
    /// Takes the entry away when the actor ends.
    _watch: Watch<M>,
}

impl Registry {
    /// Makes an empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Enters an actor under a name; for other messages the name may stand for another actor.
    ///
    /// # Errors
    ///
    /// The name is taken by an actor that lives and takes the same messages, or this actor has ended.
    pub fn register<M: Send + 'static>(
        &self,
        name: impl Into<Arc<str>>,
        actor: &Addr<M>,
    ) -> Result<(), RegisterError> {
        let (name, id) = (name.into(), actor.id());
        let (registry, entered) = (Arc::downgrade(&self.0), Arc::clone(&name));
        let watch = Watch::new(Arc::clone(&actor.0), move |_| {
            if let Some(entries) = registry.upgrade() {
                Self(entries).remove_if::<M>(&entered, |entry| entry.id == id);
            }
        });
        let held = Box::new(Held { address: actor.clone(), _watch: watch });
        self.enter::<M>(&name, Entry { id, held })?;
        // It may have ended before its entry was there to be taken away.
        if actor.exit_status().is_some() {
            self.remove_if::<M>(&name, |entry| entry.id == id);
            return Err(RegisterError::Exited);
        }
        Ok(())
    }

    /// Finds the actor that takes messages of type `M` and was entered under this name.
    pub fn find<M: Send + 'static>(&self, name: &str) -> Option<Addr<M>> {
        let entries = self.read();
        let entry = entries.get(&TypeId::of::<M>())?.get(name)?;
        entry.held.downcast_ref::<Held<M>>().map(|held| held.address.clone())
    }

    /// Takes an entry away. False: there is none.
    pub fn remove<M: Send + 'static>(&self, name: &str) -> bool {
        self.remove_if::<M>(name, |_| true)
    }

    /// Returns the names under which actors are entered that take messages of type `M`, in no order.
    pub fn names<M: Send + 'static>(&self) -> Vec<Arc<str>> {
        self.read().get(&TypeId::of::<M>()).map(|names| names.keys().cloned().collect()).unwrap_or_default()
    }

    fn enter<M: Send + 'static>(&self, name: &Arc<str>, entry: Entry) -> Result<(), RegisterError> {
        let mut entries = self.write();
        let names = entries.entry(TypeId::of::<M>()).or_default();
        if names.contains_key(name) {
            // The lock goes first: the entry may be an actor's last address.
            drop(entries);
            return Err(RegisterError::Taken);
        }
        names.insert(Arc::clone(name), entry);
        Ok(())
    }

    fn remove_if<M: Send + 'static>(&self, name: &str, is_meant: impl FnOnce(&Entry) -> bool) -> bool {
        let mut entries = self.write();
        let Some(names) = entries.get_mut(&TypeId::of::<M>()) else { return false };
        if !names.get(name).is_some_and(is_meant) {
            return false;
        }
        let removed = names.remove(name);
        // Dropped outside of the lock: it may be an actor's last address.
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
