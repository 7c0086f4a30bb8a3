//! One request: which route it means, whether its body is read first, and what runs it.

use http::{Method, StatusCode, Version};

use super::{
    H1, Reading,
    incoming::{Incoming, Pending},
    slots::{Meta, State},
};
use crate::{
    body::Body,
    conn::{
        Env, Io, Outcome,
        account::{Account, Target},
        answers::{self, is_old, too_large},
        params,
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
    /// Serves a request whose head is complete; `bytes` is exactly the head.
    pub(super) fn request(&mut self, env: &mut Env, io: &mut Io, head: &proto::Head, bytes: &[u8]) {
        let mut exchange = Exchange::new(head);
        self.last = !exchange.keep_alive && head.framing().is_empty();
        exchange.keep_alive &= !env.is_draining() && !is_old(env, io);
        let Ok(method) = head.http_method(bytes) else { return self.reject(env, io, Reject::Method) };
        // The strict pass let only ASCII through.
        let path = std::str::from_utf8(head.path(bytes)).unwrap_or_default();
        let found = match head.form() {
            Form::Asterisk => Found::Options(env.view.table.allow_all()),
            _ => env.view.table.find(&method, path),
        };
        match found {
            Found::Entry(index, params) => {
                let entry = env.view.table.entry(index);
                if let Run::Static(image, fixed) = &entry.run
                    && self.slots.is_empty()
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
                        self.close_after();
                    }
                    return;
                }
                let Some(request_head) = request_head(head, bytes, method.clone(), params) else {
                    env.counters.protocol_errors.add("path_parameter");
                    exchange.keep_alive = false;
                    return self.unserved(env, io, head, bytes, exchange, &method, answers::bad_parameter());
                };
                let target = Target { view: env.view.clone(), entry: index };
                self.matched(env, io, head, exchange, request_head, target);
            }
            Found::NotAllowed(allow) => {
                let response = answers::not_allowed(allow);
                self.unserved(env, io, head, bytes, exchange, &method, response);
            }
            Found::Options(allow) => {
                let response = answers::options(allow);
                self.unserved(env, io, head, bytes, exchange, &method, response);
            }
            Found::Nothing => self.unserved(env, io, head, bytes, exchange, &method, answers::nothing()),
        }
    }

    /// Answers a request that no route serves; its body is thrown away.
    #[allow(clippy::too_many_arguments, reason = "they are the parts of one request")]
    fn unserved(
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
        let account = Account::unserved(env, io, HttpVersion::H1, method, path, query);
        let meta = Meta { exchange, account };
        self.answer(env, io, meta, response.into());
        self.read_body(body);
    }

    /// Serves a request that has a route.
    fn matched(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        head: &proto::Head,
        mut exchange: Exchange,
        request_head: Head,
        target: Target,
    ) {
        let entry = target.entry();
        let (mode, is_static) = (entry.body, matches!(entry.run, Run::Static(..)));
        let framing = head.framing();
        let discarded = if is_static { self.body_to_discard(env, head, &mut exchange) } else { None };
        let account = Account::served(env, io, HttpVersion::H1, &request_head, target.clone());
        let meta = Meta { exchange, account };
        let pending = Pending { head: request_head, target, meta };
        if framing.is_empty() || is_static {
            self.start(env, io, pending, Body::empty());
            return self.read_body(discarded);
        }
        match mode {
            BodyMode::Whole(limit) => {
                self.collect(env, io, head, pending, limit.unwrap_or(env.limits.body_bytes))
            }
            BodyMode::Streamed => self.stream(env, io, head, pending),
        }
    }

    /// Collects the body first; refuses at once what is declared too large.
    fn collect(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        head: &proto::Head,
        mut pending: Pending,
        limit: usize,
    ) {
        if matches!(head.framing(), Framing::Length(length) if length > limit as u64) {
            pending.meta.exchange.keep_alive = false;
            return self.answer(env, io, pending.meta, too_large());
        }
        self.send_continue(head, io);
        let declared = match head.framing() {
            Framing::Length(length) => length as usize,
            _ => 0,
        };
        let decoder = proto::Body::new(head.framing(), &env.h1_limits);
        self.read_body(Some(Box::new(Incoming::collect(decoder, pending, declared, limit, env.now))));
    }

    /// Starts the handler and feeds it the body as it comes.
    fn stream(&mut self, env: &mut Env, io: &mut Io, head: &proto::Head, pending: Pending) {
        self.send_continue(head, io);
        let decoder = proto::Body::new(head.framing(), &env.h1_limits);
        let window = env.limits.body_window_bytes;
        let (sender, body) = match head.framing() {
            Framing::Length(length) => Body::channel_with_len(window, length),
            _ => Body::channel(window),
        };
        self.reading = Reading::Body(Box::new(Incoming::stream(decoder, sender, env.now)));
        self.start(env, io, pending, body);
    }

    fn send_continue(&mut self, head: &proto::Head, io: &mut Io) {
        if head.expects_continue() {
            io.outbox.buffer().extend_from_slice(proto::encode::CONTINUE);
        }
    }

    fn read_body(&mut self, body: Option<Box<Incoming>>) {
        if let Some(body) = body
            && !self.closing
        {
            self.reading = Reading::Body(body);
        }
    }

    /// Decides what happens to a body nobody wants: thrown away when short, else the connection ends.
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
            // The client waits for a word before it sends the body; with the final one it need not send it.
            _ if head.expects_continue() => exchange.keep_alive = false,
            _ => {}
        }
        let decoder = proto::Body::new(head.framing(), &env.h1_limits);
        exchange.keep_alive.then(|| Box::new(Incoming::discard(decoder, budget, env.now)))
    }

    /// Runs a request whose body is there, or is a channel.
    pub(super) fn start(&mut self, env: &mut Env, io: &mut Io, pending: Pending, body: Body) {
        let Pending { head, target, meta } = pending;
        if env.sheds(target.entry().shed) {
            let outcome = run::shed(env, self.slots.next_seq());
            return self.answer(env, io, meta, outcome);
        }
        let request = Request::new(head, body, io.peer, target.view.context.clone()).over_tls(io.secure);
        let dispatch = match &target.entry().run {
            Run::Static(_, fixed) => return self.answer(env, io, meta, fixed.to_response().into()),
            Run::Chain(_, dispatch) => *dispatch,
        };
        if dispatch == Dispatch::Async && !self.promoted {
            self.promoted = true;
            env.counters.promoted.add(1);
        }
        let seq = self.slots.next_seq();
        let keep_alive = meta.exchange.keep_alive;
        match run::start(env, io.id, seq, &target.view, target.entry, request) {
            Started::Done(outcome) => self.answer(env, io, meta, outcome),
            Started::Running(task) => {
                self.slots.push(meta, State::Waiting(task));
                if !keep_alive {
                    self.close_after();
                }
            }
        }
    }

    /// Takes a reply that is there: writes it, or queues it behind earlier ones.
    pub(super) fn answer(&mut self, env: &mut Env, io: &mut Io, meta: Meta, outcome: Outcome) {
        if !meta.exchange.keep_alive {
            self.close_after();
        }
        if self.slots.is_empty() {
            self.write(env, io, meta, outcome);
        } else {
            self.slots.push(meta, State::Ready(outcome));
        }
    }

    /// Answers a fault of the peer behind what is owed already, and takes nothing more.
    pub(super) fn refuse(&mut self, env: &mut Env, io: &mut Io, status: StatusCode, text: &'static str) {
        let exchange =
            Exchange { version: proto::Version::Http11, method: proto::Method::Get, keep_alive: false };
        let meta = Meta { exchange, account: Account::nobodys(env, HttpVersion::H1) };
        let response = plain(status, text);
        self.reading = Reading::Nothing;
        self.last = false;
        self.answer(env, io, meta, response.into());
    }
}

/// Copies the head out of the receive buffer. None when a path parameter is no text.
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
    params::note(&mut own, path, params).then_some(own)
}
