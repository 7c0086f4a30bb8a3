//! Spawning actors: choosing a shard, and starting the actor there.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::{
    address::Addr,
    behavior::Actor,
    cell::ActorCell,
    children::{ActorControl, ParentLink},
    context::Context,
    exit::ActorId,
    restart::SpawnOptions,
    shared::SystemShared,
    supervisor::{ExitGuard, supervise},
};
use crate::{
    error::SpawnError,
    mailbox::Mailbox,
    shard::{Local, Remote},
    stop::Phase,
};

/// Shard on which an actor is placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Placement {
    /// The shard of this index.
    Shard(usize),
    /// The shard with the fewest actors.
    #[default]
    LeastLoaded,
}

impl<M: Send + 'static> Context<M> {
    /// Spawns a child on this actor's shard. See [`spawn_on`](Self::spawn_on).
    ///
    /// # Errors
    ///
    /// The shard is stopping and no longer drains.
    pub fn spawn<A: Actor>(
        &mut self,
        options: SpawnOptions,
        factory: impl FnMut() -> A + Send + 'static,
    ) -> Result<Addr<A::Msg>, SpawnError> {
        self.spawn_on(Placement::Shard(self.shard()), options, factory)
    }

    /// Spawns a child: an actor that exits when this run of its parent ends.
    ///
    /// The parent gets a call of [`child_exited`](Actor::child_exited) when a run of the child has ended.
    ///
    /// When this actor exits or restarts, it stops its children first and waits for their exits. Only then
    /// does [`stopped`](Actor::stopped) run. The children drop their waiting messages if this actor failed,
    /// panicked or was stopped with `Discard`. Otherwise they handle them. Children that need longer than
    /// [`SpawnOptions::children_grace`] are aborted.
    ///
    /// When the system drains, a child runs until its parent has handled its last message.
    ///
    /// # Errors
    ///
    /// There is no such shard, it is stopping, or too many actors wait to be started there.
    pub fn spawn_on<A: Actor>(
        &mut self,
        placement: Placement,
        options: SpawnOptions,
        factory: impl FnMut() -> A + Send + 'static,
    ) -> Result<Addr<A::Msg>, SpawnError> {
        let link = self.children.link(|| Arc::clone(&self.cell) as Arc<dyn ActorControl>);
        let child = spawn(&self.system, placement, options, factory, Some(link))?;
        self.children.insert(child.id(), Arc::clone(&child.0) as Arc<dyn ActorControl>);
        Ok(child)
    }
}

/// Id of the next actor. It is unique in the process, because addresses and registries cross systems.
static NEXT_ID: AtomicU64 = AtomicU64::new(0);

/// Spawns an actor. With a link it becomes the child of the linked parent.
///
/// # Errors
///
/// There is no such shard, it is stopping, or too many actors wait to be started there.
pub(crate) fn spawn<A: Actor>(
    system: &Arc<SystemShared>,
    placement: Placement,
    options: SpawnOptions,
    factory: impl FnMut() -> A + Send + 'static,
    parent: Option<Arc<ParentLink>>,
) -> Result<Addr<A::Msg>, SpawnError> {
    // A draining parent may need a new child for its last messages. It waits for that child, and its shard
    // waits for it.
    let latest_phase = if parent.is_some() { Phase::Drain } else { Phase::Running };
    let shard = choose_shard(system, placement, latest_phase)?;
    let mailbox = Mailbox::new(options.mailbox, Arc::clone(&system.counters.messages_dropped));
    system.counters.started.fetch_add(1, Ordering::Relaxed);
    let id = ActorId(NEXT_ID.fetch_add(1, Ordering::Relaxed));
    let cell = ActorCell::new(id, &options.name, mailbox, Arc::clone(shard));
    let address = Addr::new(&cell);
    let guard = ExitGuard::new(cell, Arc::clone(system), shard.register_actor(), parent);
    let start = move |local: &Local| {
        let wakeable = Arc::clone(&guard.cell().wakeable);
        local.spawn_with(wakeable, supervise(guard, options, factory, local.clone()));
    };
    if let Some(local) = Local::of(shard) {
        start(&local);
        return Ok(address);
    }
    let call = move || {
        if let Some(local) = Local::current() {
            start(&local);
        }
    };
    match shard.post_call(Box::new(call)) {
        Ok(()) => Ok(address),
        Err(error) if error.is_full() => Err(SpawnError::Full),
        Err(_) => Err(SpawnError::Stopped),
    }
}

/// Chooses the shard for an actor. Fails if its phase, or that of every shard, is beyond `latest_phase`.
fn choose_shard(
    system: &SystemShared,
    placement: Placement,
    latest_phase: Phase,
) -> Result<&Arc<Remote>, SpawnError> {
    let shards = &system.group.shards;
    let chosen = match placement {
        Placement::Shard(shard) => {
            shards.get(shard).ok_or(SpawnError::NoSuchShard { shard, shards: shards.len() })?
        }
        Placement::LeastLoaded => {
            let open = shards.iter().filter(|shard| shard.is_open(latest_phase));
            open.min_by_key(|shard| shard.actors()).ok_or(SpawnError::Stopped)?
        }
    };
    if chosen.is_open(latest_phase) { Ok(chosen) } else { Err(SpawnError::Stopped) }
}
