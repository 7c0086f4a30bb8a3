//! Parents and children: what a child reports to its parent, and how a parent stops its children.

use std::{
    collections::BTreeMap,
    fmt,
    future::poll_fn,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use super::exit::{ActorId, ChildExit};
use crate::{
    future::{Either, race},
    shard::Local,
    stop::Phase,
};

/// Time that cancelled children get to exit. If they take longer, something blocks their threads.
const CANCEL_GRACE: Duration = Duration::from_secs(1);

/// Control over an actor, whatever its message type.
pub(crate) trait ActorControl: Send + Sync {
    /// Makes the actor exit. `phase` decides whether it handles or drops its waiting messages.
    fn stop(&self, phase: Phase);
    /// Asks the actor's shard to drop the actor without an orderly end. Does not wait for that.
    fn cancel(&self);
    /// Sends the actor a signal about the child with this link.
    fn signal_child(&self, link: Arc<ParentLink>);
}

/// Parent of one or more children, and the number of living ones. It belongs to one run of the parent.
struct Family {
    parent: Arc<dyn ActorControl>,
    living: AtomicUsize,
}

/// Link from a child to its parent. It holds the report that the parent has not received yet.
///
/// A later report is merged into an earlier one, so there is at most one, however often the child fails.
pub(crate) struct ParentLink {
    family: Arc<Family>,
    report: Mutex<Option<ChildExit>>,
}

impl ParentLink {
    fn new(family: Arc<Family>) -> Arc<Self> {
        Arc::new(Self { family, report: Mutex::new(None) })
    }

    /// Counts the child as living, until it reports its exit.
    pub(crate) fn begin(&self) {
        self.family.living.fetch_add(1, Ordering::SeqCst);
    }

    /// Reports the end of a run to the parent. Unless a restart follows, the child counts as living no more.
    pub(crate) fn report(self: &Arc<Self>, mut exit: ChildExit) {
        let has_exited = !exit.decision.is_restart();
        if has_exited {
            self.family.living.fetch_sub(1, Ordering::SeqCst);
        }
        let mut report = self.lock();
        let unread = report.take();
        exit.failures += unread.as_ref().map_or(0, |earlier| earlier.failures);
        *report = Some(exit);
        drop(report);
        // An unread report has been signalled already. But a parent that waits for its children to exit
        // handles no signals: only a wake makes it count the living children again.
        if has_exited || unread.is_none() {
            self.family.parent.signal_child(Arc::clone(self));
        }
    }

    /// Takes the report that the parent has not received yet. Returns `None` if there is none.
    pub(crate) fn take_report(&self) -> Option<ChildExit> {
        self.lock().take()
    }

    fn lock(&self) -> MutexGuard<'_, Option<ChildExit>> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Children of one run of an actor. Dropping this stops them without waiting; they drop their waiting
/// messages.
pub(crate) struct Children {
    /// The link that all children share. `None` before the first child and after a stop.
    family: Option<Arc<Family>>,
    actors: BTreeMap<ActorId, Arc<dyn ActorControl>>,
}

impl Children {
    /// Creates an empty set of children.
    pub(crate) fn new() -> Self {
        Self { family: None, actors: BTreeMap::new() }
    }

    /// Creates the link for a child that is about to be spawned.
    pub(crate) fn link(&mut self, parent: impl FnOnce() -> Arc<dyn ActorControl>) -> Arc<ParentLink> {
        let new = || Arc::new(Family { parent: parent(), living: AtomicUsize::new(0) });
        ParentLink::new(Arc::clone(self.family.get_or_insert_with(new)))
    }

    /// Adds a child that was spawned.
    pub(crate) fn insert(&mut self, id: ActorId, child: Arc<dyn ActorControl>) {
        self.actors.insert(id, child);
    }

    /// Takes the report of a child. Returns `None` if it was taken already, or is about a child of an earlier
    /// run.
    pub(crate) fn take_report(&mut self, link: &ParentLink) -> Option<ChildExit> {
        let report = link.take_report()?;
        if !self.actors.contains_key(&report.exit.id) {
            return None;
        }
        if !report.decision.is_restart() {
            self.actors.remove(&report.exit.id);
        }
        Some(report)
    }

    /// Returns the number of children whose exit has not been received.
    pub(crate) fn len(&self) -> usize {
        self.actors.len()
    }

    /// Stops all children and waits for their exits. Children that live after `grace` are dropped without an
    /// orderly end. Children that block their thread for [`CANCEL_GRACE`] more are left behind.
    pub(crate) async fn stop(&mut self, phase: Phase, grace: Duration, local: &Local) {
        let Some(family) = self.family.take() else { return };
        let actors = std::mem::take(&mut self.actors);
        actors.values().for_each(|child| child.stop(phase));
        if family.exits_within(grace, local).await {
            return;
        }
        tracing::warn!(
            shard = local.shard(),
            ?grace,
            "child actors did not exit within their grace, dropping them"
        );
        actors.values().for_each(|child| child.cancel());
        if !family.exits_within(CANCEL_GRACE, local).await {
            tracing::error!(
                shard = local.shard(),
                "child actors still block their threads, leaving them behind"
            );
        }
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        self.actors.values().for_each(|child| child.stop(Phase::Discard));
    }
}

impl fmt::Debug for Children {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.actors.keys()).finish()
    }
}

impl Family {
    /// Waits until all children have exited. Returns `false` if some live after `grace`.
    async fn exits_within(&self, grace: Duration, local: &Local) -> bool {
        // The report of the last child wakes the parent, so no waker is stored here.
        let all_exited =
            poll_fn(
                |_| if self.living.load(Ordering::SeqCst) == 0 { Poll::Ready(()) } else { Poll::Pending },
            );
        matches!(race(all_exited, local.sleep(grace)).await, Either::Left(()))
    }
}
