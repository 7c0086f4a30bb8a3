//! WebSockets on streams: opened by a reply, carried on, ended.

use std::task::{Context, Waker};

use http::Version;

use super::{
    H2,
    engine::{Code, Inbound},
    head,
    incoming::Incoming,
    stream::{Exchange, State, Stream},
    streaming::Progress,
    tunnel::Tunnel,
};
use crate::{
    conn::{env::Env, io::Io, ws::Endpoint},
    response::Response,
    ws::{Handshake, Upgrade},
};

impl H2 {
    /// Opens the socket that a reply says is opened; any other reply, and the exchange, is given back.
    pub(super) fn open_socket(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        mut exchange: Exchange,
        mut response: Response,
    ) -> Option<(Exchange, Response)> {
        match Handshake::take(&mut response, Version::HTTP_2) {
            Some(Handshake::Accepted(upgrade)) if exchange.tunnel.is_some() => {
                let inbound = exchange.tunnel.take();
                self.start_socket(env, io, exchange, inbound, &response, *upgrade);
                return None;
            }
            Some(Handshake::Refused(refusal)) => env.counters.ws.refused.add(refusal.label()),
            _ => {}
        }
        Some((exchange, response))
    }

    fn start_socket(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        exchange: Exchange,
        inbound: Option<Inbound>,
        response: &Response,
        upgrade: Upgrade,
    ) {
        let Exchange { id, mut telemetry, reply, .. } = exchange;
        let mut sent = head::response(response, response.body(), false, env.date.value(env.now));
        // It is no message that has a length (RFC 9110 §9.3.6).
        sent.head.headers_mut().remove(http::header::CONTENT_LENGTH);
        let Ok(out) = reply.send(sent.head, false) else { return telemetry.finish_unanswered(env, io) };
        telemetry.is_websocket();
        telemetry.count_reply(env, response.status());
        let waker = self.woken.waker(id);
        let endpoint = Endpoint::new(env, waker.clone(), upgrade, telemetry.route_metrics(env).clone());
        let mut tunnel = Tunnel::new(endpoint, inbound, out);
        tunnel.feed(|endpoint| endpoint.start(env));
        let mut stream = Stream::new(id, None, State::Socket(telemetry, Box::new(tunnel)));
        stream.waker = Some(waker);
        self.advance_stream(env, io, stream);
    }

    /// Goes on with a socket.
    pub(super) fn go_on_socket(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        mut stream: Box<Stream>,
        cx: &mut Context<'_>,
    ) {
        let State::Socket(telemetry, mut tunnel) = stream.state else { return };
        let (progress, error) = match tunnel.poll(env, cx) {
            Some(ended) => ended,
            None => {
                stream.state = State::Socket(telemetry, tunnel);
                return self.put_back(env, stream);
            }
        };
        tunnel.endpoint.cancel(env);
        let sent = tunnel.endpoint.sent_bytes();
        telemetry.finish(env, io, Some(http::StatusCode::OK), error, sent);
        match progress {
            Progress::Broken(cause) => {
                env.counters.h2_resets.add(cause);
                tunnel.out.reset(Code::Cancel);
                // The engine has to write that.
                stream.waker.iter().for_each(Waker::wake_by_ref);
            }
            Progress::Gone => env.counters.h2_resets.add("peer"),
            // The peer ends its side, too.
            Progress::Done | Progress::Waits => {
                let rest = tunnel
                    .inbound
                    .map(|inbound| Incoming::discard(inbound, env.limits.discard_bytes, env.now));
                self.read_on(env, io, stream.id, rest);
            }
        }
    }
}
