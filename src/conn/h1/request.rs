//! Serves requests: finds the route, decides whether the body is read first, and starts the handler.

use http::{Method, StatusCode, Version};

use super::{
    H1,
    context::{ReplyContext, RoutedRequest},
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
        table::{Found, Run},
    },
};

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
        // The parser has accepted only ASCII.
        let path = std::str::from_utf8(head.path(bytes)).unwrap_or_default();
        let found = match head.form() {
            Form::Asterisk => Found::Options(env.view.table.allow_all()),
            _ => env.view.table.find(&method, path),
        };
        match found {
            Found::Entry(index, params) => {
                let entry = env.view.table.entry(index);
                if let Run::Static(image, fixed) = &entry.run
                    && self.replies.is_empty()
                    && head.framing().is_empty()
                    && env.hooks.is_empty()
                    && !env.sheds(entry.shed)
                {
                    let long_body = image.write(io.outbox.buffer(), exchange, env.date.at(env.now));
                    long_body.into_iter().for_each(|body| io.outbox.share(body));
                    env.counters.dispatched(HttpVersion::H1, DispatchKind::Static).add(1);
                    if env.counts_requests() {
                        entry.route_metrics.observe(
                            env.shard,
                            fixed.status.as_u16(),
                            std::time::Duration::ZERO,
                        );
                    }
                    if !(exchange.keep_alive && image.keep_alive(exchange)) {
                        self.reading.close_after_replies();
                    }
                    return;
                }
                let Some(request_head) = request_head(head, bytes, method.clone(), params) else {
                    env.counters.protocol_errors.add("path_parameter");
                    exchange.keep_alive = false;
                    let response = answers::bad_parameter();
                    return self.answer_unmatched(env, io, head, bytes, exchange, &method, response);
                };
                let route = MatchedRoute { view: env.view.clone(), index };
                self.serve_matched(env, io, head, exchange, request_head, route);
            }
            Found::NotAllowed(allow) => {
                let response = answers::method_not_allowed(allow);
                self.answer_unmatched(env, io, head, bytes, exchange, &method, response);
            }
            Found::Options(allow) => {
                let response = answers::options(allow);
                self.answer_unmatched(env, io, head, bytes, exchange, &method, response);
            }
            Found::Nothing => {
                self.answer_unmatched(env, io, head, bytes, exchange, &method, answers::not_found());
            }
        }
    }

    /// Answers a request that matched no route. Its body is discarded.
    #[allow(clippy::too_many_arguments, reason = "they are the parts of one request")]
    fn answer_unmatched(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        head: &proto::Head,
        bytes: &[u8],
        mut exchange: Exchange,
        method: &Method,
        response: Response,
    ) {
        let body = self.body_to_discard(env, head, &mut exchange);
        let path = std::str::from_utf8(head.path(bytes)).unwrap_or_default();
        let query = head.query(bytes).and_then(|query| std::str::from_utf8(query).ok());
        let telemetry = Telemetry::unmatched(env, io, HttpVersion::H1, method, path, query);
        self.answer(env, io, ReplyContext { exchange, telemetry }, response.into());
        self.expect_body(body);
    }

    /// Serves a request that matched a route.
    fn serve_matched(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        head: &proto::Head,
        mut exchange: Exchange,
        request_head: Head,
        route: MatchedRoute,
    ) {
        let entry = route.entry();
        let (mode, is_static) = (entry.body, matches!(entry.run, Run::Static(..)));
        let framing = head.framing();
        let discarded = if is_static { self.body_to_discard(env, head, &mut exchange) } else { None };
        let telemetry = Telemetry::matched(env, io, HttpVersion::H1, &request_head, route.clone());
        let context = ReplyContext { exchange, telemetry };
        let offers_upgrade = head.upgrade() && !is_static;
        let request = RoutedRequest { head: request_head, route, context, offers_upgrade };
        if framing.is_empty() || is_static {
            self.start(env, io, request, Body::empty());
            return self.expect_body(discarded);
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

    fn expect_body(&mut self, body: Option<Box<Incoming>>) {
        if let Some(body) = body {
            self.reading.body_follows(body);
        }
    }

    /// Decides what happens to a body that nobody wants: a short one is discarded, otherwise the connection
    /// closes.
    fn body_to_discard(
        &self,
        env: &Env,
        head: &proto::Head,
        exchange: &mut Exchange,
    ) -> Option<Box<Incoming>> {
        let budget = env.limits.discard_bytes;
        match head.framing() {
            framing if framing.is_empty() => return None,
            Framing::Length(length) if length > budget as u64 => exchange.keep_alive = false,
            // The client waits for a response before it sends the body. After a final one it need not send
            // it.
            _ if head.expects_continue() => exchange.keep_alive = false,
            _ => {}
        }
        let decoder = proto::Body::new(head.framing(), &env.h1_limits);
        exchange.keep_alive.then(|| Box::new(Incoming::discard(decoder, budget, env.now)))
    }

    /// Starts the handler of a request. Its body is complete, or a channel that the connection feeds.
    pub(super) fn start(&mut self, env: &mut Env, io: &mut Io, request: RoutedRequest, body: Body) {
        let RoutedRequest { head, route, context, offers_upgrade } = request;
        let seq = self.replies.next_seq();
        if env.sheds(route.entry().shed) {
            let outcome = answers::shed(env, seq);
            return self.answer(env, io, context, outcome);
        }
        let dispatch = match &route.entry().run {
            Run::Static(_, fixed) => return self.answer(env, io, context, fixed.to_response().into()),
            Run::Chain(_, dispatch) => *dispatch,
        };
        if dispatch == Dispatch::Async {
            self.promote(env);
        }
        let request = Request::new(head, body, io.peer, route.view.context.clone()).over_tls(io.secure);
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
        if offers_upgrade && !self.replies.is_empty() {
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

/// Copies the head out of the receive buffer. Returns `None` if a path parameter is not valid text.
fn request_head(
    head: &proto::Head,
    bytes: &[u8],
    method: Method,
    params: Option<matchit::Params<'_, '_>>,
) -> Option<Head> {
    let version = match head.version() {
        proto::Version::Http10 => Version::HTTP_10,
        proto::Version::Http11 => Version::HTTP_11,
    };
    let path = head.path(bytes);
    let mut own = Head::over(bytes, method, version);
    own.path = match bytes.as_ptr_range().contains(&path.as_ptr()) {
        true => Span::within(bytes, path),
        // An absolute target without a path means the root.
        false => own.append(path),
    };
    own.query = head.query(bytes).map(|query| Span::within(bytes, query));
    own.authority = head.authority(bytes).map(|authority| Span::within(bytes, authority));
    own.headers.extend(head.spans().iter().map(|f| (Span::from(f.name), Span::from(f.value))));
    params::store(&mut own, path, params).then_some(own)
}
