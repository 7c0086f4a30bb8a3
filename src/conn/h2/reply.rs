//! Replies on their way out, each on its stream.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    task::Context,
};

use super::{
    H2, Phase, head,
    incoming::Incoming,
    stream::{Exchange, State, Stream},
    streaming::{Progress, Streaming},
};
use crate::conn::{
    env::Env,
    exchange::{answers, telemetry::CONNECTION_ENDED},
    io::Io,
    message::Outcome,
};

impl H2 {
    /// Sends a reply: as much of it as can be at once. What is left becomes a stream.
    pub(super) fn answer(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        exchange: Exchange,
        incoming: Option<Incoming>,
        outcome: Outcome,
    ) {
        let Outcome { response, error } = answers::without_interim(outcome);
        #[cfg(feature = "ws")]
        let Some((exchange, response)) = self.open_socket(env, io, exchange, response) else { return };
        let is_tunnel = exchange.tunnel.is_some();
        let Exchange { id, is_head, mut telemetry, reply, .. } = exchange;
        let mut response = if is_tunnel { answers::without_tunnel(response) } else { response };
        let status = response.status();
        let body = response.take_body();
        let sent = head::response(&response, &body, is_head, env.date.value(env.now));
        if sent.closes {
            self.leave(env, "handler");
        }
        let Ok(out) = reply.send(sent.head, !sent.has_body) else {
            return telemetry.finish_unanswered(env, io);
        };
        telemetry.response_body(&body);
        telemetry.count_reply(env, status);
        if !sent.has_body {
            telemetry.finish(env, io, Some(status), error, 0);
            return self.read_on(env, io, id, incoming);
        }
        let mut streaming = Streaming::new(out, body, status);
        match streaming.send_whole() {
            Some(written) => {
                telemetry.finish(env, io, Some(status), error, written);
                self.read_on(env, io, id, incoming);
            }
            None => self.keep(env, io, Stream::new(id, incoming, State::Streaming(telemetry, streaming))),
        }
    }

    /// Reads on for a while behind a whole reply. Once the stream is let go with its body incomplete it is
    /// reset with NO_ERROR (RFC 9113 §8.1).
    pub(super) fn read_on(&mut self, env: &mut Env, io: &mut Io, id: u32, incoming: Option<Incoming>) {
        if let Some(incoming) = incoming.filter(|_| self.phase == Phase::Open && !self.ended) {
            let rest = incoming.unwanted(env.limits.discard_bytes, env.now);
            self.keep(env, io, Stream::new(id, Some(rest), State::Leaving));
        }
    }

    /// Goes on with a streamed reply; says whether there is more to come.
    pub(super) fn go_on(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        mut stream: Box<Stream>,
        cx: &mut Context<'_>,
    ) {
        let State::Streaming(telemetry, mut streaming) = stream.state else { return };
        let polled = catch_unwind(AssertUnwindSafe(|| streaming.poll(env, cx)));
        let progress = polled.unwrap_or_else(|_| {
            env.counters.panics.add("body");
            tracing::error!("response body panicked, resetting the stream");
            Progress::Broken("body_panicked")
        });
        let Streaming { status, written, .. } = streaming;
        match progress {
            Progress::Waits => {
                stream.state = State::Streaming(telemetry, streaming);
                self.put_back(env, stream);
            }
            Progress::Done => {
                telemetry.finish(env, io, Some(status), None, written);
                self.read_on(env, io, stream.id, stream.incoming);
            }
            Progress::Gone => {
                env.counters.h2_resets.add("peer");
                telemetry.finish(env, io, Some(status), Some(CONNECTION_ENDED), written);
            }
            Progress::Broken(cause) => {
                env.counters.h2_resets.add(cause);
                self.broken.push(streaming.out);
                telemetry.finish(env, io, Some(status), Some(cause), written);
            }
        }
    }
}
