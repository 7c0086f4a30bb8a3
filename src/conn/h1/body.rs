//! Reads request bodies: passes received bytes to their destinations and ends bodies that are complete,
//! invalid, too large or too slow.

use std::time::Instant;

use http::StatusCode;

use super::{
    H1,
    incoming::{Decoded, Incoming, Sink},
    state::Reading,
};
use crate::{
    body::{Body, BodyError},
    conn::{
        env::Env,
        exchange::{answers, body_rate::TOO_SLOW},
        io::Io,
    },
    proto::h1::Reject,
};

impl H1 {
    /// Decodes these body bytes until they are used up, the body ends or its handler's window is full.
    /// Returns how many were consumed.
    pub(super) fn read_available(&mut self, env: &mut Env, io: &mut Io, bytes: &[u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            match self.read_body(env, io, &bytes[at..]) {
                0 => break,
                used => at += used,
            }
        }
        at
    }

    /// Decodes body bytes up to the end of the next run of data, and acts on the end of the body. Returns how
    /// many were consumed: 0 if no body is being read or its handler's window is full.
    pub(super) fn read_body(&mut self, env: &mut Env, io: &mut Io, bytes: &[u8]) -> usize {
        let Reading::Body(incoming, _) = &mut self.reading else { return 0 };
        poll_window(incoming, env, io);
        if incoming.is_paused() {
            return 0;
        }
        let (consumed, decoded) = incoming.decode(bytes, env.now);
        self.input.unparsed = bytes.len() - consumed;
        match decoded {
            Decoded::More => {}
            Decoded::Complete => self.body_complete(env, io),
            Decoded::TooLarge => self.body_too_large(env, io),
            Decoded::Invalid(reject) => self.body_invalid(env, io, reject),
        }
        consumed
    }

    /// Checks the window of the handler that the body is streamed to. Does nothing while undecoded bytes wait
    /// for that window: the connection is woken to decode them when the handler reads.
    pub(super) fn check_body_window(&mut self, env: &Env, io: &mut Io) {
        if let Reading::Body(incoming, _) = &mut self.reading
            && self.input.bytes.is_empty()
        {
            poll_window(incoming, env, io);
        }
    }

    /// Returns the time at which the body will have arrived too slowly; `None` without a body, without
    /// limits, and while its handler is the one to wait for.
    pub(super) fn body_deadline(&self, env: &Env) -> Option<Instant> {
        match &self.reading {
            Reading::Body(incoming, _) => incoming.deadline(env),
            _ => None,
        }
    }

    /// Gives up a body that will never be complete, if there is one, and the request that waits for it.
    pub(super) fn drop_body(&mut self, env: &Env, io: &Io) {
        if let Some(incoming) = self.reading.take_body() {
            give_up(incoming, env, io);
        }
    }

    fn body_complete(&mut self, env: &mut Env, io: &mut Io) {
        let Some(incoming) = self.reading.take_body() else { return };
        let trailers = incoming.trailers();
        match incoming.sink {
            Sink::Collect { request, bytes, .. } => self.start(env, io, request, Body::from(bytes)),
            Sink::Stream(sender) => match trailers {
                Some(trailers) => sender.finish_with(trailers),
                None => sender.finish(),
            },
            Sink::Discard { .. } => {}
        }
    }

    fn body_too_large(&mut self, env: &mut Env, io: &mut Io) {
        let Some(incoming) = self.reading.take_body() else { return };
        match incoming.sink {
            Sink::Collect { mut request, .. } => {
                request.context.exchange.keep_alive = false;
                self.answer_instead(env, io, request, answers::too_large());
            }
            Sink::Stream(_) | Sink::Discard { .. } => self.reading.close_after_replies(),
        }
    }

    fn body_invalid(&mut self, env: &mut Env, io: &mut Io, reject: Reject) {
        env.counters.protocol_errors.add(reject.label());
        self.body_failed(env, io, reject.status(), reject.text());
    }

    /// Ends the body that arrived too slowly: see [`body_failed`](Self::body_failed).
    pub(super) fn body_too_slow(&mut self, env: &mut Env, io: &mut Io) {
        self.body_failed(env, io, StatusCode::REQUEST_TIMEOUT, TOO_SLOW);
    }

    /// Stops reading a body and closes the connection after the owed replies. A handler that reads the body
    /// gets an error; a request that waits for the body is answered with `status` and `text`.
    fn body_failed(&mut self, env: &mut Env, io: &mut Io, status: StatusCode, text: &'static str) {
        let Some(incoming) = self.reading.take_body() else { return };
        self.reading.close_after_replies();
        match incoming.sink {
            Sink::Collect { mut request, .. } => {
                request.context.exchange.keep_alive = false;
                self.answer_instead(env, io, request, answers::invalid(status, text));
            }
            Sink::Stream(sender) => sender.fail(BodyError::Peer(text)),
            Sink::Discard { .. } => {}
        }
    }
}

/// Gives up an incomplete body. A handler gets an error when it reads on; a request that waits for the body
/// ends without a reply.
pub(super) fn give_up(incoming: Box<Incoming>, env: &Env, io: &Io) {
    if let Sink::Collect { request, .. } = incoming.sink {
        request.context.telemetry.finish_unanswered(env, io);
    }
}

fn poll_window(incoming: &mut Incoming, env: &Env, io: &mut Io) {
    incoming.poll_window(|| io.waker(env), env.limits.discard_bytes, env.now);
}
