//! What an actor sees of the world while it runs.

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
    cell::Post,
    children::Nursery,
    exit::{ActorExit, ActorId, ChildExit},
    registry::Registry,
    shared::SystemShared,
    signal::Notice,
    timers::{Agenda, TimerId},
    watch::Watch,
};
use crate::{
    future::{Payload, contain},
    mailbox::Letter,
    shard::{Local, Sleep},
    stop::Phase,
};

/// Messages an actor handles in a row before others on its shard get their turn.
const MESSAGES_IN_A_ROW: u32 = 64;

/// An actor's own view: its address, its shard, its timers, its children, whom it watches.
///
/// Timers, watches and children belong to one life of the actor: a restart ends them, and
/// [`started`](crate::Actor::started) makes those of the next.
pub struct Context<M> {
    pub(crate) post: Arc<Post<M>>,
    local: Local,
    pub(crate) system: Arc<SystemShared>,
    /// A child is told to end by its parent, not by its system: its parent may still have something for it.
    is_child: bool,
    restarts: u64,
    in_a_row: u32,
    agenda: Agenda<M>,
    pub(crate) nursery: Nursery,
    /// Whom it watches, so that each is watched once. The number names the watch.
    watches: HashMap<ActorId, (u64, Box<dyn Any>)>,
    watch_serial: u64,
}

/// What an actor takes out of its mailbox, or off its agenda.
pub(crate) enum Incoming<M> {
    Message(M),
    Child(ChildExit),
    /// The closure that makes a message panicked.
    Panic(Payload),
}

impl<M: Send + 'static> Context<M> {
    pub(crate) fn new(post: Arc<Post<M>>, local: Local, system: Arc<SystemShared>, is_child: bool) -> Self {
        Self {
            post,
            local,
            system,
            is_child,
            restarts: 0,
            in_a_row: 0,
            agenda: Agenda::new(),
            nursery: Nursery::new(),
            watches: HashMap::new(),
            watch_serial: 0,
        }
    }

    /// Returns an address of this actor. As long as it is kept the actor does not end for lack of addresses.
    pub fn address(&self) -> Addr<M> {
        Addr::new(&self.post)
    }

    /// Returns what names this actor in its system.
    pub fn id(&self) -> ActorId {
        self.post.id
    }

    /// Returns the shard this actor lives on.
    pub fn local(&self) -> &Local {
        &self.local
    }

    /// Returns the index of the shard this actor lives on.
    pub fn shard(&self) -> usize {
        self.local.shard()
    }

    /// Returns the name this actor was spawned with.
    pub fn name(&self) -> &str {
        &self.post.name
    }

    /// Returns how many times this actor was built anew.
    pub fn restarts(&self) -> u64 {
        self.restarts
    }

    /// Returns the system's registry.
    pub fn registry(&self) -> &Registry {
        &self.system.registry
    }

    /// Returns a future that ends after `duration`, by the shard's timers.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        self.local.sleep(duration)
    }

    /// Has this actor handle `message` after `delay`. It takes no room in the mailbox.
    ///
    /// Timers come before the messages that wait; none fires once the actor was told to end.
    pub fn send_after(&mut self, delay: Duration, message: M) -> TimerId {
        let at = self.local.sleep(delay).deadline();
        self.agenda.once(at, message)
    }

    /// Has this actor handle what `make` makes, every `period`; the first time after one.
    ///
    /// Ticks that were missed are not made up for; the rhythm stays. A period below a millisecond counts as one. A
    /// panic in `make` is the actor's.
    pub fn interval(&mut self, period: Duration, make: impl FnMut() -> M + 'static) -> TimerId {
        let now = self.local.sleep(Duration::ZERO).deadline();
        self.agenda.every(now, period, Box::new(make))
    }

    /// Takes a timer away. False: it has fired for the last time, or was taken away before.
    pub fn cancel(&mut self, timer: TimerId) -> bool {
        self.agenda.cancel(timer)
    }

    /// Has this actor handle what `message` makes when the other has ended for good, or has ended already.
    ///
    /// It comes after everything the other told this actor before its end, and takes no room in the mailbox. An actor
    /// is watched once: watching it again replaces the message. A panic in `message` is this actor's.
    pub fn watch<N: Send + 'static>(
        &mut self,
        other: &Addr<N>,
        message: impl FnOnce(ActorExit) -> M + Send + 'static,
    ) {
        self.unwatch(other);
        self.watch_serial += 1;
        let (watch, me) = (self.watch_serial, Arc::clone(&self.post));
        let tell = move |ended: &ActorExit| {
            me.notify(Notice::Watched { watch, ended: ended.clone(), message: Box::new(message) });
        };
        let guard = Watch::new(Arc::clone(&other.0), tell);
        self.watches.insert(other.id(), (watch, Box::new(guard)));
    }

    /// Watches the other actor no more. False: it was not watched, or its end was told.
    pub fn unwatch<N>(&mut self, other: &Addr<N>) -> bool {
        self.watches.remove(&other.id()).is_some()
    }

    /// Returns how many children live, as far as this actor has heard.
    pub fn children(&self) -> usize {
        self.nursery.len()
    }

    pub(crate) fn count_restart(&mut self) {
        self.restarts += 1;
    }

    /// Says how far this actor shall end.
    pub(crate) fn phase(&self) -> Phase {
        let system = self.post.shard.phase();
        let system = if self.is_child && system == Phase::Drain { Phase::Running } else { system };
        system.max(self.post.told())
    }

    /// Waits until this actor is told to end.
    pub(crate) async fn stop_begins(&self) {
        poll_fn(|_| if self.phase() == Phase::Running { Poll::Pending } else { Poll::Ready(()) }).await;
    }

    /// Ends what belongs to one life.
    pub(crate) async fn end_life(&mut self, how: Phase, grace: Duration) {
        self.agenda.clear();
        self.watches.clear();
        self.nursery.end(how, grace, &self.local).await;
    }

    /// Waits for the next message or event. `None`: there will be none, or they are not to be handled.
    pub(crate) async fn next(&mut self) -> Option<Incoming<M>> {
        poll_fn(|cx| {
            if self.in_a_row >= MESSAGES_IN_A_ROW {
                self.in_a_row = 0;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let next = self.poll_next(cx);
            self.in_a_row = if next.is_pending() { 0 } else { self.in_a_row + 1 };
            next
        })
        .await
    }

    fn poll_next(&mut self, cx: &mut task::Context<'_>) -> Poll<Option<Incoming<M>>> {
        // Every sender wakes the guest itself, so no waker is left anywhere.
        match self.phase() {
            Phase::Running => self.poll_running(cx),
            Phase::Drain => Poll::Ready(self.drain()),
            Phase::Discard | Phase::Abort => Poll::Ready(None),
        }
    }

    fn poll_running(&mut self, cx: &mut task::Context<'_>) -> Poll<Option<Incoming<M>>> {
        if let Some(message) = self.agenda.due(self.local.now()) {
            return Poll::Ready(Some(message.map_or_else(Incoming::Panic, Incoming::Message)));
        }
        // Read before the mailbox: whoever dropped the last address had told what it had to tell.
        let forgotten = self.post.addresses.are_none();
        match self.take() {
            Some(incoming) => Poll::Ready(Some(incoming)),
            None if forgotten => Poll::Ready(None),
            None => {
                self.agenda.arm(&self.local, cx);
                Poll::Pending
            }
        }
    }

    fn drain(&mut self) -> Option<Incoming<M>> {
        self.post.mailbox.close();
        let incoming = self.take()?;
        if matches!(incoming, Incoming::Message(_)) {
            self.system.counters.drained.fetch_add(1, Ordering::Relaxed);
        }
        Some(incoming)
    }

    fn take(&mut self) -> Option<Incoming<M>> {
        loop {
            match self.post.take(&self.local)? {
                Letter::Message(message) => return Some(Incoming::Message(message)),
                Letter::Notice(notice) => {
                    if let Some(incoming) = self.hear(notice) {
                        return Some(incoming);
                    }
                }
            }
        }
    }

    /// Makes what is to be handled of a notice. `None`: it is of an earlier life, or of no interest any more.
    fn hear(&mut self, notice: Notice<M>) -> Option<Incoming<M>> {
        match notice {
            Notice::Child(tie) => self.nursery.hear(&tie).map(Incoming::Child),
            Notice::Watched { watch, ended, message } => {
                let is_wanted = self.watches.get(&ended.id).is_some_and(|(wanted, _)| *wanted == watch);
                if !is_wanted {
                    return None;
                }
                self.watches.remove(&ended.id);
                Some(contain(|| message(ended)).map_or_else(Incoming::Panic, Incoming::Message))
            }
        }
    }
}

impl<M> fmt::Debug for Context<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("name", &self.post.name)
            .field("local", &self.local)
            .finish_non_exhaustive()
    }
}
