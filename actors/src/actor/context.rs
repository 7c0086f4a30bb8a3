//! The context of a running actor.

use std::{
    any::Any,
    collections::HashMap,
    fmt,
    future::poll_fn,
    sync::{Arc, atomic::Ordering},
    task::{self, Poll},
    time::Duration,
};

use super::{
    address::Addr,
    cell::ActorCell,
    children::Children,
    exit::{ActorExit, ActorId, ChildExit},
    registry::Registry,
    shared::SystemShared,
    signal::Signal,
    timers::{ActorTimers, TimerId},
    watch::WatchGuard,
};
use crate::{
    future::{PanicPayload, catch_panic},
    mailbox::Envelope,
    shard::{Local, Sleep},
    stop::Phase,
};

/// Maximum number of messages that an actor handles in a row before it yields to the other tasks of its
/// shard.
const MESSAGE_BUDGET: u32 = 64;

/// Context of a running actor: its address, shard, timers, children and watches.
///
/// Timers, watches and children belong to one run of the actor. A restart ends them, and
/// [`started`](crate::Actor::started) creates new ones.
pub struct Context<M> {
    pub(super) cell: Arc<ActorCell<M>>,
    local: Local,
    pub(super) system: Arc<SystemShared>,
    /// `true` for a child actor. A draining system does not stop a child: its parent may still need it, and
    /// stops it later.
    is_child: bool,
    restarts: u64,
    /// Messages handled since the actor last yielded to other tasks.
    handled_in_a_row: u32,
    timers: ActorTimers<M>,
    pub(super) children: Children,
    /// Watched actors, each with the number of its watch and the guard that removes the watch.
    watches: HashMap<ActorId, (u64, Box<dyn Any>)>,
    last_watch: u64,
}

/// Input that an actor handles next.
pub(crate) enum Incoming<M> {
    Message(M),
    Child(ChildExit),
    /// The closure that makes the message of an interval or a watch has panicked.
    Panic(PanicPayload),
}

impl<M: Send + 'static> Context<M> {
    pub(crate) fn new(
        cell: Arc<ActorCell<M>>,
        local: Local,
        system: Arc<SystemShared>,
        is_child: bool,
    ) -> Self {
        Self {
            cell,
            local,
            system,
            is_child,
            restarts: 0,
            handled_in_a_row: 0,
            timers: ActorTimers::new(),
            children: Children::new(),
            watches: HashMap::new(),
            last_watch: 0,
        }
    }

    /// Returns an address of this actor. As long as it exists, the actor does not exit for lack of addresses.
    pub fn address(&self) -> Addr<M> {
        Addr::new(&self.cell)
    }

    /// Returns the id of this actor.
    pub fn id(&self) -> ActorId {
        self.cell.id
    }

    /// Returns the shard of this actor.
    pub fn local(&self) -> &Local {
        &self.local
    }

    /// Returns the index of this actor's shard.
    pub fn shard(&self) -> usize {
        self.local.shard()
    }

    /// Returns the name that this actor was spawned with.
    pub fn name(&self) -> &str {
        &self.cell.name
    }

    /// Returns how often this actor was restarted.
    pub fn restarts(&self) -> u64 {
        self.restarts
    }

    /// Returns the registry of the system.
    pub fn registry(&self) -> &Registry {
        &self.system.registry
    }

    /// Returns a future that ends after `duration`. It uses the timers of the shard.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        self.local.sleep(duration)
    }

    /// Makes this actor handle `message` after `delay`. The message occupies no slot in the mailbox.
    ///
    /// Expired timers are handled before waiting messages. No timer fires once the stop of the actor has
    /// begun.
    pub fn send_after(&mut self, delay: Duration, message: M) -> TimerId {
        let deadline = self.local.sleep(delay).deadline();
        self.timers.add_once(deadline, message)
    }

    /// Makes this actor handle the result of `make` after each `period`.
    ///
    /// Missed ticks are skipped, and the others stay on the original schedule. The shortest period is a
    /// millisecond. A panic in `make` counts as a panic of this actor.
    pub fn interval(&mut self, period: Duration, make: impl FnMut() -> M + 'static) -> TimerId {
        let now = self.local.sleep(Duration::ZERO).deadline();
        self.timers.add_interval(now, period, Box::new(make))
    }

    /// Removes a timer. Returns `false` if it has fired for the last time or was removed before.
    pub fn cancel(&mut self, timer: TimerId) -> bool {
        self.timers.cancel(timer)
    }

    /// Makes this actor handle the result of `message` when `other` exits, or soon if it has exited already.
    ///
    /// The message arrives after all messages that `other` sent to this actor before its exit. It occupies no
    /// slot in the mailbox. Watching an actor again replaces `message`. A panic in `message` counts as a
    /// panic of this actor.
    pub fn watch<N: Send + 'static>(
        &mut self,
        other: &Addr<N>,
        message: impl FnOnce(ActorExit) -> M + Send + 'static,
    ) {
        self.unwatch(other);
        self.last_watch += 1;
        let (watch, cell) = (self.last_watch, Arc::clone(&self.cell));
        let watcher = move |exit: &ActorExit| {
            cell.signal(Signal::Watched { watch, exit: exit.clone(), message: Box::new(message) });
        };
        let guard = WatchGuard::new(Arc::clone(&other.0), watcher);
        self.watches.insert(other.id(), (watch, Box::new(guard)));
    }

    /// Removes the watch on `other`. Returns `false` if there is none, or if its exit was handled already.
    pub fn unwatch<N>(&mut self, other: &Addr<N>) -> bool {
        self.watches.remove(&other.id()).is_some()
    }

    /// Returns the number of children whose exit this actor has not handled yet.
    pub fn children(&self) -> usize {
        self.children.len()
    }

    pub(crate) fn count_restart(&mut self) {
        self.restarts += 1;
    }

    /// Returns the phase of this actor's stop: the later one of its own and the system's. A child ignores
    /// that the system drains.
    pub(crate) fn phase(&self) -> Phase {
        let system = self.cell.shard.phase();
        let system = if self.is_child && system == Phase::Drain { Phase::Running } else { system };
        system.max(self.cell.stop_phase())
    }

    /// Waits until the stop of this actor begins.
    pub(crate) async fn stop_requested(&self) {
        // A stop wakes the task of the actor, so no waker is stored here.
        poll_fn(|_| if self.phase() == Phase::Running { Poll::Pending } else { Poll::Ready(()) }).await;
    }

    /// Ends the timers, the watches and the children of this run.
    pub(crate) async fn end_run(&mut self, phase: Phase, grace: Duration) {
        self.timers.clear();
        self.watches.clear();
        self.children.stop(phase, grace, &self.local).await;
    }

    /// Waits for the next input. Returns `None` if this run handles no more: a stop discards messages or has
    /// drained them, or the mailbox is empty and the actor has no address.
    pub(crate) async fn next(&mut self) -> Option<Incoming<M>> {
        poll_fn(|cx| {
            if self.handled_in_a_row >= MESSAGE_BUDGET {
                self.handled_in_a_row = 0;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let next = self.poll_next(cx);
            self.handled_in_a_row = if next.is_pending() { 0 } else { self.handled_in_a_row + 1 };
            next
        })
        .await
    }

    fn poll_next(&mut self, cx: &mut task::Context<'_>) -> Poll<Option<Incoming<M>>> {
        // Every sender wakes the task of the actor, so no waker is stored here.
        match self.phase() {
            Phase::Running => self.poll_running(cx),
            Phase::Drain => Poll::Ready(self.drain()),
            Phase::Discard | Phase::Abort => Poll::Ready(None),
        }
    }

    fn poll_running(&mut self, cx: &mut task::Context<'_>) -> Poll<Option<Incoming<M>>> {
        if let Some(message) = self.timers.pop_expired(self.local.now()) {
            return Poll::Ready(Some(message.map_or_else(Incoming::Panic, Incoming::Message)));
        }
        // Read before the mailbox: the sender that dropped the last address had sent its messages before.
        let unreferenced = self.cell.addresses.is_zero();
        match self.receive() {
            Some(incoming) => Poll::Ready(Some(incoming)),
            None if unreferenced => Poll::Ready(None),
            None => {
                self.timers.arm(&self.local, cx);
                Poll::Pending
            }
        }
    }

    fn drain(&mut self) -> Option<Incoming<M>> {
        self.cell.mailbox.close();
        let incoming = self.receive()?;
        if matches!(incoming, Incoming::Message(_)) {
            self.system.counters.messages_drained.fetch_add(1, Ordering::Relaxed);
        }
        Some(incoming)
    }

    /// Takes the next input from the mailbox, past outdated signals. Returns `None` if the mailbox is empty.
    fn receive(&mut self) -> Option<Incoming<M>> {
        loop {
            match self.cell.receive(&self.local)? {
                Envelope::Message(message) => return Some(Incoming::Message(message)),
                Envelope::Signal(signal) => {
                    if let Some(incoming) = self.accept_signal(signal) {
                        return Some(incoming);
                    }
                }
            }
        }
    }

    /// Turns a signal into an input. Returns `None` for a signal of an earlier run or of a removed watch.
    fn accept_signal(&mut self, signal: Signal<M>) -> Option<Incoming<M>> {
        match signal {
            Signal::Child(link) => self.children.take_report(&link).map(Incoming::Child),
            Signal::Watched { watch, exit, message } => {
                let is_current = self.watches.get(&exit.id).is_some_and(|(current, _)| *current == watch);
                if !is_current {
                    return None;
                }
                self.watches.remove(&exit.id);
                Some(catch_panic(|| message(exit)).map_or_else(Incoming::Panic, Incoming::Message))
            }
        }
    }
}

impl<M> fmt::Debug for Context<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("name", &self.cell.name)
            .field("local", &self.local)
            .finish_non_exhaustive()
    }
}
