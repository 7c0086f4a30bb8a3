//! The signals that ask a program to stop.

use std::{
    fmt,
    future::poll_fn,
    io,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Poll, Waker},
    thread::{self, JoinHandle},
};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag::register_conditional_default,
    iterator::{Handle, Signals},
};

/// The signals that stop a program.
const SIGNALS: [i32; 2] = [SIGINT, SIGTERM];

/// SIGINT (Ctrl-C) and SIGTERM, caught from the creation of this value on. For [`Server::run`] and
/// [`Server::run_until`]. Requires the feature `signal`.
///
/// Create it before the server starts, so that no signal is missed. The library catches no signal unless a
/// program creates this value. Both signals keep their effect on everything else in the program that catches
/// them. Once the last such value is dropped, they end the process again.
///
/// [`Server::run`]: crate::Server::run
/// [`Server::run_until`]: crate::Server::run_until
pub struct StopSignal {
    shared: Arc<Shared>,
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

/// The number of [`StopSignal`]s, and the flag that lets the signals end the process while there is none.
static LIVE: Mutex<(usize, Option<Arc<AtomicBool>>)> = Mutex::new((0, None));

/// Keeps the signals from ending the process.
fn catch() -> io::Result<()> {
    let mut live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
    let (count, flag) = &mut *live;
    if flag.is_none() {
        let ends_process = Arc::new(AtomicBool::new(false));
        for signal in SIGNALS {
            register_conditional_default(signal, ends_process.clone())?;
        }
        *flag = Some(ends_process);
    }
    *count += 1;
    flag.iter().for_each(|ends_process| ends_process.store(false, SeqCst));
    Ok(())
}

/// Lets the signals end the process again, unless another value has called [`catch`].
fn release() {
    let mut live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
    live.0 -= 1;
    let is_last = live.0 == 0;
    live.1.iter().for_each(|ends_process| ends_process.store(is_last, SeqCst));
}

#[derive(Default)]
struct Shared {
    arrived: Mutex<Arrived>,
    changed: Condvar,
}

#[derive(Default)]
struct Arrived {
    signals: u64,
    /// Nobody waits for further signals.
    done: bool,
    /// Waker of [`StopSignal::received`].
    waker: Option<Waker>,
}

impl Shared {
    fn arrived(&self) -> MutexGuard<'_, Arrived> {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Arrived)) {
        let mut arrived = self.arrived();
        change(&mut arrived);
        let waker = arrived.waker.take();
        drop(arrived);
        self.changed.notify_all();
        waker.into_iter().for_each(Waker::wake);
    }
}

impl StopSignal {
    /// Catches the signals from now on.
    ///
    /// # Errors
    ///
    /// The system refuses to catch them, or the thread that waits for them fails to start.
    pub fn new() -> io::Result<Self> {
        let mut signals = Signals::new(SIGNALS)?;
        let (handle, shared) = (signals.handle(), Arc::new(Shared::default()));
        let told = shared.clone();
        let wait = move || signals.forever().for_each(|_| told.change(|arrived| arrived.signals += 1));
        let thread = thread::Builder::new().name("stop-signal".to_owned()).spawn(wait)?;
        catch()?;
        Ok(Self { shared, handle, thread: Some(thread) })
    }

    /// Blocks until the first signal has arrived.
    pub fn wait(&self) {
        self.wait_for(1);
    }

    /// Waits until the first signal has arrived.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no signal.
    pub async fn received(&mut self) {
        poll_fn(|cx| {
            let mut arrived = self.shared.arrived();
            if arrived.signals > 0 {
                return Poll::Ready(());
            }
            arrived.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Blocks until this number of signals has arrived, or until [`finish`](Self::finish). Returns `true` if
    /// they have arrived.
    pub(super) fn wait_for(&self, signals: u64) -> bool {
        let waits = |arrived: &mut Arrived| arrived.signals < signals && !arrived.done;
        let arrived = self.shared.changed.wait_while(self.shared.arrived(), waits);
        arrived.unwrap_or_else(PoisonError::into_inner).signals >= signals
    }

    /// Ends the waits for further signals.
    pub(super) fn finish(&self) {
        self.shared.change(|arrived| arrived.done = true);
    }
}

impl Drop for StopSignal {
    fn drop(&mut self) {
        self.handle.close();
        // The thread does not panic.
        let _ = self.thread.take().map(JoinHandle::join);
        release();
    }
}

impl fmt::Debug for StopSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StopSignal").field("signals", &self.shared.arrived().signals).finish_non_exhaustive()
    }
}
