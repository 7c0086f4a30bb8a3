//! Metrics and hooks of one request.

use std::{net::IpAddr, sync::Arc, time::Instant};

use http::{Method, StatusCode};

use crate::{
    body::Body,
    conn::{env::Env, exchange::route::MatchedRoute, io::Io},
    hooks::{RefusedRequest, RequestEnd, RequestStart},
    metrics::{DispatchKind, HttpVersion, RouteMetrics, UNMATCHED},
    request::Head,
    routing::{route::Dispatch, router::SHARED_ROUTER, table::RouteAction},
};

/// Error text for the end hooks if the connection ended before the exchange was complete.
pub(in crate::conn) const CONNECTION_ENDED: &str = "the connection ended before the exchange was complete";

/// Reports one request to the metrics and the hooks.
pub(in crate::conn) struct Telemetry {
    version: HttpVersion,
    kind: DispatchKind,
    /// Matched route, also that of a handler for unmatched requests; `None` if there is neither.
    route: Option<MatchedRoute>,
    /// Start of the batch of events in which the request's head was complete.
    started: Instant,
    /// `None` without hooks.
    hooked: Option<Box<HookedRequest>>,
}

/// Part of a request that the end hooks get.
struct HookedRequest {
    method: Method,
    path: String,
    client: Option<IpAddr>,
    host: Option<String>,
    user_agent: Option<String>,
}

impl Telemetry {
    /// Starts the telemetry of a request that matched a route, and calls the start hooks.
    pub(in crate::conn) fn matched(
        env: &Env,
        io: &Io,
        version: HttpVersion,
        head: &Head,
        route: MatchedRoute,
    ) -> Self {
        let kind = match (&route.compiled().action, route.compiled().dispatch()) {
            (RouteAction::Static(..), _) => DispatchKind::Static,
            (_, Dispatch::Inline) => DispatchKind::Inline,
            (_, Dispatch::Async) => DispatchKind::Async,
        };
        let hooked = (!env.hooks.is_empty()).then(|| call_start_hooks(env, io, head));
        Self { version, kind, route: Some(route), started: env.now, hooked }
    }

    /// Starts the telemetry of a request that matched no route, and calls the start hooks. Without a head
    /// there are no hooks.
    pub(in crate::conn) fn unmatched(env: &Env, io: &Io, version: HttpVersion, head: Option<&Head>) -> Self {
        let head = head.filter(|_| !env.hooks.is_empty());
        let hooked = head.map(|head| call_start_hooks(env, io, head));
        Self { hooked, ..Self::invalid(env.now, version) }
    }

    /// Starts the telemetry of bytes that are no valid request: the response is counted. [`refused`] calls
    /// the hooks.
    pub(in crate::conn) fn invalid(now: Instant, version: HttpVersion) -> Self {
        Self { version, kind: DispatchKind::Inline, route: None, started: now, hooked: None }
    }

    /// Changes the HTTP version that the reply is counted for: the connection has switched to HTTP/2.
    #[cfg(feature = "http2")]
    pub(in crate::conn) fn is_over(&mut self, version: HttpVersion) {
        self.version = version;
    }

    /// Makes the reply count as the start of a WebSocket.
    #[cfg(feature = "ws")]
    pub(in crate::conn) fn is_websocket(&mut self) {
        self.kind = DispatchKind::Ws;
    }

    /// Makes the reply count as an event stream if its body has no end of its own.
    pub(in crate::conn) fn response_body(&mut self, body: &Body) {
        if body.is_endless() {
            self.kind = DispatchKind::Sse;
        }
    }

    /// Counts a reply whose head was written. Records the time since the end of the request's head.
    pub(in crate::conn) fn count_reply(&self, env: &Env, status: StatusCode) {
        env.counters.dispatched(self.version, self.kind).add(1);
        if env.counts_requests() {
            let duration = env.clock.saturating_duration_since(self.started);
            self.route_metrics(env).observe(env.shard, status.as_u16(), duration);
        }
    }

    /// Calls the end hooks, if there are any. `status` is that of the head that was written; `None` if none
    /// was. `body_bytes` were written, not necessarily received by the peer.
    pub(in crate::conn) fn finish(
        self,
        env: &Env,
        io: &Io,
        status: Option<StatusCode>,
        error: Option<&'static str>,
        body_bytes: u64,
    ) {
        let Some(hooked) = &self.hooked else { return };
        let route = Some(self.route_metrics(env).template()).filter(|template| *template != UNMATCHED);
        let panics = env.hooks.call_end(&RequestEnd {
            method: &hooked.method,
            path: &hooked.path,
            route,
            peer: io.peer,
            client: hooked.client,
            host: hooked.host.as_deref(),
            user_agent: hooked.user_agent.as_deref(),
            status,
            error,
            duration: env.time().saturating_duration_since(self.started),
            body_bytes,
        });
        env.counters.panics.add_many("hook", panics);
    }

    /// Calls the end hooks of a request whose connection ended before its reply began.
    pub(in crate::conn) fn finish_unanswered(self, env: &Env, io: &Io) {
        self.finish(env, io, None, Some(CONNECTION_ENDED), 0);
    }

    /// Returns the path template of the matched route; `None` if none matched.
    pub(in crate::conn) fn template(&self) -> Option<&str> {
        let template = self.route.as_ref()?.compiled().route_metrics.template();
        Some(template).filter(|template| *template != UNMATCHED)
    }

    /// Returns the metrics that this request counts towards.
    pub(in crate::conn) fn route_metrics<'a>(&'a self, env: &'a Env) -> &'a Arc<RouteMetrics> {
        match &self.route {
            Some(route) => &route.compiled().route_metrics,
            // All routers share these metrics.
            None => &env.routers.view(SHARED_ROUTER).table.unmatched,
        }
    }
}

fn call_start_hooks(env: &Env, io: &Io, head: &Head) -> Box<HookedRequest> {
    let (method, path) = (&head.method, head.text(head.path));
    let query = head.query.map(|query| head.text(query));
    let panics = env.hooks.call_start(&RequestStart { method, path, query, peer: io.peer });
    env.counters.panics.add_many("hook", panics);
    Box::new(HookedRequest {
        method: method.clone(),
        path: path.to_owned(),
        client: env.trusted.client(io.peer, head.header_pairs()),
        host: head.authority.map(|host| head.text(host).to_owned()),
        user_agent: head.header("user-agent").map(|agent| String::from_utf8_lossy(agent).into_owned()),
    })
}

/// Calls the hooks for bytes that were answered as an invalid request. `received` begins with them.
pub(in crate::conn) fn refused(env: &Env, io: &Io, received: &[u8], status: StatusCode, error: &str) {
    /// Maximum length of the line that the hooks get.
    const LINE_BYTES: usize = 256;
    if env.hooks.is_empty() {
        return;
    }
    let line = received.split(|byte| matches!(byte, b'\r' | b'\n')).find(|line| !line.is_empty());
    let line = line.unwrap_or_default();
    let line = &line[..line.len().min(LINE_BYTES)];
    let panics = env.hooks.call_refused(&RefusedRequest { peer: io.peer, line, status, error });
    env.counters.panics.add_many("hook", panics);
}
