//! Serving until a stop is requested, and the drain as a future.

use std::{
    future::{Future, poll_fn},
    sync::{Arc, Mutex, PoisonError},
    task::{Poll, Waker},
    thread,
    time::Duration,
};

#[cfg(feature = "signal")]
use super::stop_signal::StopSignal;
use super::{DrainReport, Server};

impl Server {
    /// Serves until a signal arrives, then [drains](Self::drain) the server and returns the report. A second
    /// signal [cuts](Self::cut) the grace. Requires the feature `signal`.
    ///
    /// Blocks until the drain is complete, and must not be called on a shard's thread.
    ///
    /// ```no_run
    /// use windlass::{Router, Server, StopSignal, get};
    ///
    /// let signal = StopSignal::new()?;
    /// let router = Router::new().route(get("/", || "hello"));
    /// let server = Server::builder().listen("127.0.0.1:8080").router(router).start()?;
    /// println!("{}", server.run(signal));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "signal")]
    pub fn run(self, signal: StopSignal) -> DrainReport {
        signal.wait();
        thread::scope(|scope| {
            let cut = || {
                if signal.wait_for(2) {
                    self.cut();
                }
            };
            // Without the thread a second signal has no effect.
            let _ = thread::Builder::new().name("second-signal".to_owned()).spawn_scoped(scope, cut);
            let report = self.drain(None);
            signal.finish();
            report
        })
    }

    /// Serves until `stop` completes, then [drains](Self::drain) the server and returns the report. The
    /// server has threads of its own, so the future does not occupy the runtime that polls it.
    ///
    /// ```no_run
    /// use windlass::{Router, Server, get};
    ///
    /// # async fn serve(stop: impl Future<Output = ()>) -> Result<(), Box<dyn std::error::Error>> {
    /// let router = Router::new().route(get("/", || "hello"));
    /// let server = Server::builder().listen("127.0.0.1:8080").router(router).start()?;
    /// // For example `tokio::signal::ctrl_c()`.
    /// let report = server.run_until(stop).await;
    /// println!("{report}");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before `stop` completes drops the server, which blocks for a short time. After
    /// that the drain goes on without the future.
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> DrainReport {
        stop.await;
        self.drain_async(None).await
    }

    /// [Drains](Self::drain) the server on a thread of its own, and returns a future of the report. The drain
    /// begins with this call, not with the first poll.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not stop the drain.
    pub fn drain_async(self, grace: Option<Duration>) -> impl Future<Output = DrainReport> + Send + 'static {
        let (server, result) = (Arc::new(self), Arc::new(Mutex::new(Pending::default())));
        let (drained, told) = (server.clone(), result.clone());
        let drain = move || Pending::complete(&told, drained.drain(grace));
        if thread::Builder::new().name("drain".to_owned()).spawn(drain).is_err() {
            // Without a thread for it the drain runs here. It blocks, but it is complete.
            Pending::complete(&result, server.drain(grace));
        }
        poll_fn(move |cx| {
            let mut pending = result.lock().unwrap_or_else(PoisonError::into_inner);
            match pending.report.take() {
                Some(report) => Poll::Ready(report),
                None => {
                    pending.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
    }
}

/// The report of a drain that runs on another thread.
#[derive(Default)]
struct Pending {
    report: Option<DrainReport>,
    waker: Option<Waker>,
}

impl Pending {
    fn complete(this: &Mutex<Self>, report: DrainReport) {
        let mut pending = this.lock().unwrap_or_else(PoisonError::into_inner);
        pending.report = Some(report);
        let waker = pending.waker.take();
        drop(pending);
        waker.into_iter().for_each(Waker::wake);
    }
}
