//! Signals of `windlass serve`, handled on a thread of their own in every phase of the process. Of the
//! signals that it catches only those that stop the server end the process.
//!
//! ```text
//! Opening ──► Starting ──► Serving ──► Draining ──► Closing
//!  exit        remember     drain       cut          exit, if it takes long
//! ```
//!
//! The second line is the effect of SIGTERM, SIGINT and SIGQUIT.

use std::{
    process,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use signal_hook::{
    consts::{
        SIGALRM, SIGHUP, SIGINT, SIGIO, SIGPROF, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGVTALRM, SIGXCPU,
        SIGXFSZ,
    },
    iterator::Signals,
    low_level::signal_name,
};

use super::{logs::Logs, secure};
use windlass::Server;

/// Signals that drain a serving server, and close all connections when one arrives while it drains.
const STOPPING: [i32; 3] = [SIGTERM, SIGINT, SIGQUIT];

/// Signals without a meaning for the server whose default action is to end the process. Those of program
/// errors (SIGSEGV, SIGABRT and others) keep it, and SIGPIPE is ignored already.
const STRAY: [i32; 10] =
    [SIGALRM, SIGIO, SIGPROF, SIGUSR1, SIGUSR2, SIGVTALRM, SIGXCPU, SIGXFSZ, libc::SIGPWR, libc::SIGSTKFLT];

/// Time that the topic store has to close before a signal ends the process regardless.
const CLOSE_TIME: Duration = Duration::from_secs(2);

/// Signals that are caught but not handled yet.
pub(super) struct Caught(Signals);

impl Caught {
    /// Catches SIGHUP, the stray and the realtime signals, so that they do not end the process. The signals
    /// that stop the server still end it, until [`handle`](Self::handle). Call it first.
    pub(super) fn new() -> Result<Self, String> {
        let realtime = libc::SIGRTMIN()..=libc::SIGRTMAX();
        let signals = Signals::new(STRAY.into_iter().chain([SIGHUP]).chain(realtime));
        signals.map(Self).map_err(|error| format!("cannot install a signal handler: {error}"))
    }

    /// Catches the signals that stop the server too, and starts the threads that handle all signals, those
    /// that arrived before included.
    pub(super) fn handle(self, logs: Arc<Logs>) -> Result<Life, String> {
        let Self(mut signals) = self;
        let life = Life(Arc::new(Shared {
            phase: Mutex::new(Phase::Opening),
            changed: Condvar::new(),
            logs,
            on_reload: OnceLock::new(),
        }));
        let add = |signal: &i32| signals.add_signal(*signal);
        STOPPING
            .iter()
            .try_for_each(add)
            .map_err(|error| format!("cannot install a signal handler: {error}"))?;
        let no_thread = |error| {
            format!("cannot start a thread for signals: {error}; check the limit of processes (ulimit -u)")
        };
        let (reload, requests) = sync_channel(1);
        let (shared, more) = (life.0.clone(), life.0.clone());
        let reloads = move || {
            requests.iter().for_each(|server: Arc<Server>| {
                secure::reload(&server);
                more.on_reload.get().into_iter().for_each(|reload| reload());
            });
        };
        thread::Builder::new().name("reload".to_owned()).spawn(reloads).map_err(no_thread)?;
        let handle = move || signals.forever().for_each(|signal| shared.handle(signal, &reload));
        thread::Builder::new().name("signals".to_owned()).spawn(handle).map_err(no_thread)?;
        Ok(life)
    }
}

/// The phases of the process, for the thread that goes through them.
pub(super) struct Life(Arc<Shared>);

struct Shared {
    phase: Mutex<Phase>,
    /// Notified when the phase changes from serving to draining.
    changed: Condvar,
    logs: Arc<Logs>,
    /// Reloads what the server does not know.
    on_reload: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

/// Phase of the process, which decides the effect of a signal.
enum Phase {
    /// Reads certificates and opens the topic store. Nothing is lost if the process ends.
    Opening,
    /// Starts the shards. `stop`: a signal has arrived, so the server drains as soon as they serve.
    Starting {
        stop: bool,
    },
    Serving(Arc<Server>),
    Draining(Arc<Server>),
    /// Closes the topic store, since this time.
    Closing(Instant),
}

impl Life {
    /// Sets a function that runs after each reload of the certificates. Only the first call has an effect.
    pub(super) fn on_reload(&self, reload: impl Fn() + Send + Sync + 'static) {
        let _ = self.0.on_reload.set(Box::new(reload));
    }

    /// Enters the phase in which the shards start.
    pub(super) fn start(&self) {
        *self.0.phase() = Phase::Starting { stop: false };
    }

    /// Enters the phase in which the server serves, and blocks until a signal ends it. Does not block if a
    /// signal arrived during the start.
    pub(super) fn serve(&self, server: &Arc<Server>) {
        let mut phase = self.0.phase();
        *phase = match *phase {
            Phase::Starting { stop: true } => Phase::Draining(server.clone()),
            _ => Phase::Serving(server.clone()),
        };
        while matches!(*phase, Phase::Serving(_)) {
            phase = self.0.changed.wait(phase).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Enters the phase in which the topic store is closed.
    pub(super) fn close(&self) {
        *self.0.phase() = Phase::Closing(Instant::now());
    }
}

impl Shared {
    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self, signal: i32, reload: &SyncSender<Arc<Server>>) {
        match signal {
            SIGHUP => self.reload(reload),
            signal if STOPPING.contains(&signal) => self.stop(),
            signal => tracing::info!(signal = name(signal), "signal ignored, the server does not use it"),
        }
    }

    /// Requests a reload of the certificates while the server serves or drains. The reload runs on a thread
    /// of its own, because reading the files may be slow.
    fn reload(&self, reload: &SyncSender<Arc<Server>>) {
        let server = match &*self.phase() {
            Phase::Serving(server) | Phase::Draining(server) => server.clone(),
            Phase::Opening | Phase::Starting { .. } | Phase::Closing(_) => {
                tracing::info!("certificates not reloaded, the server is starting or stopping");
                return;
            }
        };
        match reload.try_send(server) {
            Ok(()) => (),
            Err(TrySendError::Full(_)) => {
                tracing::info!("certificate reload requested already, this request adds none")
            }
            Err(TrySendError::Disconnected(_)) => {
                tracing::error!("certificates not reloaded, the reload thread has ended: restart the server")
            }
        }
    }

    fn stop(&self) {
        let mut phase = self.phase();
        match &mut *phase {
            Phase::Opening => self.exit("stopped before the server started", 0),
            Phase::Starting { stop: true } => {
                self.exit("second signal, stopped before the server started", 0)
            }
            Phase::Starting { stop } => *stop = true,
            Phase::Serving(server) => {
                *phase = Phase::Draining(server.clone());
                self.changed.notify_all();
            }
            Phase::Draining(server) => {
                let server = server.clone();
                drop(phase);
                tracing::warn!("second signal, closing all connections");
                server.cut();
            }
            Phase::Closing(since) if since.elapsed() >= CLOSE_TIME => {
                self.exit("the topic store did not close in time, exiting without waiting for it", 1);
            }
            Phase::Closing(_) => tracing::info!("signal ignored, the topic store is still closing"),
        }
    }

    /// Logs the reason, finishes the logs and ends the process with this status. Other threads may be stuck.
    fn exit(&self, reason: &str, status: i32) {
        tracing::warn!("{reason}");
        self.logs.finish();
        process::exit(status)
    }
}

fn name(signal: i32) -> String {
    signal_name(signal).map_or_else(|| signal.to_string(), str::to_owned)
}
