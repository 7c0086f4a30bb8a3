//! The shard of the calling thread.

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
    key::ShardKey,
    min_wait::MinWait,
    outlet::{Outlet, Outlets},
    remote::Remote,
    sleep::Sleep,
    task::{TaskHandle, TaskTable, run_task},
    timers::Timers,
};
use crate::{
    host::Host,
    time::{self, instant_after},
    wake::{CurrentShard, TaskKey, WakeTarget, Wakeable},
};

thread_local! {
    static CURRENT: RefCell<Option<Local>> = const { RefCell::new(None) };
}

/// A thread that was busy for longer than this polls once more before it waits. The poll costs a system call.
const LONG_BUSY: Duration = Duration::from_millis(5);

/// Longest wait of a shard whose driver has a deadline. A thread that polls later than this, by another tick
/// or more, was paused: see [`Local::paused`]. Waking ten times a second costs well below 0.01 % of a core.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// The part of a shard that only its own thread uses.
struct LocalState {
    remote: Arc<Remote>,
    host: Host,
    tasks: Rc<RefCell<TaskTable>>,
    timers: Rc<RefCell<Timers>>,
    outlets: Rc<Outlets>,
    /// Key to the cells of the actors on this shard.
    key: RefCell<ShardKey>,
    /// Time of the shard's clock, as it was read last.
    now: Cell<Instant>,
    /// Time of the last poll for events, or of the end of the last wait.
    last_poll: Cell<Instant>,
    /// Earliest possible arrival of the events that the last poll returned.
    earliest_arrival: Cell<Instant>,
    /// Set when the driver begins a wait, cleared when it reports the poll after it or the turn ends.
    waiting: Cell<bool>,
    /// Time at which the wait ends without an event. `None` if it then lasts for ever.
    wait_until: Cell<Option<Instant>>,
    /// Total time for which the shard was unable to run. See [`Local::paused`].
    paused: Cell<Duration>,
    /// Set when the driver has reported a poll in this turn.
    polled: Cell<bool>,
    min_wait: Cell<MinWait>,
    /// Time that work has waited that the driver was unable to take up. See [`Local::set_backlog`].
    backlog: Cell<Duration>,
    /// Smallest recent wait, as `min_wait` returned it last.
    lag: Cell<Duration>,
    /// Set when the shard accepts no more tasks.
    closing: Cell<bool>,
}

/// Handle to the shard of the calling thread: spawns futures on it, creates its wakers, keeps its timers.
///
/// Clones are cheap and refer to the same shard.
#[derive(Clone)]
pub struct Local(Rc<LocalState>);

impl Local {
    pub(crate) fn new(remote: Arc<Remote>, host: Host, key: ShardKey) -> Self {
        let now = time::now();
        Self(Rc::new(LocalState {
            remote,
            host,
            tasks: Rc::default(),
            timers: Rc::default(),
            outlets: Rc::default(),
            key: RefCell::new(key),
            now: Cell::new(now),
            last_poll: Cell::new(now),
            earliest_arrival: Cell::new(now),
            waiting: Cell::new(false),
            wait_until: Cell::new(None),
            paused: Cell::new(Duration::ZERO),
            polled: Cell::new(false),
            min_wait: Cell::new(MinWait::new(now)),
            backlog: Cell::new(Duration::ZERO),
            lag: Cell::new(Duration::ZERO),
            closing: Cell::new(false),
        }))
    }

    /// Returns the shard that runs on this thread, or `None` on a thread that is no shard's.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
    }

    /// Returns the shard that runs on this thread if it is `remote`, else `None`.
    pub(crate) fn of(remote: &Arc<Remote>) -> Option<Self> {
        let matching = |current: &RefCell<Option<Self>>| {
            let current = current.borrow();
            current.as_ref().filter(|local| Arc::ptr_eq(&local.0.remote, remote)).cloned()
        };
        CURRENT.try_with(matching).ok().flatten()
    }

    /// Sets the shard that runs on this thread. `None`: the thread runs no shard.
    pub(crate) fn set_current(local: Option<Self>) {
        CurrentShard::set(local.as_ref().map(|local| {
            let tasks = Rc::clone(&local.0.tasks);
            let schedule = move |key| schedule_task(&tasks, key);
            CurrentShard { wakes: Arc::clone(&local.0.remote.wakes), schedule: Rc::new(schedule) }
        }));
        CURRENT.with(|current| *current.borrow_mut() = local);
    }

    /// Returns the index of this shard in its system.
    pub fn shard(&self) -> usize {
        self.0.remote.index
    }

    /// Spawns `future` on this shard. It need not be `Send`. A panic in it is caught, logged and counted.
    ///
    /// If the shard has begun to end, `future` is dropped at once.
    pub fn spawn(&self, future: impl Future<Output = ()> + 'static) -> TaskHandle {
        let wakeable = Wakeable::new(Arc::clone(&self.0.remote.wakes), WakeTarget::Task);
        self.spawn_with(Arc::clone(&wakeable), future);
        TaskHandle { wakeable }
    }

    /// Spawns `future` as the task that `wakeable` wakes. Drops it at once if the shard has begun to end.
    pub(crate) fn spawn_with(&self, wakeable: Arc<Wakeable>, future: impl Future<Output = ()> + 'static) {
        if self.0.closing.get() {
            return;
        }
        let key = self.task_table().insert(Arc::clone(&wakeable));
        self.0.remote.stats.set_tasks(self.task_table().len());
        let (tasks, remote) = (Rc::clone(&self.0.tasks), Arc::clone(&self.0.remote));
        self.0.host.spawn_local(run_task(tasks, remote, wakeable, key, future));
    }

    /// Creates a waker that results in a call of [`Driver::woken`](crate::Driver::woken) with this token.
    ///
    /// The waker may be kept, cloned and woken on any thread. Several wakes between two turns result in one
    /// call. Creating the waker allocates once; its clones do not allocate.
    pub fn waker(&self, token: u64) -> Waker {
        Waker::from(Wakeable::new(Arc::clone(&self.0.remote.wakes), WakeTarget::Driver(token)))
    }

    /// Creates an outlet for a subscriber that belongs to the driver.
    ///
    /// The driver gets a call of [`Driver::filled`](crate::Driver::filled) with this token and label when an
    /// event was put into the outlet.
    pub fn outlet(&self, token: u64, label: u32) -> Outlet {
        self.0.outlets.add(token, label)
    }

    /// Returns a future that ends at `deadline`. It works on this shard only.
    pub fn sleep_until(&self, deadline: Instant) -> Sleep {
        Sleep::new(Rc::clone(&self.0.timers), deadline)
    }

    /// Returns a future that ends `duration` after this call. It works on this shard only.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        self.sleep_until(instant_after(time::now(), duration))
    }

    /// Returns the number of tasks on this shard, actors included.
    pub fn tasks(&self) -> usize {
        self.task_table().len()
    }

    /// Returns the eventfd that other threads write when they send something to this shard while it sleeps.
    ///
    /// A [`Driver`](crate::Driver) watches it in every wait, and only the driver reads it. The eventfd is in
    /// blocking mode, so a read armed on an io_uring waits for the next write. A driver that polls first
    /// reads 8 bytes each time the eventfd is readable. A driver that watches for edges never reads.
    pub fn doorbell(&self) -> BorrowedFd<'_> {
        self.0.remote.wakes.doorbell.notifier().as_fd()
    }

    /// Returns the time of the shard's clock.
    ///
    /// The clock is read at the end of each turn, before a wait, and by [`record_poll`](Self::record_poll).
    pub fn now(&self) -> Instant {
        self.0.now.get()
    }

    /// Reads the clock, sets the shard's clock to it and returns it.
    ///
    /// A driver calls this once in each turn, right after it has polled for events, which is after the wait
    /// if there was one. From then on the thread counts as busy until the next poll.
    pub fn record_poll(&self) -> Instant {
        let now = time::now();
        let state = &*self.0;
        let due = if state.waiting.replace(false) {
            // The shard waited, so no event was there before.
            state.earliest_arrival.set(now);
            state.wait_until.get()
        } else {
            // An event may have arrived right after the poll before this one.
            let last_poll = state.last_poll.get();
            state.earliest_arrival.set(last_poll);
            state.remote.stats.record_busy(now.saturating_duration_since(last_poll));
            self.record_lag(now);
            Some(last_poll + TICK)
        };
        let late = due.map_or(Duration::ZERO, |due| now.saturating_duration_since(due));
        if late >= TICK {
            self.record_late_poll(late);
        }
        state.now.set(now);
        state.last_poll.set(now);
        state.polled.set(true);
        now
    }

    /// Returns the total time for which the shard was unable to run.
    ///
    /// It grows when the thread polls for events a tenth of a second or more after it should have: the
    /// process was stopped, the machine was suspended, another thread took the core, or a handler blocked. A
    /// deadline of a peer does not run during that time: the peer may have kept it, and the shard was unable
    /// to see that. So a driver adds this to the deadlines that it sets for peers.
    ///
    /// A clock that a test has stopped does not count.
    pub fn paused(&self) -> Duration {
        self.0.paused.get()
    }

    #[cold]
    fn record_late_poll(&self, late: Duration) {
        if !time::is_stopped() {
            self.add_pause(late);
        }
    }

    /// Adds to the time for which the shard was unable to run.
    pub(crate) fn add_pause(&self, pause: Duration) {
        self.0.paused.set(self.0.paused.get().saturating_add(pause));
    }

    /// Returns `true` if messages, wakes or calls from other threads wait for this shard.
    pub fn has_work(&self) -> bool {
        self.0.remote.has_work()
    }

    /// Records that the event handled at `now` has waited until then.
    ///
    /// The event loop does so once in each turn. A driver that handles many events in one turn does so in
    /// between too.
    pub fn record_lag(&self, now: Instant) {
        self.record_wait(now, now.saturating_duration_since(self.0.earliest_arrival.get()));
    }

    /// Sets for how long work has waited that the driver was unable to take up so far. Until the next call,
    /// every wait that is recorded for the [lag](Self::lag) counts as at least this long.
    pub fn set_backlog(&self, waited: Duration) {
        self.0.backlog.set(waited);
    }

    /// Returns the smallest time that work waited for this shard during the last 250 to 500 milliseconds.
    ///
    /// It is zero while the shard has time to wait for work. A single slow turn does not change that, but
    /// work that arrives faster than it is handled does.
    pub fn lag(&self) -> Duration {
        self.0.lag.get()
    }

    fn record_wait(&self, now: Instant, wait: Duration) {
        let wait = wait.max(self.0.backlog.get());
        let mut min_wait = self.0.min_wait.get();
        let lag = min_wait.record(now, wait);
        self.0.min_wait.set(min_wait);
        if self.0.lag.replace(lag) != lag {
            self.0.remote.stats.set_lag(lag);
        }
    }

    /// Reads the clock. Returns `true` if the thread was busy for so long that it must poll once more before
    /// it waits.
    ///
    /// Without that poll, the wait would return the events that arrived while the thread was busy, and the
    /// time that they had waited would be unknown.
    pub(crate) fn was_busy_for_long(&self) -> bool {
        let now = time::now();
        self.0.now.set(now);
        self.busy_time(now) > LONG_BUSY
    }

    /// Records that the thread ran code outside of this shard until now. That time counts neither as busy nor
    /// as a wait for the shard.
    pub(crate) fn record_pause(&self) {
        let now = time::now();
        self.0.last_poll.set(now);
        self.record_wait(now, Duration::ZERO);
    }

    /// Records that the driver is about to wait until this time, or without a limit, and how long the thread
    /// was busy before.
    pub(crate) fn begin_wait(&self, until: Option<Instant>) {
        let now = self.0.now.get();
        self.0.waiting.set(true);
        self.0.wait_until.set(until);
        self.0.remote.stats.record_busy(self.busy_time(now));
        self.record_wait(now, Duration::ZERO);
    }

    /// Reads the clock at the end of a turn. If the driver did not report its poll, this counts as one.
    pub(crate) fn end_turn(&self) {
        let now = time::now();
        let state = &*self.0;
        state.now.set(now);
        if !state.polled.replace(false) {
            // The driver did not report its poll, so the time that it waited is unknown.
            if !state.waiting.replace(false) {
                state.remote.stats.record_busy(self.busy_time(now));
            }
            state.last_poll.set(now);
        }
    }

    /// Returns the time from the last poll to `now`.
    fn busy_time(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.0.last_poll.get())
    }

    /// Borrows the key to the cells of this shard. While it is borrowed, no value of a user may be dropped:
    /// the drop could borrow the key again.
    pub(crate) fn key(&self) -> RefMut<'_, ShardKey> {
        self.0.key.borrow_mut()
    }

    /// Schedules the task of `wakeable` on the executor.
    pub(crate) fn schedule(&self, wakeable: &Wakeable) {
        if let Some(key) = wakeable.key() {
            schedule_task(&self.0.tasks, key);
        }
    }

    pub(crate) fn task_table(&self) -> RefMut<'_, TaskTable> {
        self.0.tasks.borrow_mut()
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

    /// Accepts no more tasks and cancels the existing ones.
    pub(crate) fn close(&self) {
        self.0.closing.set(true);
        let tasks = self.task_table().all();
        for task in tasks {
            task.cancel();
        }
    }
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").field("shard", &self.shard()).finish_non_exhaustive()
    }
}

fn schedule_task(tasks: &RefCell<TaskTable>, key: TaskKey) {
    // The executor's waker may call into the table again, so the borrow ends first.
    let waker = tasks.borrow_mut().schedule(key);
    if let Some(waker) = waker {
        waker.wake();
    }
}
