//! WebSockets on streams: opened by a reply, fed by the stream's data, ended with it.

use bytes::Bytes;
use http::Version;

use super::{
    H2,
    incoming::Incoming,
    sending::write_data,
    stream::{Exchange, Stage, Stream},
    tunnel::Tunnel,
    wait::Wait,
};
use crate::{
    body::Body,
    conn::{
        env::Env,
        exchange::telemetry::Telemetry,
        io::Io,
        ws::{End as SocketEnd, Endpoint},
    },
    proto::h2::{End, ErrorCode, Key},
    response::Response,
    ws::{Handshake, Upgrade},
};

impl H2 {
    /// Opens the socket of a reply that accepts one. Returns any other reply with the exchange, and counts it
    /// if it refuses a handshake.
    pub(super) fn open_socket(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        exchange: Exchange,
        mut response: Response,
    ) -> Option<(Exchange, Response)> {
        match Handshake::take(&mut response, Version::HTTP_2) {
            Some(Handshake::Accepted(upgrade)) if exchange.offers_tunnel => {
                self.start_socket(env, io, exchange, &response, *upgrade);
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
        response: &Response,
        upgrade: Upgrade,
    ) {
        let Exchange { key, request, mut telemetry, .. } = exchange;
        if !self.write_head(env, io, key, request, response, &Body::empty(), End::Open) {
            return telemetry.finish_unanswered(env, io);
        }
        telemetry.is_websocket();
        telemetry.count_reply(env, response.status());
        let waker = self.woken.waker(key);
        let endpoint = Endpoint::new(env, waker.clone(), upgrade, telemetry.route_metrics(env).clone());
        let mut tunnel = Tunnel::new(endpoint);
        tunnel.feed(env, Endpoint::start);
        let mut stream = Stream::new(key, None, Stage::Socket(telemetry, Box::new(tunnel)));
        stream.waker = Some(waker);
        self.advance_stream(env, io, stream);
    }

    /// Makes the progress with a socket that is possible before its stream is scheduled.
    pub(super) fn advance_socket(&mut self, env: &mut Env, io: &mut Io, mut stream: Box<Stream>) {
        if let Stage::Socket(_, tunnel) = &mut stream.stage {
            tunnel.feed(env, Endpoint::woken);
            if env.is_draining() {
                tunnel.feed(env, Endpoint::drain);
            }
        }
        self.after_socket_event(env, io, stream);
    }

    /// Passes data from the peer to a socket, and the end of the data if `ends`.
    pub(super) fn socket_data(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        mut stream: Box<Stream>,
        bytes: &[u8],
        ends: bool,
    ) {
        if let Stage::Socket(_, tunnel) = &mut stream.stage {
            tunnel.held += bytes.len();
            if !bytes.is_empty() {
                tunnel.feed(env, |endpoint, env| endpoint.received(env, bytes));
            }
            if ends {
                tunnel.feed(env, Endpoint::fin_received);
            }
        }
        self.after_socket_event(env, io, stream);
    }

    /// Lets a socket whose deadline has passed send a ping or end.
    pub(super) fn socket_clock_due(&mut self, env: &mut Env, io: &mut Io, mut stream: Box<Stream>) {
        if let Stage::Socket(_, tunnel) = &mut stream.stage {
            tunnel.feed(env, Endpoint::clock_due);
        }
        self.after_socket_event(env, io, stream);
    }

    /// Sends the next bytes of a socket, at most `room`.
    pub(super) fn continue_socket(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        mut stream: Box<Stream>,
        room: usize,
    ) {
        let key = stream.key;
        if let Stage::Socket(_, tunnel) = &mut stream.stage {
            let bytes = tunnel.take(room);
            if bytes.is_empty() {
                self.core.rest(key);
            } else {
                write_data(&mut self.core, io, key, bytes, End::Open);
                tunnel.wait.for_window(env.now, tunnel.written);
                tunnel.feed(env, Endpoint::sent);
            }
        }
        self.after_socket_event(env, io, stream);
    }

    /// Handles what a call of the socket has changed: bytes to send, credit for the peer, the end.
    fn after_socket_event(&mut self, env: &mut Env, io: &mut Io, mut stream: Box<Stream>) {
        let key = stream.key;
        let Stage::Socket(telemetry, mut tunnel) = stream.stage else { return };
        if tunnel.endpoint.wants_read() {
            self.core.release(key, std::mem::take(&mut tunnel.held), io.outbox.buffer());
        }
        if tunnel.has_unsent() {
            tunnel.wait.for_window(env.now, tunnel.written);
            self.core.want(key);
        } else {
            tunnel.wait = Wait::Nothing;
            self.core.rest(key);
        }
        if self.core.room(key).min(self.room(io)) > tunnel.unsent_bytes() {
            tunnel.endpoint.open_outlet(env, io.id, key.id());
        }
        if let Some(end) = tunnel.endpoint.end(env.now)
            && (end == SocketEnd::Silent || !tunnel.has_unsent() || tunnel.endpoint.is_late(env.now))
        {
            return self.end_socket(env, io, stream.key, telemetry, *tunnel, end);
        }
        stream.stage = Stage::Socket(telemetry, tunnel);
        self.put_back(env, stream);
    }

    /// Ends the stream of a socket that has ended: in order, or with a reset if bytes are left unsent or the
    /// peer did not answer a ping.
    fn end_socket(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        key: Key,
        telemetry: Telemetry,
        mut tunnel: Tunnel,
        end: SocketEnd,
    ) {
        self.last_activity = env.now;
        tunnel.endpoint.cancel(env);
        let sent = tunnel.endpoint.sent_bytes();
        telemetry.finish(env, io, Some(http::StatusCode::OK), end.error(), sent);
        if end == SocketEnd::Silent || tunnel.has_unsent() {
            let cause = if end == SocketEnd::Silent { "ws_pong" } else { "ws_close" };
            env.counters.h2_resets.add(cause);
            return self.core.reset(key, ErrorCode::Cancel, io.outbox.buffer());
        }
        write_data(&mut self.core, io, key, Bytes::new(), End::Stream);
        self.core.release(key, tunnel.held, io.outbox.buffer());
        // The peer ends its side, too.
        let rest = Incoming::discard(env.limits.discard_bytes, env.now);
        self.discard_rest(env, io, key, Some(rest));
    }
}
