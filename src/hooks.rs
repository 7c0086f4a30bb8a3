//! Lifecycle hooks: told of every request's start and end, once each.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use http::{Method, StatusCode};

use crate::request::Peer;

/// What a start hook sees.
#[derive(Debug)]
#[non_exhaustive]
pub struct RequestStart<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path as it was sent.
    pub path: &'a str,
    /// What stood behind the `?`.
    pub query: Option<&'a str>,
    /// Where the connection comes from.
    pub peer: Peer,
}

/// What an end hook sees.
#[derive(Debug)]
#[non_exhaustive]
pub struct RequestEnd<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path as it was sent.
    pub path: &'a str,
    /// The template of the route that matched; `None` when none did.
    pub route: Option<&'a str>,
    /// Where the connection comes from.
    pub peer: Peer,
    /// The status sent; `None` when the peer went away before a head was sent.
    pub status: Option<StatusCode>,
    /// Why the request failed, if the server knows: a panic, a full pool, a late job, a peer that went away.
    pub error: Option<&'a str>,
    /// From the end of the request's head to the end of the response.
    pub duration: Duration,
    /// Bytes of the response body handed to the connection.
    pub body_bytes: u64,
}

type StartHook = Arc<dyn Fn(&RequestStart<'_>) + Send + Sync>;
type EndHook = Arc<dyn Fn(&RequestEnd<'_>) + Send + Sync>;

/// The hooks of one server, called in the order they were added, on the connection's shard: they must not block.
///
/// A panicking hook is contained, logged and counted (`windlass_panics_total{place="hook"}`); the others still run.
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

    /// Says whether there are none: then requests record nothing for them.
    pub(crate) fn is_empty(&self) -> bool {
        self.start.is_empty() && self.end.is_empty()
    }

    /// Calls the start hooks; returns how many panicked.
    pub(crate) fn started(&self, request: &RequestStart<'_>) -> u64 {
        self.start.iter().map(|hook| contained("on_request_start", || hook(request))).sum()
    }

    /// Calls the end hooks; returns how many panicked.
    pub(crate) fn ended(&self, request: &RequestEnd<'_>) -> u64 {
        self.end.iter().map(|hook| contained("on_request_end", || hook(request))).sum()
    }
}

fn contained(which: &str, call: impl FnOnce()) -> u64 {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(()) => 0,
        Err(_) => {
            tracing::error!("an {which} hook panicked; the request goes on");
            1
        }
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").field("start", &self.start.len()).field("end", &self.end.len()).finish()
    }
}
