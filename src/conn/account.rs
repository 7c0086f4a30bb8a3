//! What is kept of a request until its reply is written: its route, and what its figures and hooks are told. The same
//! for every protocol.

use std::{sync::Arc, time::Instant};

use http::{Method, StatusCode};

use super::{Env, Io, run};
use crate::{
    body::Body,
    hooks::{RequestEnd, RequestStart},
    metrics::{DispatchKind, HttpVersion, RouteMetrics, UNMATCHED},
    request::Head,
    routing::{
        route::Dispatch,
        table::{Entry, Run, View},
    },
};

/// What the end hooks are told when the peer went away, or was cut.
pub(super) const ENDED_FIRST: &str = "the connection ended first";

/// The compiled route that serves a request, in the snapshot the request started with.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) view: Arc<View>,
    pub(super) entry: usize,
}

impl Target {
    pub(super) fn entry(&self) -> &Entry {
        self.view.table.entry(self.entry)
    }
}

/// One request's entry in figures and hooks.
pub(super) struct Account {
    version: HttpVersion,
    kind: DispatchKind,
    /// None: no route matched.
    target: Option<Target>,
    /// When its head was complete.
    started: Instant,
    /// Only if somebody listens.
    record: Option<Box<Record>>,
}

/// What the end hooks are told beside the outcome.
struct Record {
    method: Method,
    path: String,
}

impl Account {
    /// Opens the account of a request that has a route, and tells the start hooks.
    pub(super) fn served(env: &Env, io: &Io, version: HttpVersion, head: &Head, target: Target) -> Self {
        let kind = match (&target.entry().run, target.entry().dispatch()) {
            (Run::Static(..), _) => DispatchKind::Static,
            (_, Dispatch::Inline) => DispatchKind::Inline,
            (_, Dispatch::Async) => DispatchKind::Async,
        };
        let tell =
            || start(env, io, &head.method, head.text(head.path), head.query.map(|query| head.text(query)));
        let record = (!env.hooks.is_empty()).then(tell);
        Self { version, kind, target: Some(target), started: env.now, record }
    }

    /// Opens the account of a request that no route serves, and tells the start hooks.
    pub(super) fn unserved(
        env: &Env,
        io: &Io,
        version: HttpVersion,
        method: &Method,
        path: &str,
        query: Option<&str>,
    ) -> Self {
        let record = (!env.hooks.is_empty()).then(|| start(env, io, method, path, query));
        Self { record, ..Self::nobodys(env, version) }
    }

    /// Opens the account of bytes that are no request: an answer is counted, no hook is told.
    pub(super) fn nobodys(env: &Env, version: HttpVersion) -> Self {
        Self { version, kind: DispatchKind::Inline, target: None, started: env.now, record: None }
    }

    /// Notes that a WebSocket came of the request.
    #[cfg(feature = "ws")]
    pub(super) fn switched(&mut self) {
        self.kind = DispatchKind::Ws;
    }

    /// Notes what the reply's body is: one without an end of its own is a stream of events.
    pub(super) fn note_body(&mut self, body: &Body) {
        if body.is_endless() {
            self.kind = DispatchKind::Sse;
        }
    }

    /// Counts a reply whose head was written.
    pub(super) fn count(&self, env: &Env, status: StatusCode) {
        env.counters.dispatched(self.version, self.kind).add(1);
        if env.counts_requests() {
            let took = env.clock.saturating_duration_since(self.started);
            self.route_metrics(env).observe(env.shard, status.as_u16(), took);
        }
    }

    /// Tells the end hooks, once for each request.
    pub(super) fn finish(
        self,
        env: &Env,
        io: &Io,
        status: Option<StatusCode>,
        error: Option<&'static str>,
        body_bytes: u64,
    ) {
        let Some(record) = &self.record else { return };
        let route = Some(self.route_metrics(env).template()).filter(|template| *template != UNMATCHED);
        let panics = env.hooks.ended(&RequestEnd {
            method: &record.method,
            path: &record.path,
            route,
            peer: io.peer,
            status,
            error,
            duration: run::clock().saturating_duration_since(self.started),
            body_bytes,
        });
        env.counters.panics.add_many("hook", panics);
    }

    /// Tells the end hooks of a request whose connection ended before anything of its reply was written.
    pub(super) fn ended_first(self, env: &Env, io: &Io) {
        self.finish(env, io, None, Some(ENDED_FIRST), 0);
    }

    /// Returns the figures this request counts into.
    pub(super) fn route_metrics<'a>(&'a self, env: &'a Env) -> &'a Arc<RouteMetrics> {
        match &self.target {
            Some(target) => &target.entry().route_metrics,
            None => &env.view.table.unmatched,
        }
    }
}

fn start(env: &Env, io: &Io, method: &Method, path: &str, query: Option<&str>) -> Box<Record> {
    let panics = env.hooks.started(&RequestStart { method, path, query, peer: io.peer });
    env.counters.panics.add_many("hook", panics);
    Box::new(Record { method: method.clone(), path: path.to_owned() })
}
