//! Lifecycle hooks: callbacks at the start and the end of each request; must not know connections.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use http::{Method, StatusCode};

use crate::request::Peer;

/// Argument of a start hook.
#[derive(Debug)]
#[non_exhaustive]
pub struct RequestStart<'a> {
    /// Method of the request.
    pub method: &'a Method,
    /// The path as sent, percent-encoded.
    pub path: &'a str,
    /// The query, without the `?`. `None` if the target has no `?`.
    pub query: Option<&'a str>,
    /// The peer of the connection.
    pub peer: Peer,
}

/// Argument of an end hook.
#[derive(Debug)]
#[non_exhaustive]
pub struct RequestEnd<'a> {
    /// Method of the request.
    pub method: &'a Method,
    /// The path as sent, percent-encoded.
    pub path: &'a str,
    /// The path template of the route. `None` if no route matched.
    pub route: Option<&'a str>,
    /// The peer of the connection.
    pub peer: Peer,
    /// Status of the response head that was written. `None` if the connection or the stream ended before.
    pub status: Option<StatusCode>,
    /// The cause of a failure that the server knows, such as a panic, a full pool, a job timeout or a
    /// disconnect. `None` without a failure.
    pub error: Option<&'a str>,
    /// Time from the end of the request head to the end of the response.
    pub duration: Duration,
    /// Bytes of the response body that were handed to the connection.
    pub body_bytes: u64,
}

type StartHook = Arc<dyn Fn(&RequestStart<'_>) + Send + Sync>;
type EndHook = Arc<dyn Fn(&RequestEnd<'_>) + Send + Sync>;

/// The lifecycle hooks of a server. Each is called once for each request, but not for bytes that are no valid
/// request.
///
/// Hooks run on the connection's shard, in the order in which they were added, and must not block. A panic of
/// a hook is logged and counted (`windlass_panics_total{place="hook"}`), and the other hooks still run.
#[derive(Clone, Default)]
pub struct Hooks {
    start: Vec<StartHook>,
    end: Vec<EndHook>,
}

impl Hooks {
    /// Adds a hook for the start of every request.
    #[must_use]
    pub fn on_start(mut self, hook: impl Fn(&RequestStart<'_>) + Send + Sync + 'static) -> Self {
        self.start.push(Arc::new(hook));
        self
    }

    /// Adds a hook for the end of every request.
    #[must_use]
    pub fn on_end(mut self, hook: impl Fn(&RequestEnd<'_>) + Send + Sync + 'static) -> Self {
        self.end.push(Arc::new(hook));
        self
    }

    /// Returns `true` if there are no hooks. Connections then record nothing for them.
    pub(crate) fn is_empty(&self) -> bool {
        self.start.is_empty() && self.end.is_empty()
    }

    /// Calls the start hooks. Returns the number of panics.
    pub(crate) fn call_start(&self, request: &RequestStart<'_>) -> u64 {
        self.start.iter().map(|hook| catch_panic("on_start", || hook(request))).sum()
    }

    /// Calls the end hooks. Returns the number of panics.
    pub(crate) fn call_end(&self, request: &RequestEnd<'_>) -> u64 {
        self.end.iter().map(|hook| catch_panic("on_end", || hook(request))).sum()
    }
}

/// Calls a hook. Returns 1 if it panics.
fn catch_panic(hook: &str, call: impl FnOnce()) -> u64 {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(()) => 0,
        Err(_) => {
            tracing::error!(hook, "lifecycle hook panicked, continuing with the request");
            1
        }
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").field("start", &self.start.len()).field("end", &self.end.len()).finish()
    }
}
