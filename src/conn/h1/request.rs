//! Serves requests: finds the route, decides whether the body is read first, and starts the handler.

use std::time::Duration;

use http::{Method, StatusCode, Version};

use super::{
    H1,
    context::{ReplyContext, RoutedRequest, UpgradeOffer},
    h2c,
    incoming::Incoming,
};
use crate::{
    body::Body,
    conn::{
        env::Env,
        exchange::{answers, params, route::MatchedRoute, telemetry::Telemetry},
        io::Io,
        run::{self, Started},
    },
    metrics::{DispatchKind, HttpVersion},
    proto::h1::{self as proto, Exchange, Form, Framing, Reject},
    request::{Head, Request, Span},
    response::{Response, plain},
    routing::{
        route::{BodyMode, Dispatch},
        table::{Found, RouteAction},
    },
};

/// Request whose head was parsed in the receive buffer.
struct Received<'a> {
    head: &'a proto::Head,
    /// Exactly the bytes of the head.
    bytes: &'a [u8],
    method: Method,
    exchange: Exchange,
}

impl<'a> Received<'a> {
    fn path(&self) -> &'a str {
        // The parser has accepted only ASCII.
        std::str::from_utf8(self.head.path(self.bytes)).unwrap_or_default()
    }

    fn query(&self) -> Option<&'a str> {
        self.head.query(self.bytes).and_then(|query| std::str::from_utf8(query).ok())
    }

    /// Copies the head out of the receive buffer. Returns `None` if a path parameter is not valid text.
    fn copy_head(&self, params: Option<matchit::Params<'_, '_>>) -> Option<Head> {
        let (head, bytes) = (self.head, self.bytes);
        let version = match head.version() {
            proto::Version::Http10 => Version::HTTP_10,
            proto::Version::Http11 => Version::HTTP_11,
        };
        let path = head.path(bytes);
        let mut copy = Head::copy_from(bytes, self.method.clone(), version);
        copy.path = match bytes.as_ptr_range().contains(&path.as_ptr()) {
            true => Span::within(bytes, path),
            // An absolute target without a path means the root.
            false => copy.append(path),
        };
        copy.query = head.query(bytes).map(|query| Span::within(bytes, query));
        copy.authority = head.authority(bytes).map(|authority| Span::within(bytes, authority));
        copy.headers.extend(head.spans().iter().map(|f| (Span::from(f.name), Span::from(f.value))));
        params::store(&mut copy, path, params).then_some(copy)
    }

    /// Returns `true` if the client offers to switch to HTTP/2 and the server accepts that.
    #[inline]
    fn asks_for_http2(&self, env: &Env, io: &Io) -> bool {
        h2c::offered(env, io, self.head, self.bytes, self.exchange).is_some()
    }

    /// Returns the client's offer to switch protocols. HTTP/2 takes over requests that are complete, so a
    /// body that is streamed or discarded excludes it.
    fn upgrade_offer(&self, env: &Env, io: &Io, mode: BodyMode, is_static: bool) -> UpgradeOffer {
        if self.head.framing().is_empty() || matches!(mode, BodyMode::Whole(_)) && !is_static {
            let settings = h2c::offered(env, io, self.head, self.bytes, self.exchange);
            if let Some(settings) = settings {
                return UpgradeOffer::Http2(settings);
            }
        }
        if self.head.upgrade() && !is_static { UpgradeOffer::Handler } else { UpgradeOffer::Nothing }
    }

    /// Decides what happens to the body, which nobody wants: a short one is discarded, otherwise the
    /// connection closes.
    fn discard_body(&mut self, env: &Env) -> Option<Box<Incoming>> {
        let budget = env.limits.discard_bytes;
        match self.head.framing() {
            framing if framing.is_empty() => return None,
            Framing::Length(length) if length > budget as u64 => self.exchange.keep_alive = false,
            // The client waits for a response before it sends the body. After a final one it need not send
            // it.
            _ if self.head.expects_continue() => self.exchange.keep_alive = false,
            _ => {}
        }
        let decoder = proto::Body::new(self.head.framing(), &env.h1_limits);
        self.exchange.keep_alive.then(|| Box::new(Incoming::discard(decoder, budget, env.now)))
    }
}

impl H1 {
    /// Serves a request whose head is complete. `bytes` is exactly the head.
    pub(super) fn serve(&mut self, env: &mut Env, io: &mut Io, head: &proto::Head, bytes: &[u8]) {
        self.reading.head_parsed();
        let mut exchange = Exchange::new(head);
        if !exchange.keep_alive && head.framing().is_empty() {
            self.reading.last_request_parsed();
        }
        exchange.keep_alive &= !env.is_draining() && !io.is_old(env);
        let Ok(method) = head.http_method(bytes) else { return self.reject(env, io, Reject::Method) };
        let mut request = Received { head, bytes, method, exchange };
        let found = match head.form() {
            Form::Asterisk => Found::Options(env.view.table.allow_all()),
            _ => env.view.table.find(&request.method, request.path()),
        };
        let response = match found {
            Found::Route(index, params) => {
                let entry = env.view.table.route(index);
                if let RouteAction::Static(images, fixed) = &entry.action
                    && self.replies.is_empty()
                    && head.framing().is_empty()
                    && env.hooks.is_empty()
                    && !env.sheds(entry.shed)
                    && !request.asks_for_http2(env, io)
                {
                    let image = &images.h1;
                    let long_body = image.write(io.outbox.buffer(), exchange, env.date.at(env.now));
                    long_body.into_iter().for_each(|body| io.outbox.share(body));
                    env.counters.dispatched(HttpVersion::H1, DispatchKind::Static).add(1);
                    if env.counts_requests() {
                        entry.route_metrics.observe(env.shard, fixed.status.as_u16(), Duration::ZERO);
                    }
                    if !(exchange.keep_alive && image.keep_alive(exchange)) {
                        self.reading.close_after_replies();
                    }
                    return;
                }
                if let Some(copy) = request.copy_head(params) {
                    let route = MatchedRoute { view: env.view.clone(), index };
                    return self.serve_matched(env, io, request, copy, route);
                }
                env.counters.protocol_errors.add("path_parameter");
                request.exchange.keep_alive = false;
                answers::bad_parameter()
            }
            Found::NotAllowed(allow) => answers::method_not_allowed(allow),
            Found::Options(allow) => answers::options(allow),
            Found::Nothing => answers::not_found(),
        };
        self.answer_unmatched(env, io, request, response);
    }

    /// Answers a request that matched no route. Its body is discarded.
    fn answer_unmatched(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        mut request: Received<'_>,
        response: Response,
    ) {
        let body = request.discard_body(env);
        let (path, query) = (request.path(), request.query());
        let telemetry = Telemetry::unmatched(env, io, HttpVersion::H1, &request.method, path, query);
        self.answer(env, io, ReplyContext { exchange: request.exchange, telemetry }, response.into());
        if let Some(body) = body {
            self.reading.body_follows(body);
        }
    }

    /// Serves a request that matched a route. `copy` is a copy of its head.
    fn serve_matched(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        mut request: Received<'_>,
        copy: Head,
        route: MatchedRoute,
    ) {
        let entry = route.compiled();
        let (mode, is_static) = (entry.body, matches!(entry.action, RouteAction::Static(..)));
        let discarded = if is_static { request.discard_body(env) } else { None };
        let telemetry = Telemetry::matched(env, io, HttpVersion::H1, &copy, route.clone());
        let context = ReplyContext { exchange: request.exchange, telemetry };
        let head = request.head;
        let offer = request.upgrade_offer(env, io, mode, is_static);
        let request = RoutedRequest { head: copy, route, context, offer };
        if head.framing().is_empty() || is_static {
            self.start(env, io, request, Body::empty());
            if let Some(body) = discarded {
                self.reading.body_follows(body);
            }
            return;
        }
        match mode {
            BodyMode::Whole(limit) => {
                self.collect_body(env, io, head, request, limit.unwrap_or(env.limits.body_bytes));
            }
            BodyMode::Streamed => self.stream_body(env, io, head, request),
        }
    }

    /// Collects the body before the request starts. Refuses at once a body that is declared too large.
    fn collect_body(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        head: &proto::Head,
        mut request: RoutedRequest,
        limit: usize,
    ) {
        if matches!(head.framing(), Framing::Length(length) if length > limit as u64) {
            request.context.exchange.keep_alive = false;
            return self.answer(env, io, request.context, answers::too_large());
        }
        send_continue(head, io);
        let declared = match head.framing() {
            Framing::Length(length) => length as usize,
            Framing::None | Framing::Chunked => 0,
        };
        let decoder = proto::Body::new(head.framing(), &env.h1_limits);
        let incoming = Incoming::collect(decoder, request, declared, limit, env.now);
        self.reading.body_follows(Box::new(incoming));
    }

    /// Starts the handler and passes the body to it as it is received.
    fn stream_body(&mut self, env: &mut Env, io: &mut Io, head: &proto::Head, request: RoutedRequest) {
        send_continue(head, io);
        let decoder = proto::Body::new(head.framing(), &env.h1_limits);
        let window = env.limits.body_window_bytes;
        let (sender, body) = match head.framing() {
            Framing::Length(length) => Body::channel_with_len(window, length),
            Framing::None | Framing::Chunked => Body::channel(window),
        };
        self.reading.body_follows(Box::new(Incoming::stream(decoder, sender, env.now)));
        self.start(env, io, request, body);
    }

    /// Starts the handler of a request. Its body is complete, or a channel that the connection feeds.
    pub(super) fn start(&mut self, env: &mut Env, io: &mut Io, request: RoutedRequest, body: Body) {
        #[cfg(feature = "http2")]
        if let UpgradeOffer::Http2(peer) = request.offer
            && self.replies.is_empty()
        {
            return self.switch_to_http2(io, request, body, peer);
        }
        let RoutedRequest { head, route, context, offer } = request;
        let seq = self.replies.next_seq();
        if env.sheds(route.compiled().shed) {
            let outcome = answers::shed(env, seq);
            return self.answer(env, io, context, outcome);
        }
        let dispatch = match &route.compiled().action {
            RouteAction::Static(_, fixed) => {
                return self.answer(env, io, context, fixed.to_response().into());
            }
            RouteAction::Chain(_, dispatch) => *dispatch,
        };
        if dispatch == Dispatch::Async {
            self.promote(env);
        }
        let request = Request::new(head, body, io.peer, route.view.context.clone()).with_tls(io.secure);
        let keep_alive = context.exchange.keep_alive;
        match run::start(env, io.id, seq, &route, request) {
            Started::Done(outcome) => self.answer(env, io, context, outcome),
            Started::Running(task) => {
                self.replies.push_running(context, task);
                if !keep_alive {
                    self.reading.close_after_replies();
                }
            }
        }
        if offer == UpgradeOffer::Handler && !self.replies.is_empty() {
            self.reading.upgrade_offered();
        }
    }

    /// Refuses bytes that are no request. The refusal follows the replies that are owed, then the connection
    /// closes.
    pub(super) fn refuse(&mut self, env: &mut Env, io: &mut Io, status: StatusCode, text: &'static str) {
        let exchange =
            Exchange { version: proto::Version::Http11, method: proto::Method::Get, keep_alive: false };
        let context = ReplyContext { exchange, telemetry: Telemetry::invalid(env.now, HttpVersion::H1) };
        self.reading.stop();
        self.answer(env, io, context, plain(status, text).into());
    }
}

/// Tells a client that waits for it to send the body.
fn send_continue(head: &proto::Head, io: &mut Io) {
    if head.expects_continue() {
        io.outbox.buffer().extend_from_slice(proto::encode::CONTINUE);
    }
}
