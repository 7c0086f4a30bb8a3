//! Writes replies to the outbox, in the order of their requests.

use super::{
    H1,
    context::ReplyContext,
    state::Reading,
    streaming::{Progress, Streaming},
};
use crate::{
    conn::{
        env::Env,
        exchange::{answers, telemetry::CONNECTION_ENDED},
        io::Io,
        message::Outcome,
        timers::Timer,
    },
    net::Ending,
    proto::h1::encode::{self, Framing, Length},
};

impl H1 {
    /// Takes a reply that is ready: writes it, or queues it behind earlier ones. If the reply ends the
    /// connection, no further request is read.
    pub(super) fn answer(&mut self, env: &mut Env, io: &mut Io, context: ReplyContext, outcome: Outcome) {
        if !context.exchange.keep_alive {
            self.reading.close_after_replies();
        }
        if self.replies.is_empty() {
            self.write(env, io, context, outcome);
        } else {
            self.replies.push_ready(context, outcome);
        }
    }

    /// Writes as much of the owed replies as is ready, oldest first, up to the first one that streams its
    /// body.
    pub(super) fn flush(&mut self, env: &mut Env, io: &mut Io) {
        let before = self.replies.len();
        while self.poll_streaming(env, io) {
            let Some((context, outcome)) = self.replies.pop_ready() else { break };
            self.write(env, io, context, outcome);
            if self.replies.streaming().is_some() {
                // Its body was polled when it began.
                break;
            }
        }
        if self.replies.len() < before || self.replies.is_empty() {
            self.reading.reply_sent(!self.replies.is_empty());
        }
    }

    /// Writes a reply, or starts to stream its body. Called only while no earlier reply is owed. A reply that
    /// closes the connection cancels the later ones.
    fn write(&mut self, env: &mut Env, io: &mut Io, context: ReplyContext, outcome: Outcome) {
        let outcome = answers::without_interim(env, io, &context.telemetry, outcome);
        let Outcome { response, error } = answers::within_room(env, io, &context.telemetry, outcome);
        #[cfg(feature = "ws")]
        let Some((context, response)) = self.switch_protocol(env, io, context, response) else { return };
        let (mut context, mut response) = (context, response);
        context.exchange.keep_alive &= !self.leaves_too_much(env) && !self.closes_after_reply();
        // A drain may have begun after the request: the reply announces that no other will follow.
        context.exchange.keep_alive &= !(env.is_draining() && self.owes_nothing());
        let status = response.status();
        let body = response.take_body();
        let length = body.len().map_or(Length::Unknown, Length::Known);
        let date = *env.date.at(env.now);
        let fields = response.fields().iter();
        let sent = encode::head(io.outbox.buffer(), context.exchange, status, length, fields, &date);
        if !sent.keep_alive {
            self.reading.close_after_replies();
            // No reply may follow one that closes the connection (RFC 9112 §9.6). If the close ends the body,
            // a further reply would even become part of it.
            self.cancel_replies(env, io);
        }
        context.telemetry.response_body(&body);
        context.telemetry.count_reply(env, status);
        if sent.framing == Framing::None {
            return context.telemetry.finish(env, io, Some(status), error, 0);
        }
        match body.into_bytes() {
            Ok(bytes) => {
                let written = bytes.len() as u64;
                io.outbox.share(bytes);
                context.telemetry.finish(env, io, Some(status), error, written);
            }
            Err(body) => {
                self.replies.start_streaming(Streaming::new(context, status, sent.framing, body));
                self.poll_streaming(env, io);
            }
        }
    }

    /// Returns `true` if the last request's handler has left more of its body unread than may be discarded.
    fn leaves_too_much(&self, env: &Env) -> bool {
        let Reading::Body(incoming, _) = &self.reading else { return false };
        self.replies.is_empty() && incoming.is_unwanted_beyond(env.limits.discard_bytes)
    }

    /// Returns `true` if no reply will follow the one that is written now, and the connection closes after
    /// it.
    fn closes_after_reply(&self) -> bool {
        let is_closing = self.reading.is_closing() || (self.input.has_fin && self.input.unparsed == 0);
        is_closing && self.owes_nothing()
    }

    /// Writes what the body of the streaming reply has, and ends the reply if it is complete or has failed.
    /// Returns `false` if later replies have to wait.
    fn poll_streaming(&mut self, env: &mut Env, io: &mut Io) -> bool {
        let Some(streaming) = self.replies.streaming_mut() else { return true };
        let error = match streaming.poll(env, io) {
            Progress::Rests => {
                if !self.reading.is_closing() {
                    streaming.open_outlet(env, io);
                }
                return false;
            }
            Progress::Waits => return false,
            Progress::Done => None,
            Progress::Failed(cause) => Some(cause),
        };
        io.timers.clear(Timer::Stream);
        let Some(streaming) = self.replies.end_streaming() else { return true };
        let Streaming { context, status, framing, written, .. } = *streaming;
        context.telemetry.finish(env, io, Some(status), error, written);
        if let Some(cause) = error {
            self.cut_short(env, io, framing, cause);
        }
        true
    }

    /// Ends the connection in the middle of a reply, in a way that shows the peer that the reply is
    /// incomplete.
    fn cut_short(&mut self, env: &mut Env, io: &mut Io, framing: Framing, cause: &'static str) {
        self.cancel_replies(env, io);
        self.drop_body(env, io);
        self.reading.stop();
        self.input.bytes = Vec::new();
        // If the end of the connection ends the body, a clean FIN would make the truncated body look
        // complete: reset.
        io.end(if framing == Framing::Close { Ending::Abort } else { Ending::Finish }, cause);
    }

    /// Ends the connection because the producer of the streaming reply has made nothing for `stream_idle`.
    pub(super) fn stream_timed_out(&mut self, env: &mut Env, io: &mut Io) {
        if let Some(streaming) = self.replies.streaming() {
            let framing = streaming.framing;
            self.cut_short(env, io, framing, Timer::Stream.name());
        }
    }

    /// Ends the connection if a reply without an end of its own is streaming. Called when the peer has sent
    /// FIN, so no peer waits for the rest.
    pub(super) fn end_endless_stream(&mut self, env: &mut Env, io: &mut Io) {
        if let Some(streaming) = self.replies.streaming()
            && streaming.is_endless()
        {
            let framing = streaming.framing;
            self.cut_short(env, io, framing, "peer");
        }
    }

    /// Gives up all owed replies, cancels their handlers and calls their end hooks.
    pub(super) fn cancel_replies(&mut self, env: &mut Env, io: &mut Io) {
        if let Some(streaming) = self.replies.end_streaming() {
            let Streaming { context, status, written, .. } = *streaming;
            context.telemetry.finish(env, io, Some(status), Some(CONNECTION_ENDED), written);
        }
        while let Some(context) = self.replies.cancel_next() {
            context.telemetry.finish_unanswered(env, io);
        }
    }
}
