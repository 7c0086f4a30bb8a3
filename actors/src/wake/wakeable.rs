//! Wakers that reach a shard through its doorbell, never through the executor that hosts it.

use std::{cell::RefCell, rc::Rc, sync::Arc, task::Wake};

use super::queue::WakeQueue;
use crate::sync::{AtomicBool, AtomicU64, Ordering, fence};

thread_local! {
    static HERE: RefCell<Option<Here>> = const { RefCell::new(None) };
}

/// The shard whose thread this is: what is woken here needs no doorbell.
#[derive(Clone)]
pub(crate) struct Here {
    pub(crate) line: Arc<WakeQueue<Wakeable>>,
    /// Has the executor run a guest.
    pub(crate) call: Rc<dyn Fn(GuestKey)>,
}

impl Here {
    pub(crate) fn set(here: Option<Self>) {
        HERE.with(|current| *current.borrow_mut() = here);
    }

    /// Returns the way to run guests if this thread serves `line`.
    fn caller(line: &Arc<WakeQueue<Wakeable>>) -> Option<Rc<dyn Fn(GuestKey)>> {
        let caller = |here: &RefCell<Option<Self>>| {
            let here = here.borrow();
            here.as_ref().filter(|here| Arc::ptr_eq(&here.line, line)).map(|here| Rc::clone(&here.call))
        };
        // A thread that ends serves nobody.
        HERE.try_with(caller).ok().flatten()
    }
}

/// Names a guest of one shard: its slot, and how often that slot was used before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GuestKey {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl GuestKey {
    fn pack(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.slot)
    }

    fn unpack(packed: u64) -> Self {
        Self { slot: (packed & 0xffff_ffff) as u32, generation: (packed >> 32) as u32 }
    }
}

/// Whom a wake is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The driver, with its own token.
    Driver(u64),
    /// A hosted future; which one is known once it is attached.
    Guest,
}

/// Something on a shard that can be woken from anywhere. Waking it again before it ran does nothing.
#[derive(Debug)]
pub(crate) struct Wakeable {
    line: Arc<WakeQueue<Wakeable>>,
    target: Target,
    /// The guest's key, packed, or `UNATTACHED`.
    key: AtomicU64,
    scheduled: AtomicBool,
    cancelled: AtomicBool,
}

/// No key packs to this: there are not 2³² guests.
const UNATTACHED: u64 = u64::MAX;

impl Wakeable {
    pub(crate) fn new(line: Arc<WakeQueue<Wakeable>>, target: Target) -> Arc<Self> {
        let key = AtomicU64::new(UNATTACHED);
        Arc::new(Self {
            line,
            target,
            key,
            scheduled: AtomicBool::new(false),
            cancelled: AtomicBool::new(false),
        })
    }

    pub(crate) fn target(&self) -> Target {
        self.target
    }

    pub(crate) fn attach(&self, key: GuestKey) {
        self.key.store(key.pack(), Ordering::Relaxed);
    }

    pub(crate) fn key(&self) -> Option<GuestKey> {
        match self.key.load(Ordering::Relaxed) {
            UNATTACHED => None,
            packed => Some(GuestKey::unpack(packed)),
        }
    }

    /// Lets the next wake through. Called before what was woken looks at its queues.
    pub(crate) fn clear(&self) {
        self.scheduled.swap(false, Ordering::AcqRel);
        // See `wake_after_fence`.
        fence(Ordering::SeqCst);
    }

    /// Wakes, after a push and a full fence: either the look at the queues after [`clear`](Self::clear) finds the
    /// push, or this finds the clearing. So what is still scheduled need not be touched.
    pub(crate) fn wake_after_fence(self: &Arc<Self>) {
        if !self.scheduled.load(Ordering::Relaxed) {
            self.wake_by_ref();
        }
    }

    pub(crate) fn cancel(self: &Arc<Self>) {
        self.cancelled.store(true, Ordering::Release);
        self.wake_by_ref();
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }
}

impl Wake for Wakeable {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.target == Target::Guest
            && let Some(call) = Here::caller(&self.line)
        {
            // Not attached yet: it will run, and look.
            return self.key().into_iter().for_each(|key| call(key));
        }
        if !self.scheduled.swap(true, Ordering::AcqRel) {
            self.line.push(Arc::clone(self));
        }
    }
}
