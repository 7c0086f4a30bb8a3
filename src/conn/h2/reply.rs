//! Starts replies: writes the head, and the body if that is complete and may be sent at once.

use super::{
    H2,
    incoming::Incoming,
    sending::write_data,
    stream::{Exchange, Stage, Stream},
    streaming::Streaming,
};
use crate::{
    body::Body,
    conn::{
        env::Env,
        exchange::{answers, telemetry::Telemetry},
        io::Io,
        message::Outcome,
    },
    proto::{
        h2::{ConnectionState, End, ErrorCode, Key, encode, hpack::encode::Strings},
        semantics::Length,
    },
    response::Response,
};

impl H2 {
    /// Writes a reply, as much of it as is possible at once. The rest is kept as a stream. If the reply
    /// accepts a WebSocket it opens that.
    pub(super) fn answer(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        exchange: Exchange,
        incoming: Option<Incoming>,
        outcome: Outcome,
    ) {
        let outcome = answers::without_interim(env, io, &exchange.telemetry, outcome);
        let Outcome { response, error } = answers::within_room(env, io, &exchange.telemetry, outcome);
        #[cfg(feature = "ws")]
        let Some((exchange, response)) = self.open_socket(env, io, exchange, response) else { return };
        let mut response = if exchange.offers_tunnel { answers::without_tunnel(response) } else { response };
        let Exchange { key, request, mut telemetry, .. } = exchange;
        let (status, body) = (response.status(), response.take_body());
        let has_body = encode::has_body(request, status) && body.len() != Some(0);
        let end = if has_body { End::Open } else { End::Stream };
        if !self.write_head(env, io, key, request, &response, &body, end) {
            return telemetry.finish_unanswered(env, io);
        }
        telemetry.response_body(&body);
        telemetry.count_reply(env, status);
        if !has_body {
            telemetry.finish(env, io, Some(status), error, 0);
            return self.discard_rest(env, io, key, incoming);
        }
        match body.into_bytes() {
            Ok(bytes) if bytes.len() <= self.core.room(key).min(self.room_at_once(io)) => {
                let len = bytes.len() as u64;
                write_data(&mut self.core, io, key, bytes, End::Stream);
                telemetry.finish(env, io, Some(status), error, len);
                self.discard_rest(env, io, key, incoming);
            }
            Ok(bytes) => {
                let streaming = Streaming::whole(bytes, status, env.now);
                self.unsent_bytes += streaming.charged_bytes();
                self.stream_reply(env, io, key, incoming, telemetry, streaming);
            }
            Err(body) => {
                self.stream_reply(env, io, key, incoming, telemetry, Streaming::new(body, status, env.now));
            }
        }
    }

    /// Writes the head of a reply. Returns `false`, and writes nothing, if the stream has already ended. A
    /// response with `Connection: close` makes the connection leave.
    #[expect(clippy::too_many_arguments, reason = "they are the parts of one head")]
    pub(super) fn write_head(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        key: Key,
        request: encode::Exchange,
        response: &Response,
        body: &Body,
        end: End,
    ) -> bool {
        let length = body.len().map_or(Length::Unknown, Length::Known);
        let date = env.date.at(env.now);
        let mut closes = false;
        let is_open = self.core.headers_out(key, end, io.outbox.buffer(), |out| {
            let fields = response.fields().iter();
            let sent = encode::head(out, request, response.status(), length, fields, date, Strings::Plain);
            closes = sent.closes;
        });
        if closes {
            self.leave(env, io, "handler");
        }
        is_open
    }

    fn stream_reply(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        key: Key,
        incoming: Option<Incoming>,
        telemetry: Telemetry,
        streaming: Streaming,
    ) {
        let stage = Stage::Streaming(telemetry, Box::new(streaming));
        self.keep(env, io, Stream::new(key, incoming, stage));
    }

    /// Discards the rest of a request's body after its reply was written, unless the peer has ended it.
    /// Without `incoming`, or if the connection is to end, resets the stream with NO_ERROR instead (RFC 9113
    /// §8.1).
    pub(super) fn discard_rest(&mut self, env: &mut Env, io: &mut Io, key: Key, incoming: Option<Incoming>) {
        if !self.core.may_receive(key) {
            return;
        }
        let is_staying = self.core.state() == ConnectionState::Open && !self.has_fin;
        match incoming.filter(|_| is_staying) {
            Some(incoming) => {
                let rest = incoming.into_discarded(env.limits.discard_bytes, env.now);
                self.keep(env, io, Stream::new(key, Some(rest), Stage::Discarding));
            }
            None => self.finish_stream(io, key),
        }
    }

    /// Resets a stream with NO_ERROR if its reply is complete, so that the peer stops sending.
    pub(super) fn finish_stream(&mut self, io: &mut Io, key: Key) {
        if !self.core.may_send(key) {
            self.core.reset(key, ErrorCode::NoError, io.outbox.buffer());
        }
    }
}
