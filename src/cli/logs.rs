//! Logs: events on standard error and requests on standard output. Neither blocks a shard.

use std::io::{stderr, stdout};

use tracing::Level;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{self, FilterExt, LevelFilter},
    fmt,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use windlass::{Hooks, Peer, RequestEnd};

/// Maximum number of lines that wait to be written. More are dropped.
const QUEUE_LINES: usize = 16_384;

/// Target of the access log's events.
const ACCESS: &str = "windlass::access";

/// Starts logging for the process. `RUST_LOG` sets the level, by default `info`. The returned guards write
/// the remaining lines when they are dropped.
pub(super) fn start(access_log: bool) -> Vec<WorkerGuard> {
    let (to_stderr, stderr_guard) = writer(stderr());
    let (to_stdout, stdout_guard) = writer(stdout());
    let level = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    // Without this hint a filter function enables the spans of all levels. Libraries create several per
    // request.
    let others = filter::filter_fn(|event| event.target() != ACCESS).with_max_level_hint(LevelFilter::TRACE);
    let lines = fmt::layer().with_writer(to_stderr).with_ansi(false).with_filter(level.and(others));
    let mut layers = vec![lines.boxed()];
    if access_log {
        let json = fmt::layer().json().flatten_event(true).with_target(false).with_level(false);
        let requests =
            json.with_writer(to_stdout).with_filter(filter::Targets::new().with_target(ACCESS, Level::INFO));
        layers.push(requests.boxed());
    }
    // Fails if the process has a subscriber already, as in a test.
    let _ = tracing_subscriber::registry().with(layers).try_init();
    vec![stderr_guard, stdout_guard]
}

fn writer(to: impl std::io::Write + Send + 'static) -> (NonBlocking, WorkerGuard) {
    NonBlockingBuilder::default().buffered_lines_limit(QUEUE_LINES).lossy(true).finish(to)
}

/// Returns hooks that log each request.
pub(super) fn access_hooks() -> Hooks {
    Hooks::default().on_end(log)
}

fn log(end: &RequestEnd<'_>) {
    let peer = match end.peer {
        Peer::Address(address) => address.to_string(),
        Peer::Local => "unix".to_owned(),
        Peer::Unknown => "unknown".to_owned(),
    };
    tracing::info!(
        target: ACCESS,
        peer,
        method = end.method.as_str(),
        path = end.path,
        route = end.route.unwrap_or("-"),
        status = end.status.map_or(0, |status| status.as_u16()),
        error = end.error.unwrap_or("-"),
        bytes = end.body_bytes,
        micros = end.duration.as_micros() as u64,
    );
}
