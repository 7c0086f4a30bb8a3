//! Serves requests: finds the route, decides whether the body is read first, and starts the handler.

use std::{borrow::Cow, time::Duration};

use http::{Method, StatusCode, Version};

use super::{
    H2,
    incoming::Incoming,
    sending::write_data,
    stream::{Exchange, RoutedRequest, Stage, Stream},
};
use crate::{
    body::Body,
    conn::{
        env::Env,
        exchange::{
            answers, params,
            route::MatchedRoute,
            telemetry::{self, Telemetry},
        },
        io::Io,
        run::{self, Started},
    },
    metrics::{DispatchKind, HttpVersion},
    proto::{
        h2::{End, Head as DecodedHead, Key, encode},
        percent,
        semantics::{self, Reject},
    },
    request::{Head, Request, Span},
    response::Response,
    routing::{
        handler::{Answer, Asked},
        route::BodyMode,
        table::{CompiledRoute, Found, PathParams, Reason, RouteAction, Unserved},
    },
};

/// Request whose head was decoded into the shard's memory.
#[derive(Clone, Copy)]
struct Received<'a> {
    head: &'a DecodedHead,
    key: Key,
    /// The stream ends with the head: there is no body.
    ends: bool,
}

impl<'a> Received<'a> {
    fn path(self) -> &'a str {
        // The core has accepted only ASCII.
        std::str::from_utf8(self.head.path()).unwrap_or_default()
    }

    fn exchange(self, telemetry: Telemetry) -> Exchange {
        let is_head = self.head.method() == semantics::Method::Head;
        let is_connect = self.head.method() == semantics::Method::Connect;
        let offers_tunnel = self.head.protocol_span().is_some() && !self.ends;
        let request = encode::Exchange { is_head, is_connect };
        Exchange { key: self.key, request, telemetry, offers_tunnel }
    }

    /// Copies the head out of the shard's memory. `path` is the path that was looked up. Returns `None` if a
    /// path parameter is not valid text.
    fn copy_head(self, method: Method, path: &str, params: Option<&PathParams<'_, '_>>) -> Option<Head> {
        let mut copy = self.copy(method);
        params::store(&mut copy, path, params).then_some(copy)
    }

    /// Copies the head out of the shard's memory, without path parameters.
    fn copy(self, method: Method) -> Head {
        let head = self.head;
        let mut copy = Head::copy_from(head.bytes(), method, Version::HTTP_2);
        copy.path = head.path_span().into();
        copy.query = head.query_span().map(Span::from);
        copy.authority = head.authority_span().map(Span::from);
        copy.protocol = head.protocol_span().map(Span::from);
        copy.headers.extend(head.spans().iter().map(|f| (Span::from(f.name), Span::from(f.value))));
        copy
    }
}

impl H2 {
    /// Serves or refuses a request whose head is complete. `ends`: it has no body.
    pub(super) fn request(&mut self, env: &mut Env, io: &mut Io, head: &DecodedHead, key: Key, ends: bool) {
        self.last_activity = env.now;
        io.has_requested = true;
        if io.is_old(env) {
            self.leave(env, io, "age");
        }
        let request = Received { head, key, ends };
        let Ok(method) = head.http_method() else {
            return self.refuse(env, io, head, key, ends, Reject::Method);
        };
        let view = env.routers.view(io.router).clone();
        let table = &view.table;
        let is_tunnel = head.protocol_span().is_some();
        // The route of a WebSocket is one of GET (RFC 8441 §5).
        let wanted = if is_tunnel { Method::GET } else { method.clone() };
        let mut path = Cow::Borrowed(request.path());
        let mut found = match head.is_asterisk() {
            _ if method == Method::CONNECT && (!is_tunnel || ends) => table.unserved(Reason::Tunnel),
            true => table.options_for_all(),
            false => table.find(&wanted, request.path()),
        };
        if found.may_change(&path) {
            path = percent::normalized(request.path());
            found = table.find(&wanted, &path);
        }
        let (answer, around) = match found {
            Found::Unserved(Unserved { reason, around }) => (answers::unserved(reason), around),
            Found::Route(index, params) => {
                if ends && self.answer_static(env, io, request, table.route(index)) {
                    return;
                }
                if let Some(copy) = request.copy_head(method.clone(), &path, params.as_ref()) {
                    let route = MatchedRoute { view: view.clone(), index };
                    return self.serve_matched(env, io, request, copy, route);
                }
                env.counters.protocol_errors.add("path_parameter");
                (answers::bad_parameter(), Some(index))
            }
            Found::NotFoundHandler(index) => {
                let route = MatchedRoute { view: view.clone(), index };
                return self.serve_matched(env, io, request, request.copy(method), route);
            }
        };
        self.answer_unserved(env, io, request, &method, answer, around);
    }

    /// Answers a request for a static route with its prebuilt frames. Returns `false`, and does nothing, if
    /// the route is not static or the request has to take the general way: hooks, shedding, too little room.
    #[inline]
    fn answer_static(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        request: Received<'_>,
        entry: &CompiledRoute,
    ) -> bool {
        let RouteAction::Static(images, fixed) = &entry.action else { return false };
        let Some(image) = images.h2.as_ref().filter(|_| env.hooks.is_empty() && !env.sheds(entry.shed))
        else {
            return false;
        };
        if image.body_bytes() > self.core.room(request.key).min(self.room_at_once(io)) {
            return false;
        }
        let is_head = request.head.method() == semantics::Method::Head;
        let date = env.date.at(env.now);
        let rest = self.core.image_out(request.key, image, is_head, date, io.outbox.buffer());
        if let Some(body) = rest {
            write_data(&mut self.core, io, request.key, body, End::Stream);
        }
        env.counters.dispatched(HttpVersion::H2, DispatchKind::Static).add(1);
        if env.counts_requests() {
            entry.route_metrics.observe(env.shard, fixed.status.as_u16(), Duration::ZERO);
        }
        true
    }

    /// Answers a request that no route serves. Its body is discarded. `around` is the index of the route
    /// whose middleware surrounds the answer.
    fn answer_unserved(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        request: Received<'_>,
        method: &Method,
        answer: Answer,
        around: Option<usize>,
    ) {
        let shapes_errors = env.routers.view(io.router).table.on_error.is_some();
        let is_needed = around.is_some() || shapes_errors || !env.hooks.is_empty();
        let head = is_needed.then(|| request.copy(method.clone()));
        let telemetry = Telemetry::unmatched(env, io, HttpVersion::H2, head.as_ref());
        let exchange = Exchange { offers_tunnel: false, ..request.exchange(telemetry) };
        let incoming = discarded(env, request.ends);
        let response =
            env.shaped(io.router, Asked { head: head.as_ref(), route: None, peer: io.peer }, answer);
        match (around, head) {
            (Some(index), Some(head)) => {
                let route = MatchedRoute { view: env.routers.view(io.router).clone(), index };
                self.surround(env, io, exchange, RoutedRequest { head, route }, incoming, response);
            }
            _ => self.answer(env, io, exchange, incoming, response.into()),
        }
    }

    /// Answers a request in the place of its handler, with the route's middleware around the answer.
    pub(super) fn answer_instead(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        exchange: Exchange,
        request: RoutedRequest,
        incoming: Option<Incoming>,
        answer: Answer,
    ) {
        let route = exchange.telemetry.template();
        let response =
            env.shaped(io.router, Asked { head: Some(&request.head), route, peer: io.peer }, answer);
        self.surround(env, io, exchange, request, incoming, response);
    }

    /// Runs the middleware of a route around a response of the server.
    fn surround(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        exchange: Exchange,
        request: RoutedRequest,
        incoming: Option<Incoming>,
        response: Response,
    ) {
        let RoutedRequest { head, route } = request;
        let request =
            Request::new(head, Body::empty(), io.peer, route.view.context.clone()).with_tls(io.secure);
        let started = run::surround(env, io.id, exchange.key.id(), &route, request, response);
        self.started(env, io, exchange, incoming, started);
    }

    /// Writes the reply of a handler that was started, or keeps the stream until there is one.
    fn started(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        exchange: Exchange,
        incoming: Option<Incoming>,
        started: Started,
    ) {
        match started {
            Started::Done(outcome) => self.answer(env, io, exchange, incoming, outcome),
            Started::Running(handler) => {
                let key = exchange.key;
                self.keep(env, io, Stream::new(key, incoming, Stage::Running(exchange, handler)));
            }
        }
    }

    /// Answers a request that breaks a rule, and counts the fault. Its body is discarded.
    pub(super) fn refuse(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        head: &DecodedHead,
        key: Key,
        ends: bool,
        reject: Reject,
    ) {
        self.last_activity = env.now;
        env.counters.protocol_errors.add(reject.label());
        if env.may_warn() {
            let cause = reject.label();
            tracing::debug!(peer = ?io.peer, cause, error = %reject, "invalid request refused");
        }
        let telemetry = Telemetry::invalid(env.now, HttpVersion::H2);
        let request = Received { head, key, ends };
        let exchange = Exchange { offers_tunnel: false, ..request.exchange(telemetry) };
        let incoming = discarded(env, ends);
        let asked = Asked { head: None, route: None, peer: io.peer };
        let response = env.shaped(io.router, asked, answers::invalid(reject.status(), reject.text()));
        telemetry::refused(env, io, &[], response.status(), reject.text());
        self.answer(env, io, exchange, incoming, response.into());
    }

    /// Serves a request that matched a route: starts its handler, or first collects its body. `copy` is a
    /// copy of its head.
    fn serve_matched(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        request: Received<'_>,
        copy: Head,
        route: MatchedRoute,
    ) {
        let Received { head, key, ends } = request;
        let is_static = matches!(route.compiled().action, RouteAction::Static(..));
        let mode = route.compiled().body;
        let telemetry = Telemetry::matched(env, io, HttpVersion::H2, &copy, route.clone());
        let exchange = request.exchange(telemetry);
        let request = RoutedRequest { head: copy, route };
        if ends || is_static || exchange.offers_tunnel {
            let incoming = if exchange.offers_tunnel { None } else { discarded(env, ends) };
            return self.start(env, io, exchange, request, Body::empty(), incoming);
        }
        let limit = match mode {
            BodyMode::Whole(limit) => Some(limit.unwrap_or(env.limits.body_bytes)),
            BodyMode::Streamed => None,
        };
        let declared = head.content_length();
        if declared.zip(limit).is_some_and(|(declared, limit)| declared > limit as u64) {
            return self.answer_instead(env, io, exchange, request, None, answers::too_large());
        }
        if head.expects_continue() {
            self.core.headers_out(key, End::Open, io.outbox.buffer(), |out| {
                encode::interim(out, StatusCode::CONTINUE);
            });
        }
        match limit {
            Some(limit) => {
                let incoming = Incoming::collect(declared, limit, env.now);
                let stage = Stage::Collecting(exchange, Box::new(request));
                self.keep(env, io, Stream::new(key, Some(incoming), stage));
            }
            None => self.stream_body(env, io, exchange, request, declared),
        }
    }

    /// Starts the handler and passes the body to it as it is received. The stream's window limits what the
    /// handler has not taken.
    fn stream_body(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        exchange: Exchange,
        request: RoutedRequest,
        declared: Option<u64>,
    ) {
        let (sender, body) = match declared {
            Some(length) => Body::channel_with_len(usize::MAX, length),
            None => Body::channel(usize::MAX),
        };
        let incoming = Incoming::stream(sender, env.now);
        self.start_now(env, io, exchange, request, body, Some(incoming));
    }

    /// Starts the handler of a request whose body is complete, or delays it while the peer has to read first.
    pub(super) fn start(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        exchange: Exchange,
        request: RoutedRequest,
        body: Body,
        incoming: Option<Incoming>,
    ) {
        if self.must_wait(env, exchange.key) {
            return self.delay(env, io, exchange, request, body, incoming);
        }
        self.start_now(env, io, exchange, request, body, incoming);
    }

    /// Starts the handler of a request, whose `body` is complete or a channel that the stream feeds. Instead,
    /// sheds it, or answers it if its route is static.
    pub(super) fn start_now(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        exchange: Exchange,
        request: RoutedRequest,
        body: Body,
        incoming: Option<Incoming>,
    ) {
        if env.sheds(request.route.compiled().shed) {
            let answer = answers::shed(env, exchange.key.id());
            return self.answer_instead(env, io, exchange, request, incoming, answer);
        }
        let RoutedRequest { head, route } = request;
        if let RouteAction::Static(_, fixed) = &route.compiled().action {
            return self.answer(env, io, exchange, incoming, fixed.to_response().into());
        }
        let request = Request::new(head, body, io.peer, route.view.context.clone()).with_tls(io.secure);
        let started = run::start(env, io.id, exchange.key.id(), &route, request);
        self.started(env, io, exchange, incoming, started);
    }
}

/// Returns the destination of a body that no handler reads, if there is a body.
fn discarded(env: &Env, ends: bool) -> Option<Incoming> {
    (!ends).then(|| Incoming::discard(env.limits.discard_bytes, env.now))
}
