//! How actors come to live: on which shard, with what, as whose child.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::{
    address::Addr,
    behavior::Actor,
    cell::Post,
    children::{Kin, Tie},
    context::Context,
    exit::ActorId,
    restart::SpawnOptions,
    shared::SystemShared,
    supervisor::{Lease, supervise},
};
use crate::{
    error::SpawnError,
    mailbox::Mailbox,
    shard::{Local, Remote},
    stop::Phase,
};

/// Says on which shard an actor lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Placement {
    /// On the shard of this index.
    Shard(usize),
    /// On the shard with the fewest actors.
    #[default]
    LeastLoaded,
}

impl<M: Send + 'static> Context<M> {
    /// Spawns a child on this actor's shard: see [`spawn_on`](Self::spawn_on).
    ///
    /// # Errors
    ///
    /// The shard is stopping.
    pub fn spawn<A: Actor>(
        &mut self,
        options: SpawnOptions,
        factory: impl FnMut() -> A + Send + 'static,
    ) -> Result<Addr<A::Msg>, SpawnError> {
        self.spawn_on(Placement::Shard(self.shard()), options, factory)
    }

    /// Spawns a child: an actor that ends with this life of its parent.
    ///
    /// When a life of the child ends the parent hears of it: [`child_exited`](Actor::child_exited). When this actor ends,
    /// or is about to be built anew, its children are told to end first, and are waited for before
    /// [`stopped`](Actor::stopped) runs: they drain what waits if this actor ended in order, and drop it if it failed.
    /// Those that take longer than [`SpawnOptions::children_grace`] are dropped where they stand. When the system drains, a
    /// child goes on until its parent has handled its last message.
    ///
    /// # Errors
    ///
    /// There is no such shard, it is stopping, or it does not keep up with starting actors.
    pub fn spawn_on<A: Actor>(
        &mut self,
        place: Placement,
        options: SpawnOptions,
        factory: impl FnMut() -> A + Send + 'static,
    ) -> Result<Addr<A::Msg>, SpawnError> {
        let tie = self.nursery.tie(|| Arc::clone(&self.post) as Arc<dyn Kin>);
        let child = spawn(&self.system, place, options, factory, Some(tie))?;
        self.nursery.adopt(child.id(), Arc::clone(&child.0) as Arc<dyn Kin>);
        Ok(child)
    }
}

/// The next actor's id: one of its own in the whole process, since addresses and registries cross systems.
static IDS: AtomicU64 = AtomicU64::new(0);

pub(crate) fn spawn<A: Actor>(
    system: &Arc<SystemShared>,
    place: Placement,
    options: SpawnOptions,
    factory: impl FnMut() -> A + Send + 'static,
    tie: Option<Arc<Tie>>,
) -> Result<Addr<A::Msg>, SpawnError> {
    // A parent that drains may need a child for what is left to do, and waits for it: so shards do.
    let latest = if tie.is_some() { Phase::Drain } else { Phase::Running };
    let shard = choose(system, place, latest)?;
    let mailbox = Mailbox::new(options.mailbox, Arc::clone(&system.counters.refused));
    system.counters.started.fetch_add(1, Ordering::Relaxed);
    let id = ActorId(IDS.fetch_add(1, Ordering::Relaxed));
    let post = Post::new(id, &options.name, mailbox, Arc::clone(shard));
    let address = Addr::new(&post);
    let lease = Lease::new(post, Arc::clone(system), shard.settle(), tie);
    let begin = move |local: &Local| {
        let wakeable = Arc::clone(&lease.post().wakeable);
        local.attach(wakeable, supervise(lease, options, factory, local.clone()));
    };
    if let Some(local) = Local::of(shard) {
        begin(&local);
        return Ok(address);
    }
    let call = move || {
        if let Some(local) = Local::current() {
            begin(&local);
        }
    };
    match shard.run(Box::new(call)) {
        Ok(()) => Ok(address),
        Err(refused) if refused.is_full() => Err(SpawnError::Full),
        Err(_) => Err(SpawnError::Stopped),
    }
}

/// Finds a shard that takes actors. `latest` is the phase of a stop up to which it does.
fn choose(system: &SystemShared, place: Placement, latest: Phase) -> Result<&Arc<Remote>, SpawnError> {
    let shards = &system.group.shards;
    let chosen = match place {
        Placement::Shard(shard) => {
            shards.get(shard).ok_or(SpawnError::NoSuchShard { shard, shards: shards.len() })?
        }
        Placement::LeastLoaded => {
            let open = shards.iter().filter(|shard| shard.is_open(latest));
            open.min_by_key(|shard| shard.actors()).ok_or(SpawnError::Stopped)?
        }
    };
    if chosen.is_open(latest) { Ok(chosen) } else { Err(SpawnError::Stopped) }
}
