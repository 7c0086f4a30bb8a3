//! Parents and children: who is told what, and who waits for whom.

use std::{
    collections::BTreeMap,
    fmt,
    future::poll_fn,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use super::exit::{ActorId, ChildExit, RestartDecision};
use crate::{
    future::{First, race},
    shard::Local,
    stop::Phase,
};

/// How long a cancelled child may take to be gone. Longer, and its thread is held by something.
const CANCEL_GRACE: Duration = Duration::from_secs(1);

/// An actor as its kin sees it, whatever it is told.
pub(crate) trait Kin: Send + Sync {
    /// Has it end: it drains or drops what waits.
    fn end(&self, how: Phase);
    /// Drops it where it stands.
    fn cancel(&self);
    /// Has it hear what a child's tie says.
    fn hear(&self, tie: Arc<Tie>);
}

/// The children of one life of a parent.
struct Family {
    parent: Arc<dyn Kin>,
    living: AtomicUsize,
}

/// What a child holds of its parent. What the parent has not heard yet is in it: one word, however much happens.
pub(crate) struct Tie {
    family: Arc<Family>,
    news: Mutex<Option<ChildExit>>,
}

impl Tie {
    fn new(family: Arc<Family>) -> Arc<Self> {
        Arc::new(Self { family, news: Mutex::new(None) })
    }

    /// Counts the child, until it tells that it is gone.
    pub(crate) fn begin(&self) {
        self.family.living.fetch_add(1, Ordering::SeqCst);
    }

    /// Tells the parent. After anything but a restart the child is gone.
    pub(crate) fn tell(self: &Arc<Self>, mut end: ChildExit) {
        let is_gone = !matches!(end.decision, RestartDecision::Restart { .. });
        if is_gone {
            self.family.living.fetch_sub(1, Ordering::SeqCst);
        }
        let mut news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = news.take();
        end.failures += waits.as_ref().map_or(0, |earlier| earlier.failures);
        *news = Some(end);
        drop(news);
        // A parent that waits for the end of its children hears nothing else: it must be woken by that, news or not.
        if is_gone || waits.is_none() {
            self.family.parent.hear(Arc::clone(self));
        }
    }

    pub(crate) fn take(&self) -> Option<ChildExit> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A parent's side: its children, told to end when it is dropped.
pub(crate) struct Nursery {
    family: Option<Arc<Family>>,
    children: BTreeMap<ActorId, Arc<dyn Kin>>,
}

impl Nursery {
    pub(crate) fn new() -> Self {
        Self { family: None, children: BTreeMap::new() }
    }

    /// Makes the tie of a child to come.
    pub(crate) fn tie(&mut self, parent: impl FnOnce() -> Arc<dyn Kin>) -> Arc<Tie> {
        let new = || Arc::new(Family { parent: parent(), living: AtomicUsize::new(0) });
        Tie::new(Arc::clone(self.family.get_or_insert_with(new)))
    }

    pub(crate) fn adopt(&mut self, id: ActorId, child: Arc<dyn Kin>) {
        self.children.insert(id, child);
    }

    /// Takes what a tie says. `None`: it is of an earlier life, or was heard.
    pub(crate) fn hear(&mut self, tie: &Tie) -> Option<ChildExit> {
        let end = tie.take()?;
        if !self.children.contains_key(&end.exit.id) {
            return None;
        }
        if !matches!(end.decision, RestartDecision::Restart { .. }) {
            self.children.remove(&end.exit.id);
        }
        Some(end)
    }

    pub(crate) fn len(&self) -> usize {
        self.children.len()
    }

    /// Has all children end and waits until they have; after `grace` they are dropped where they stand.
    pub(crate) async fn end(&mut self, how: Phase, grace: Duration, local: &Local) {
        let Some(family) = self.family.take() else { return };
        let children = std::mem::take(&mut self.children);
        children.values().for_each(|child| child.end(how));
        if family.empties_within(grace, local).await {
            return;
        }
        tracing::warn!(shard = local.shard(), ?grace, "children do not end in time: they are dropped");
        children.values().for_each(|child| child.cancel());
        if !family.empties_within(CANCEL_GRACE, local).await {
            tracing::error!(shard = local.shard(), "children hold their threads: they are left behind");
        }
    }
}

impl Drop for Nursery {
    fn drop(&mut self) {
        self.children.values().for_each(|child| child.end(Phase::Discard));
    }
}

impl fmt::Debug for Nursery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nursery").field("children", &self.children.keys()).finish()
    }
}

impl Family {
    /// Says whether no child is left before `grace` is over.
    async fn empties_within(&self, grace: Duration, local: &Local) -> bool {
        // The last child wakes its parent: it has something to hear.
        let empty =
            poll_fn(
                |_| if self.living.load(Ordering::SeqCst) == 0 { Poll::Ready(()) } else { Poll::Pending },
            );
        matches!(race(empty, local.sleep(grace)).await, First::Left(()))
    }
}
