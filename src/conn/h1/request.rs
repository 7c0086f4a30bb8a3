//! Serves requests: finds the route, decides whether the body is read first, and starts the handler.

use std::{borrow::Cow, time::Duration};

use http::{Method, Version};

use super::{
    H1,
    context::{ReplyContext, RoutedRequest, UpgradeOffer},
    h2c,
    incoming::{Decoded, Incoming},
    parse,
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
        h1::{self as proto, Exchange, Form, Framing, Reject},
        percent,
    },
    request::{Head, Request, Span},
    response::Response,
    routing::{
        handler::{Answer, Asked},
        route::{BodyMode, Dispatch},
        table::{Found, PathParams, Reason, RouteAction, Unserved},
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

    /// Copies the head out of the receive buffer. `path` is the path that was looked up. Returns `None` if a
    /// path parameter is not valid text.
    fn copy_head(&self, path: &str, params: Option<&PathParams<'_, '_>>) -> Option<Head> {
        let mut copy = self.copy();
        params::store(&mut copy, path, params).then_some(copy)
    }

    /// Copies the head out of the receive buffer, without path parameters.
    fn copy(&self) -> Head {
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
        copy
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

    /// Decides what happens to a body that no handler reads. A short one is discarded, otherwise the
    /// connection closes after the reply: `keep_alive` is cleared. `received` are the bytes after the head
    /// that have arrived.
    ///
    /// Returns the rest of the body that is still to be discarded, and how many bytes were discarded.
    fn discard_body(&mut self, env: &Env, received: &[u8]) -> (Option<Box<Incoming>>, usize) {
        let budget = env.limits.discard_bytes;
        match self.head.framing() {
            framing if framing.is_empty() => return (None, 0),
            Framing::Length(length) if length > budget as u64 => self.exchange.keep_alive = false,
            // The client waits for a response before it sends the body. After a final one it need not send
            // it.
            _ if self.head.expects_continue() => self.exchange.keep_alive = false,
            _ => {}
        }
        if !self.exchange.keep_alive {
            return (None, 0);
        }
        let decoder = proto::Body::new(self.head.framing(), &env.h1_limits);
        let mut incoming = Box::new(Incoming::discard(decoder, budget, env.now));
        let mut at = 0;
        while at < received.len() {
            let (used, decoded) = incoming.decode(&received[at..], env.now);
            at += used;
            match decoded {
                Decoded::More => {}
                Decoded::Complete => return (None, at),
                Decoded::TooLarge | Decoded::Invalid(_) => break,
            }
        }
        // The response must announce the close, and the rest of a chunked body may be longer than is
        // discarded.
        self.exchange.keep_alive = !incoming.is_unwanted_beyond(budget);
        (self.exchange.keep_alive.then_some(incoming), at)
    }
}

impl H1 {
    /// Serves or refuses a request whose head is complete. `bytes` is exactly the head, `received` the bytes
    /// after it. Returns how many bytes of the body were consumed.
    pub(super) fn serve(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        head: &proto::Head,
        bytes: &[u8],
        received: &[u8],
    ) -> usize {
        self.reading.head_parsed();
        let mut exchange = Exchange::new(head);
        if !exchange.keep_alive && head.framing().is_empty() {
            self.reading.last_request_parsed();
        }
        exchange.keep_alive &= !env.is_draining() && !io.is_old(env);
        let Ok(method) = head.http_method(bytes) else {
            self.reject(env, io, Reject::Method, bytes);
            return 0;
        };
        let mut request = Received { head, bytes, method, exchange };
        let view = env.routers.view(io.router);
        let mut path = Cow::Borrowed(request.path());
        let mut found = match head.form() {
            Form::Asterisk => view.table.options_for_all(),
            Form::Authority => view.table.unserved(Reason::Tunnel),
            Form::Origin | Form::Absolute => view.table.find(&request.method, request.path()),
        };
        if found.may_change(&path) {
            path = percent::normalized(request.path());
            found = view.table.find(&request.method, &path);
        }
        let (answer, around) = match found {
            Found::Unserved(Unserved { reason, around }) => (answers::unserved(reason), around),
            Found::Route(index, params) => {
                let entry = view.table.route(index);
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
                    return 0;
                }
                if let Some(copy) = request.copy_head(&path, params.as_ref()) {
                    let route = MatchedRoute { view: view.clone(), index };
                    return self.serve_matched(env, io, request, copy, route, received);
                }
                env.counters.protocol_errors.add("path_parameter");
                request.exchange.keep_alive = false;
                (answers::bad_parameter(), Some(index))
            }
            Found::NotFoundHandler(index) => {
                let route = MatchedRoute { view: view.clone(), index };
                let copy = request.copy();
                return self.serve_matched(env, io, request, copy, route, received);
            }
        };
        self.answer_unserved(env, io, request, answer, around, received)
    }

    /// Answers a request that no route serves. Its body is discarded. `around` is the index of the route
    /// whose middleware surrounds the answer. Returns how many bytes of the body were consumed.
    fn answer_unserved(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        mut request: Received<'_>,
        answer: Answer,
        around: Option<usize>,
        received: &[u8],
    ) -> usize {
        let (body, used) = request.discard_body(env, received);
        let shapes_errors = env.routers.view(io.router).table.on_error.is_some();
        let is_needed = around.is_some() || shapes_errors || !env.hooks.is_empty();
        let head = is_needed.then(|| request.copy());
        let telemetry = Telemetry::unmatched(env, io, HttpVersion::H1, head.as_ref());
        let context = ReplyContext { exchange: request.exchange, telemetry };
        let asked = Asked { head: head.as_ref(), route: None, peer: io.peer };
        let response = env.shaped(io.router, asked, answer);
        match (around, head) {
            (Some(index), Some(head)) => {
                let route = MatchedRoute { view: env.routers.view(io.router).clone(), index };
                let offer = UpgradeOffer::Nothing;
                self.surround(env, io, RoutedRequest { head, route, context, offer }, response);
            }
            _ => self.answer(env, io, context, response.into()),
        }
        if let Some(body) = body {
            self.reading.body_follows(body);
        }
        used
    }

    /// Serves a request that matched a route: starts its handler, or first collects its body. `copy` is a
    /// copy of its head. Returns how many bytes of the body were consumed.
    fn serve_matched(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        mut request: Received<'_>,
        copy: Head,
        route: MatchedRoute,
        received: &[u8],
    ) -> usize {
        let entry = route.compiled();
        let (mode, is_static) = (entry.body, matches!(entry.action, RouteAction::Static(..)));
        let (discarded, used) = if is_static { request.discard_body(env, received) } else { (None, 0) };
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
            return used;
        }
        match mode {
            BodyMode::Whole(limit) => {
                self.collect_body(env, io, head, request, limit.unwrap_or(env.limits.body_bytes));
                0
            }
            BodyMode::Streamed => self.stream_body(env, io, head, request, received),
        }
    }

    /// Starts to collect the body, which must be complete before the handler starts. Answers 413 at once if
    /// its declared length is above `limit`.
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
            return self.answer_instead(env, io, request, answers::too_large());
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

    /// Starts the handler with a body that it reads as it is received. Returns how many bytes of the body
    /// were consumed. They are passed on before the start, so that the end of a short body is known when its
    /// response is written.
    fn stream_body(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        head: &proto::Head,
        request: RoutedRequest,
        received: &[u8],
    ) -> usize {
        send_continue(head, io);
        let decoder = proto::Body::new(head.framing(), &env.h1_limits);
        let window = env.limits.body_window_bytes;
        let (sender, body) = match head.framing() {
            Framing::Length(length) => Body::channel_with_len(window, length),
            Framing::None | Framing::Chunked => Body::channel(window),
        };
        self.reading.body_follows(Box::new(Incoming::stream(decoder, sender, env.now)));
        let used = self.read_available(env, io, received);
        self.input.unparsed = received.len() - used;
        self.start(env, io, request, body);
        used
    }

    /// Starts the handler of a request, whose `body` is complete or a channel that the connection feeds.
    /// Instead, hands the request over to HTTP/2 if that was offered, sheds it, or answers it if its route is
    /// static.
    pub(super) fn start(&mut self, env: &mut Env, io: &mut Io, request: RoutedRequest, body: Body) {
        #[cfg(feature = "http2")]
        if let UpgradeOffer::Http2(peer) = request.offer
            && self.replies.is_empty()
        {
            return self.switch_to_http2(io, request, body, peer);
        }
        if env.sheds(request.route.compiled().shed) {
            let answer = answers::shed(env, self.replies.next_seq());
            return self.answer_instead(env, io, request, answer);
        }
        let RoutedRequest { head, route, context, offer } = request;
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
        let started = run::start(env, io.id, self.replies.next_seq(), &route, request);
        self.started(env, io, context, started);
        if offer == UpgradeOffer::Handler && !self.replies.is_empty() {
            self.reading.upgrade_offered();
        }
    }

    /// Answers a request in the place of its handler, with the route's middleware around the answer.
    pub(super) fn answer_instead(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        request: RoutedRequest,
        answer: Answer,
    ) {
        let route = request.context.telemetry.template();
        let response =
            env.shaped(io.router, Asked { head: Some(&request.head), route, peer: io.peer }, answer);
        self.surround(env, io, request, response);
    }

    /// Runs the middleware of a route around a response of the server.
    fn surround(&mut self, env: &mut Env, io: &mut Io, request: RoutedRequest, response: Response) {
        let RoutedRequest { head, route, context, .. } = request;
        let request =
            Request::new(head, Body::empty(), io.peer, route.view.context.clone()).with_tls(io.secure);
        let started = run::surround(env, io.id, self.replies.next_seq(), &route, request, response);
        self.started(env, io, context, started);
    }

    /// Takes the reply of a handler that was started, or queues a place for the reply of one that runs on.
    fn started(&mut self, env: &mut Env, io: &mut Io, context: ReplyContext, started: Started) {
        match started {
            Started::Done(outcome) => self.answer(env, io, context, outcome),
            Started::Running(task) => {
                let keep_alive = context.exchange.keep_alive;
                self.replies.push_running(context, task);
                if !keep_alive {
                    self.reading.close_after_replies();
                }
            }
        }
    }

    /// Answers bytes of which at most the method is known, and reads no further request. The answer follows
    /// the replies that are owed, then the connection closes.
    ///
    /// `received` begins with the bytes, and `error` is the rule that they violate.
    pub(super) fn refuse(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        received: &[u8],
        error: &str,
        answer: Answer,
    ) {
        let method = parse::method_begun(received);
        let exchange = Exchange { version: proto::Version::Http11, method, keep_alive: false };
        let context = ReplyContext { exchange, telemetry: Telemetry::invalid(env.now, HttpVersion::H1) };
        self.reading.stop();
        let response = env.shaped(io.router, Asked { head: None, route: None, peer: io.peer }, answer);
        telemetry::refused(env, io, received, response.status(), error);
        self.answer(env, io, context, response.into());
    }
}

/// Writes `100 Continue` if the client waits for that before it sends the body.
fn send_continue(head: &proto::Head, io: &mut Io) {
    if head.expects_continue() {
        io.outbox.buffer().extend_from_slice(proto::encode::CONTINUE);
    }
}
