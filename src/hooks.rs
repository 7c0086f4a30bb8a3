//! Lifecycle hooks: callbacks at the start and the end of each request; must not know connections.

use std::{
    fmt,
    net::IpAddr,
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
    /// The address of the client behind the peer: that of the peer, unless it is a
    /// [trusted proxy](crate::Builder::trusted_proxies).
    pub client: Option<IpAddr>,
    /// The host that the client asked for, with its port if it has one.
    pub host: Option<&'a str>,
    /// The header `User-Agent`. Bytes that are no UTF-8 are replaced.
    pub user_agent: Option<&'a str>,
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

/// Argument of a refusal hook: bytes that are no valid request.
#[derive(Debug)]
#[non_exhaustive]
pub struct RefusedRequest<'a> {
    /// The peer of the connection.
    pub peer: Peer,
    /// The start of what the peer sent, up to the first line end, at most 256 bytes. Empty over HTTP/2.
    pub line: &'a [u8],
    /// The status sent.
    pub status: StatusCode,
    /// The rule that the bytes violate.
    pub error: &'a str,
}

type RefusalHook = Arc<dyn Fn(&RefusedRequest<'_>) + Send + Sync>;
type StartHook = Arc<dyn Fn(&RequestStart<'_>) + Send + Sync>;
type EndHook = Arc<dyn Fn(&RequestEnd<'_>) + Send + Sync>;

/// The lifecycle hooks of a server. Those for start and end are called once for each valid request, those for
/// refusals once for bytes that are no valid request.
///
/// Hooks run on the connection's shard, in the order in which they were added, and must not block. A panic of
/// a hook is logged and counted (`windlass_panics_total{place="hook"}`), and the other hooks still run.
#[derive(Clone, Default)]
pub struct Hooks {
    start: Vec<StartHook>,
    end: Vec<EndHook>,
    refused: Vec<RefusalHook>,
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

    /// Adds a hook for bytes that are answered as an invalid request.
    #[must_use]
    pub fn on_refused(mut self, hook: impl Fn(&RefusedRequest<'_>) + Send + Sync + 'static) -> Self {
        self.refused.push(Arc::new(hook));
        self
    }

    /// Returns `true` if there are no hooks. Connections then record nothing for them.
    pub(crate) fn is_empty(&self) -> bool {
        self.start.is_empty() && self.end.is_empty() && self.refused.is_empty()
    }

    /// Calls the start hooks. Returns the number of panics.
    pub(crate) fn call_start(&self, request: &RequestStart<'_>) -> u64 {
        self.start.iter().map(|hook| catch_panic("on_start", || hook(request))).sum()
    }

    /// Calls the refusal hooks. Returns the number of panics.
    pub(crate) fn call_refused(&self, request: &RefusedRequest<'_>) -> u64 {
        self.refused.iter().map(|hook| catch_panic("on_refused", || hook(request))).sum()
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
        f.debug_struct("Hooks")
            .field("start", &self.start.len())
            .field("end", &self.end.len())
            .finish_non_exhaustive()
    }
}
