//! Logs: events on standard error and requests on standard output. Lines that their readers do not keep up
//! with are lost, so neither blocks a shard. The end of the process waits at most a second for each reader.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io,
    panic::PanicHookInfo,
    sync::Arc,
    thread,
};

use tracing::Level;
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{self, FilterExt, LevelFilter},
    fmt,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use super::output::{LineWriter, Stream};
use windlass::{Hooks, Peer, RefusedRequest, RequestEnd};

/// Target of the access log's events.
const ACCESS: &str = "windlass::access";

/// Logs of the process. Dropping them [finishes](Self::finish) them.
pub(super) struct Logs {
    stdout: LineWriter,
    stderr: LineWriter,
}

impl Logs {
    /// Starts logging for the process, with the access log on standard output if `access_log` is set.
    /// `RUST_LOG` sets the level of the other events, by default `info`. Panics are logged too.
    ///
    /// # Errors
    ///
    /// The threads that write the lines could not be started.
    pub(super) fn start(access_log: bool) -> io::Result<Self> {
        let logs =
            Self { stdout: LineWriter::start(Stream::Stdout)?, stderr: LineWriter::start(Stream::Stderr)? };
        let level = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
        // Without this hint a filter function enables the spans of all levels. Libraries create several per
        // request.
        let others =
            filter::filter_fn(|event| event.target() != ACCESS).with_max_level_hint(LevelFilter::TRACE);
        let lines = fmt::layer().with_writer(Arc::new(logs.stderr.clone())).with_ansi(false);
        let mut layers = vec![lines.with_filter(level.and(others)).boxed()];
        if access_log {
            let json = fmt::layer().json().flatten_event(true).with_target(false).with_level(false);
            let json = json.with_writer(Arc::new(logs.stdout.clone()));
            layers.push(json.with_filter(filter::Targets::new().with_target(ACCESS, Level::INFO)).boxed());
        }
        // Fails if the process has a subscriber already, as in a test.
        let _ = tracing_subscriber::registry().with(layers).try_init();
        let stderr = logs.stderr.clone();
        std::panic::set_hook(Box::new(move |info| log_panic(info, &stderr)));
        Ok(logs)
    }

    /// Returns a function that returns the number of lines lost so far, by name of the stream.
    pub(super) fn lost_lines(&self) -> impl Fn() -> Vec<(&'static str, u64)> + Send + Sync + 'static {
        let (stdout, stderr) = (self.stdout.clone(), self.stderr.clone());
        move || {
            vec![(Stream::Stdout.name(), stdout.lost_lines()), (Stream::Stderr.name(), stderr.lost_lines())]
        }
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Logs {
    /// Waits until the remaining lines are written, for at most a second per stream, and discards further
    /// ones. Logs how many lines were lost.
    pub(super) fn finish(&self) {
        let lost = self.stdout.finish();
        if lost > 0 {
            tracing::warn!(
                lines = lost,
                "access log lines lost, the reader of standard output is too slow or gone"
            );
        }
        let lost = self.stderr.lost_lines();
        if lost > 0 {
            tracing::warn!(lines = lost, "log lines lost, the reader of standard error is too slow or gone");
        }
        self.stderr.finish();
    }
}

/// Logs a panic, except one that the topic store returns as an error. The standard library's own hook would
/// write to standard error on the panicking thread, and block a shard if nobody reads.
fn log_panic(info: &PanicHookInfo<'_>, stderr: &LineWriter) {
    let message = info.payload_as_str().unwrap_or("the panic payload is not text");
    // "panic in a destructor during cleanup" and "panic in a function that cannot unwind" abort the process.
    let aborts = message.starts_with("panic in a ");
    // The topic store returns panics as errors, with their message.
    #[cfg(feature = "durable")]
    if windlass::replay::durable::is_guarded() && !aborts {
        return;
    }
    let thread = thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    // Captured only if RUST_BACKTRACE asks for it.
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        tracing::error!(thread, place, panic = message, %backtrace, "thread panicked");
    } else {
        tracing::error!(thread, place, panic = message, "thread panicked");
    }
    if aborts {
        stderr.flush();
    }
}

/// Returns hooks that log each request, valid or not.
pub(super) fn access_hooks() -> Hooks {
    Hooks::default().on_end(log).on_refused(log_refused)
}

/// Returns the text of a peer: its address and port, `unix`, or `unknown`.
fn name(peer: Peer) -> String {
    match peer {
        Peer::Address(address) => address.to_string(),
        Peer::Local => "unix".to_owned(),
        Peer::Unknown => "unknown".to_owned(),
    }
}

fn log_refused(refused: &RefusedRequest<'_>) {
    let client = refused.peer.address().map(|address| address.ip().to_canonical().to_string());
    tracing::info!(
        target: ACCESS,
        peer = name(refused.peer),
        client = client.as_deref().unwrap_or("-"),
        line = %refused.line.escape_ascii(),
        status = refused.status.as_u16(),
        error = refused.error.trim_end(),
    );
}

fn log(end: &RequestEnd<'_>) {
    let client = end.client.map(|client| client.to_string());
    tracing::info!(
        target: ACCESS,
        peer = name(end.peer),
        client = client.as_deref().unwrap_or("-"),
        host = end.host.unwrap_or("-"),
        user_agent = end.user_agent.unwrap_or("-"),
        method = end.method.as_str(),
        path = end.path,
        route = end.route.unwrap_or("-"),
        status = end.status.map_or(0, |status| status.as_u16()),
        error = end.error.unwrap_or("-"),
        bytes = end.body_bytes,
        micros = end.duration.as_micros() as u64,
    );
}
