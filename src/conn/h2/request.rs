//! One request: which route it means, whether its body is read first, and what runs it.

use http::{Method, StatusCode, header, request::Parts};

use super::{
    H2,
    engine::{Accepted, Inbound},
    head,
    incoming::Incoming,
    stream::{Exchange, Pending, State, Stream},
};
use crate::{
    body::Body,
    conn::{
        env::Env,
        exchange::{answers, params, route::MatchedRoute, telemetry::Telemetry},
        io::Io,
        run::{self, Started},
    },
    metrics::HttpVersion,
    proto::h1::Reject,
    request::{Head, Request},
    response::{Response, plain},
    routing::{
        route::BodyMode,
        table::{Found, RouteAction},
    },
};

impl H2 {
    /// Serves a request whose head is complete.
    pub(super) fn request(&mut self, env: &mut Env, io: &mut Io, accepted: Accepted) {
        if io.is_old(env) {
            self.leave(env, "age");
        }
        let parts = &accepted.head;
        if parts.method == Method::CONNECT && (accepted.protocol.is_none() || accepted.body.is_none()) {
            let response = plain(StatusCode::NOT_IMPLEMENTED, "This server opens no tunnels.\n");
            return self.unserved(env, io, accepted, None, response);
        }
        if has_unknown_expectation(parts) {
            return self.refuse(env, io, accepted, Reject::Expectation);
        }
        match head::request(parts, &env.limits) {
            Ok(mut head) => {
                head.protocol = accepted.protocol.as_ref().map(|protocol| head.append(protocol.as_bytes()));
                self.route(env, io, accepted, head);
            }
            Err(reject) => self.refuse(env, io, accepted, reject),
        }
    }

    fn route(&mut self, env: &mut Env, io: &mut Io, accepted: Accepted, mut head: Head) {
        let view = env.view.clone();
        let path = accepted.head.uri.path();
        let found = match path {
            "*" => Found::Options(view.table.allow_all()),
            // What opens a WebSocket is a GET route (RFC 8441 §5).
            _ if head.protocol.is_some() => view.table.find(&Method::GET, path),
            _ => view.table.find(&head.method, path),
        };
        match found {
            Found::Route(entry, params) => {
                if !params::store(&mut head, path.as_bytes(), params) {
                    env.counters.protocol_errors.add("path_parameter");
                    return self.unserved(env, io, accepted, Some(&head), answers::bad_parameter());
                }
                let route = MatchedRoute { view: view.clone(), index: entry };
                self.matched(env, io, accepted, head, route);
            }
            Found::NotAllowed(allow) => {
                self.unserved(env, io, accepted, Some(&head), answers::method_not_allowed(allow));
            }
            Found::Options(allow) => self.unserved(env, io, accepted, Some(&head), answers::options(allow)),
            Found::Nothing => self.unserved(env, io, accepted, Some(&head), answers::not_found()),
        }
    }

    /// Answers a request that no route serves; its body is thrown away.
    fn unserved(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        accepted: Accepted,
        head: Option<&Head>,
        response: Response,
    ) {
        let method = &accepted.head.method;
        let path = head.map_or("", |head| head.text(head.path));
        let query = head.and_then(|head| head.query.map(|query| head.text(query)));
        let telemetry = Telemetry::unmatched(env, io, HttpVersion::H2, method, path, query);
        let is_head = *method == Method::HEAD;
        let exchange = Exchange { id: accepted.id, is_head, telemetry, reply: accepted.reply, tunnel: None };
        let unwanted = unwanted(env, accepted.body);
        self.answer(env, io, exchange, unwanted, response.into());
    }

    /// Answers a fault of the peer that concerns this stream only.
    fn refuse(&mut self, env: &mut Env, io: &mut Io, accepted: Accepted, reject: Reject) {
        env.counters.protocol_errors.add(reject.label());
        if env.may_warn() {
            let cause = reject.label();
            tracing::debug!(peer = ?io.peer, cause, error = %reject, "invalid request refused");
        }
        let is_head = accepted.head.method == Method::HEAD;
        let telemetry = Telemetry::invalid(env.now, HttpVersion::H2);
        let exchange = Exchange { id: accepted.id, is_head, telemetry, reply: accepted.reply, tunnel: None };
        let unwanted = unwanted(env, accepted.body);
        self.answer(env, io, exchange, unwanted, plain(reject.status(), reject.text()).into());
    }

    /// Serves a request that has a route.
    fn matched(&mut self, env: &mut Env, io: &mut Io, accepted: Accepted, head: Head, route: MatchedRoute) {
        let Accepted { id, head: parts, body, mut reply, protocol } = accepted;
        let is_static = matches!(route.compiled().action, RouteAction::Static(..));
        let telemetry = Telemetry::matched(env, io, HttpVersion::H2, &head, route.clone());
        let is_head = parts.method == Method::HEAD;
        let mode = route.compiled().body;
        let pending = Pending { head, route };
        if protocol.is_some() {
            let exchange = Exchange { id, is_head, telemetry, reply, tunnel: body };
            return self.start(env, io, exchange, pending, Body::empty(), None);
        }
        let inbound = match body {
            Some(inbound) if !is_static => inbound,
            unread => {
                let exchange = Exchange { id, is_head, telemetry, reply, tunnel: None };
                let unwanted = unwanted(env, unread);
                return self.start(env, io, exchange, pending, Body::empty(), unwanted);
            }
        };
        let declared = declared_length(&parts);
        let limit = match mode {
            BodyMode::Whole(limit) => Some(limit.unwrap_or(env.limits.body_bytes)),
            BodyMode::Streamed => None,
        };
        let fits = declared.zip(limit).is_none_or(|(declared, limit)| declared <= limit as u64);
        if fits && parts.headers.contains_key(header::EXPECT) {
            reply.proceed();
        }
        let exchange = Exchange { id, is_head, telemetry, reply, tunnel: None };
        match limit {
            _ if !fits => self.answer(env, io, exchange, None, answers::too_large()),
            Some(limit) => {
                let declared = declared.map_or(0, |declared| declared as usize);
                let incoming = Incoming::collect(inbound, declared, limit, env.now);
                self.keep(
                    env,
                    io,
                    Stream::new(id, Some(incoming), State::Collecting(exchange, Box::new(pending))),
                );
            }
            None => self.stream(env, io, exchange, pending, inbound, declared),
        }
    }

    /// Starts the handler and feeds it the body as it comes.
    fn stream(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        exchange: Exchange,
        pending: Pending,
        inbound: Inbound,
        declared: Option<u64>,
    ) {
        let window = env.limits.body_window_bytes;
        let (sender, body) = match declared {
            Some(length) => Body::channel_with_len(window, length),
            None => Body::channel(window),
        };
        let incoming = Incoming::stream(inbound, sender, env.now);
        self.start(env, io, exchange, pending, body, Some(incoming));
    }

    /// Runs a request whose body is there, or is a channel.
    pub(super) fn start(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        exchange: Exchange,
        pending: Pending,
        body: Body,
        incoming: Option<Incoming>,
    ) {
        let Pending { head, route } = pending;
        if env.sheds(route.compiled().shed) {
            let outcome = answers::shed(env, exchange.id);
            return self.answer(env, io, exchange, incoming, outcome);
        }
        if let RouteAction::Static(_, fixed) = &route.compiled().action {
            return self.answer(env, io, exchange, incoming, fixed.to_response().into());
        }
        let request = Request::new(head, body, io.peer, route.view.context.clone()).with_tls(io.secure);
        match run::start(env, io.id, exchange.id, &route, request) {
            Started::Done(outcome) => self.answer(env, io, exchange, incoming, outcome),
            Started::Running(task) => {
                let id = exchange.id;
                self.keep(env, io, Stream::new(id, incoming, State::Waiting(exchange, task)));
            }
        }
    }
}

/// Throws a body away that nobody reads.
fn unwanted(env: &Env, body: Option<Inbound>) -> Option<Incoming> {
    body.map(|inbound| Incoming::discard(inbound, env.limits.discard_bytes, env.now))
}

/// Returns `true` if the peer has an expectation other than `100-continue` (RFC 9110 §10.1.1).
fn has_unknown_expectation(parts: &Parts) -> bool {
    parts
        .headers
        .get_all(header::EXPECT)
        .iter()
        .any(|value| !value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Returns the length the head declares; the engine has checked that it is a number, and holds the peer to
/// it.
fn declared_length(parts: &Parts) -> Option<u64> {
    parts.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
