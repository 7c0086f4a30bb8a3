//! The shard the calling thread belongs to.

use std::{
    cell::{Cell, RefCell, RefMut},
    fmt,
    future::Future,
    os::fd::{AsFd, BorrowedFd},
    rc::Rc,
    sync::Arc,
    task::Waker,
    time::{Duration, Instant},
};

use super::{
    key::Key,
    lag::Lag,
    outlet::{Outlet, Outlets},
    remote::Remote,
    sleep::Sleep,
    task::{self, Guests, TaskHandle},
    timers::Timers,
};
use crate::{
    host::Host,
    time::instant_after,
    wake::{GuestKey, Here, Target, Wakeable},
};

thread_local! {
    static CURRENT: RefCell<Option<Local>> = const { RefCell::new(None) };
}

/// A thread that was held longer looks once more before it waits; the look costs a system call.
const LONG_HOLD: Duration = Duration::from_millis(5);

struct Shard {
    remote: Arc<Remote>,
    host: Host,
    guests: Rc<RefCell<Guests>>,
    timers: Rc<RefCell<Timers>>,
    outlets: Rc<Outlets>,
    /// Opens the lanes of the actors that live here.
    key: RefCell<Key>,
    /// The shard's clock, read once a turn.
    now: Cell<Instant>,
    /// When the driver last looked what there is.
    resumed: Cell<Instant>,
    /// The earliest that what it found can have come.
    came: Cell<Instant>,
    /// The driver may be waiting and has not said that it came back.
    waiting: Cell<bool>,
    /// The driver said in this turn that it looked.
    looked: Cell<bool>,
    lag: Cell<Lag>,
    /// The smallest wait by `lag`.
    standing: Cell<Duration>,
    /// No more guests are taken.
    closing: Cell<bool>,
}

/// The shard the calling thread belongs to: spawns futures on it, makes its wakers, keeps its timers.
#[derive(Clone)]
pub struct Local(Rc<Shard>);

impl Local {
    pub(crate) fn new(remote: Arc<Remote>, host: Host, key: Key) -> Self {
        let now = Instant::now();
        Self(Rc::new(Shard {
            remote,
            host,
            guests: Rc::default(),
            timers: Rc::default(),
            outlets: Rc::default(),
            key: RefCell::new(key),
            now: Cell::new(now),
            resumed: Cell::new(now),
            came: Cell::new(now),
            waiting: Cell::new(false),
            looked: Cell::new(false),
            lag: Cell::new(Lag::new(now)),
            standing: Cell::new(Duration::ZERO),
            closing: Cell::new(false),
        }))
    }

    /// Returns the shard whose loop runs on this thread. `None` on any other thread.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
    }

    /// Returns the shard whose loop runs on this thread if it is this one.
    pub(crate) fn of(remote: &Arc<Remote>) -> Option<Self> {
        let ours = |current: &RefCell<Option<Self>>| {
            let current = current.borrow();
            current.as_ref().filter(|local| Arc::ptr_eq(&local.0.remote, remote)).cloned()
        };
        CURRENT.try_with(ours).ok().flatten()
    }

    pub(crate) fn set_current(local: Option<Self>) {
        Here::set(local.as_ref().map(|local| {
            let guests = Rc::clone(&local.0.guests);
            let call = move |key| call_guest(&guests, key);
            Here { line: Arc::clone(&local.0.remote.line), call: Rc::new(call) }
        }));
        CURRENT.with(|current| *current.borrow_mut() = local);
    }

    /// Returns the index of this shard in its system.
    pub fn shard(&self) -> usize {
        self.0.remote.index
    }

    /// Runs `future` on this shard until it ends. It need not be `Send`. A panic in it is contained and counted.
    ///
    /// Once the shard has begun to end, `future` is dropped at once.
    pub fn spawn(&self, future: impl Future<Output = ()> + 'static) -> TaskHandle {
        let wakeable = Wakeable::new(Arc::clone(&self.0.remote.line), Target::Guest);
        self.attach(Arc::clone(&wakeable), future);
        TaskHandle { wakeable }
    }

    /// Runs `future` as the guest that `wakeable`, made before, wakes.
    pub(crate) fn attach(&self, wakeable: Arc<Wakeable>, future: impl Future<Output = ()> + 'static) {
        if self.0.closing.get() {
            return;
        }
        let key = self.table().insert(Arc::clone(&wakeable));
        self.0.remote.stats.set_tasks(self.table().living());
        let (guests, remote) = (Rc::clone(&self.0.guests), Arc::clone(&self.0.remote));
        self.0.host.spawn_local(task::host(guests, remote, wakeable, key, future));
    }

    /// Makes a waker that has this shard's driver told [`woken(token)`](crate::Driver::woken).
    ///
    /// It may be kept, cloned and woken on any thread. Wakes between two turns arrive as one. Costs one allocation;
    /// clones cost none.
    pub fn waker(&self, token: u64) -> Waker {
        Waker::from(Wakeable::new(Arc::clone(&self.0.remote.line), Target::Driver(token)))
    }

    /// Makes an outlet for a subscriber that is the driver's, which is told [`filled(token)`](crate::Driver::filled) when
    /// something was put into it.
    pub fn outlet(&self, token: u64) -> Outlet {
        self.0.outlets.add(token)
    }

    /// Returns a future that ends at `at`. It belongs to this shard.
    pub fn sleep_until(&self, at: Instant) -> Sleep {
        Sleep::new(Rc::clone(&self.0.timers), at)
    }

    /// Returns a future that ends after `duration`, counted from this call. It belongs to this shard.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        self.sleep_until(instant_after(Instant::now(), duration))
    }

    /// Returns how many futures this shard hosts, actors included.
    pub fn tasks(&self) -> usize {
        self.table().living()
    }

    /// Returns the eventfd that is written when this shard sleeps and something was sent to it.
    ///
    /// A [`Driver`](crate::Driver) watches it in every wait, and only the driver reads it. It is in blocking mode:
    /// a read armed on a ring waits for the next write. One that polls first reads 8 bytes once for each time it
    /// was found readable, or watches edges and never reads.
    pub fn doorbell(&self) -> BorrowedFd<'_> {
        self.0.remote.line.bell.bell().as_fd()
    }

    /// Returns the shard's clock: read at the end of each turn, before a wait, and by [`record_poll`](Self::record_poll).
    pub fn now(&self) -> Instant {
        self.0.now.get()
    }

    /// Reads the clock, sets the shard's clock to it and returns it.
    ///
    /// A driver calls this once in each turn, right after it looked what there is, which is after the wait if there was
    /// one. What follows is time for which the thread is held.
    pub fn record_poll(&self) -> Instant {
        let now = Instant::now();
        let shard = &*self.0;
        if shard.waiting.replace(false) {
            // Nothing was there before the wait.
            shard.came.set(now);
        } else {
            // It may have come right after the driver looked the last time.
            let before = shard.resumed.get();
            shard.came.set(before);
            shard.remote.stats.count_held(now.saturating_duration_since(before));
            self.record_lag(now);
        }
        shard.now.set(now);
        shard.resumed.set(now);
        shard.looked.set(true);
        now
    }

    /// Notes that what is handled at `now` had to wait until then.
    ///
    /// The loop does so at the beginning of each turn. A driver that handles much in one does it in between too.
    pub fn record_lag(&self, now: Instant) {
        self.set_lag(now, now.saturating_duration_since(self.0.came.get()));
    }

    /// Returns the smallest time that work had to wait for this shard during the last quarter to half of a second.
    ///
    /// Zero while the shard finds time to wait for work. One slow turn does not show; what arrives faster than it is
    /// handled does.
    pub fn lag(&self) -> Duration {
        self.0.standing.get()
    }

    fn set_lag(&self, now: Instant, waited: Duration) {
        let mut lag = self.0.lag.get();
        let standing = lag.note(now, waited);
        self.0.lag.set(lag);
        if self.0.standing.replace(standing) != standing {
            self.0.remote.stats.set_lag(standing);
        }
    }

    /// Reads the clock and says whether the thread was held so long that what came meanwhile is to be looked at before a wait:
    /// behind one, nobody knows how long it had been there.
    pub(crate) fn was_held(&self) -> bool {
        let now = Instant::now();
        self.0.now.set(now);
        self.held(now) > LONG_HOLD
    }

    /// Notes that the thread was about something else than this shard, of which nobody is to say that it waited.
    pub(crate) fn come_back(&self) {
        let now = Instant::now();
        self.0.resumed.set(now);
        self.set_lag(now, Duration::ZERO);
    }

    /// Begins a turn in which the driver waits, and counts how long the thread was held by the shard's clock.
    pub(crate) fn begin_wait(&self) {
        let now = self.0.now.get();
        self.0.waiting.set(true);
        self.0.remote.stats.count_held(self.held(now));
        self.set_lag(now, Duration::ZERO);
    }

    /// Reads the clock at the end of a turn.
    pub(crate) fn end_turn(&self) {
        let now = Instant::now();
        let shard = &*self.0;
        shard.now.set(now);
        if !shard.looked.replace(false) {
            // The driver did not say when it looked: how much of its turn was waiting cannot be told.
            if !shard.waiting.replace(false) {
                shard.remote.stats.count_held(self.held(now));
            }
            shard.resumed.set(now);
        }
    }

    fn held(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.0.resumed.get())
    }

    /// Opens the lanes of this shard. Whoever holds it drops nothing of a user's.
    pub(crate) fn key(&self) -> RefMut<'_, Key> {
        self.0.key.borrow_mut()
    }

    /// Has the executor run a guest.
    pub(crate) fn call(&self, wakeable: &Wakeable) {
        if let Some(key) = wakeable.key() {
            call_guest(&self.0.guests, key);
        }
    }

    pub(crate) fn table(&self) -> RefMut<'_, Guests> {
        self.0.guests.borrow_mut()
    }

    pub(crate) fn timers(&self) -> RefMut<'_, Timers> {
        self.0.timers.borrow_mut()
    }

    pub(crate) fn outlets(&self) -> &Outlets {
        &self.0.outlets
    }

    pub(crate) fn remote(&self) -> &Arc<Remote> {
        &self.0.remote
    }

    /// Takes no more guests and cancels those that live.
    pub(crate) fn close(&self) {
        self.0.closing.set(true);
        let guests = self.table().all();
        for guest in guests {
            guest.cancel();
        }
    }
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").field("shard", &self.shard()).finish_non_exhaustive()
    }
}

fn call_guest(guests: &RefCell<Guests>, key: GuestKey) {
    // The borrow ends before the executor's own waker runs.
    let host = guests.borrow_mut().call(key);
    if let Some(host) = host {
        host.wake();
    }
}
