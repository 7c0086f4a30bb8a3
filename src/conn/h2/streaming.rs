//! A reply whose body is being sent, a frame at a time.

use std::{
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::wait::{Late, Wait};
use crate::{
    body::{Body, BodyError, Frame, FrameKind},
    conn::{env::Env, exchange::telemetry::Telemetry, outlet::StreamOutlet},
    net::ConnId,
    proto::{h1::encode::SharedChunk, semantics::is_forbidden_trailer},
};

/// Maximum number of empty frames that one poll takes from a body.
const FRAMES_PER_CALL: usize = 1024;

/// A reply whose body is being sent.
pub(super) struct Streaming {
    body: Body,
    /// Bytes taken from the body and not sent yet.
    piece: Bytes,
    /// End of the body after the piece, as far as it is known.
    end: PieceEnd,
    /// Bytes of the body still to be taken, if its length is known.
    left: Option<u64>,
    pub(super) status: StatusCode,
    /// Bytes of the body that were written.
    pub(super) written: u64,
    pub(super) wait: Wait,
    /// Bytes that count as held for the peer until the reply ends.
    charged: usize,
    /// Direct delivery of the body's events.
    outlet: StreamOutlet<SharedChunk>,
}

/// End of a body after a piece.
enum PieceEnd {
    /// The body may continue.
    Unknown,
    /// The piece is the last.
    Nothing,
    /// Trailers follow the piece.
    Trailers(HeaderMap),
}

/// Kind of the part that follows a part with data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// There may be more.
    Unknown,
    /// Nothing yet. The context is woken when there is more.
    Pending,
    /// Nothing: the data ends the reply.
    End,
}

/// The next part of a reply.
pub(super) enum Part {
    /// Data.
    Data { bytes: Bytes, next: Next },
    /// Trailers, which end the reply.
    Trailers(HeaderMap),
    /// Nothing yet. The context is woken when there is more.
    Pending,
    /// The reply cannot be completed. The cause is a metric label.
    Failed(&'static str),
}

impl Streaming {
    /// Prepares to send a body as its producer makes it.
    pub(super) fn new(body: Body, status: StatusCode, now: Instant) -> Self {
        let left = body.len();
        let (piece, end, wait) = (Bytes::new(), PieceEnd::Unknown, Wait::Window(now, 0));
        let outlet = if body.is_endless() { StreamOutlet::Unconnected } else { StreamOutlet::Unused };
        Self { body, piece, end, left, status, written: 0, wait, charged: 0, outlet }
    }

    /// Prepares to send a body that is complete.
    pub(super) fn whole(bytes: Bytes, status: StatusCode, now: Instant) -> Self {
        // Bytes that others share cost nothing more.
        let charged = if bytes.is_unique() { bytes.len() } else { 0 };
        Self { piece: bytes, end: PieceEnd::Nothing, charged, ..Self::new(Body::empty(), status, now) }
    }

    /// Returns how many bytes count as held for the peer; 0 for a body that is not complete or whose bytes
    /// are shared.
    pub(super) fn charged_bytes(&self) -> usize {
        self.charged
    }

    /// Returns `true` if the body has no end of its own, so that it ends when the peer is gone.
    pub(super) fn is_endless(&self) -> bool {
        self.body.is_endless()
    }

    /// Returns the next part, with at most `room` bytes of data. Polls the body only if nothing taken from it
    /// is left.
    pub(super) fn next(
        &mut self,
        env: &mut Env,
        telemetry: &Telemetry,
        room: usize,
        cx: &mut Context<'_>,
    ) -> Part {
        if env.is_draining() {
            self.body.drain();
        }
        let mut rests = false;
        if self.piece.is_empty() && matches!(self.end, PieceEnd::Unknown) && !self.take_event(env) {
            if let Some(part) = self.poll_body(env, telemetry, cx) {
                return part;
            }
            rests = self.body.rests();
        }
        if !self.piece.is_empty() {
            let part = self.take_data(room, rests);
            if let Part::Data { next: Next::Pending, .. } = part {
                self.wait.produced(env.now);
            }
            return part;
        }
        match std::mem::replace(&mut self.end, PieceEnd::Nothing) {
            PieceEnd::Trailers(trailers) => self.take_trailers(trailers),
            PieceEnd::Unknown | PieceEnd::Nothing => self.take_end(),
        }
    }

    /// Returns the end or the failure of the reply if it comes next: that needs no window. Called while the
    /// window is used up. Takes no data from the body, except one event from the outlet.
    pub(super) fn next_end(
        &mut self,
        env: &mut Env,
        telemetry: &Telemetry,
        cx: &mut Context<'_>,
    ) -> Option<Part> {
        let is_data_next = !self.piece.is_empty()
            || matches!(self.end, PieceEnd::Unknown)
                && self.body.poll_kind(cx) == Poll::Ready(FrameKind::Data);
        if is_data_next {
            self.wait.for_window(env.now, self.written);
            return None;
        }
        match self.next(env, telemetry, 0, cx) {
            Part::Data { next: Next::Unknown | Next::Pending, .. } => {
                self.wait.for_window(env.now, self.written);
                None
            }
            Part::Pending => None,
            part => Some(part),
        }
    }

    /// Takes at most `room` bytes from the piece. `rests`: the body was polled in this call, and has nothing
    /// more.
    fn take_data(&mut self, room: usize, rests: bool) -> Part {
        let bytes = self.piece.split_to(room.min(self.piece.len()));
        self.written += bytes.len() as u64;
        let next = match self.end {
            PieceEnd::Nothing if self.piece.is_empty() => Next::End,
            PieceEnd::Unknown if self.piece.is_empty() && rests => Next::Pending,
            _ => Next::Unknown,
        };
        Part::Data { bytes, next }
    }

    /// Makes the event in the outlet the next piece. Returns `false` if there is none. The outlet stays shut
    /// until the body is polled and has nothing more.
    fn take_event(&mut self, env: &Env) -> bool {
        let event = self.outlet.take(env.now, |event| event.data().clone());
        if let Some(at) = self.outlet.take_last_event() {
            self.body.delivered(at);
        }
        let Some(data) = event else { return false };
        self.outlet.shut();
        self.wait.for_window(env.now, self.written);
        self.piece = data;
        true
    }

    /// Takes the event in the outlet, to be written at once. Returns empty bytes if there is none, and `None`
    /// if the event is larger than `room` or follows other data: the caller then has the stream scheduled.
    pub(super) fn take_at_once(&mut self, env: &Env, room: usize) -> Option<Bytes> {
        if room == 0 {
            self.outlet.shut();
            return None;
        }
        debug_assert!(self.piece.is_empty(), "a stream with a piece waits for its turn and has no room");
        let Some(data) = self.outlet.take(env.now, |event| event.data().clone()) else {
            return Some(Bytes::new());
        };
        if data.len() > room {
            self.outlet.shut();
            self.piece = data;
            self.wait.for_window(env.now, self.written);
            return None;
        }
        self.written += data.len() as u64;
        self.wait.produced(env.now);
        Some(data)
    }

    /// Opens the outlet, if the body has one. Called directly after a poll in which the body had nothing
    /// more.
    pub(super) fn open_outlet(&mut self, env: &Env, id: ConnId, label: u32) {
        self.outlet.open(env, id, label, |outlet| self.body.connect(outlet));
    }

    /// Shuts the outlet, because there is no room for another event.
    pub(super) fn shut_outlet(&self) {
        self.outlet.shut();
    }

    fn take_end(&self) -> Part {
        match self.left {
            Some(1..) => Part::Failed("body_shorter_than_declared"),
            _ => Part::Data { bytes: Bytes::new(), next: Next::End },
        }
    }

    fn take_trailers(&self, trailers: HeaderMap) -> Part {
        let is_sent = |name: &http::HeaderName| !is_forbidden_trailer(name.as_str().as_bytes());
        match self.left {
            Some(1..) => Part::Failed("body_shorter_than_declared"),
            // An empty block would be a frame that says nothing.
            _ if !trailers.keys().any(is_sent) => self.take_end(),
            _ => Part::Trailers(trailers),
        }
    }

    /// Takes the next piece, or the end, from the body. Returns a part if the body has neither or has failed.
    fn poll_body(&mut self, env: &mut Env, telemetry: &Telemetry, cx: &mut Context<'_>) -> Option<Part> {
        match poll_not_empty(&mut self.body, cx) {
            Poll::Pending => {
                self.wait.for_producer(env.now);
                Some(Part::Pending)
            }
            Poll::Ready(Some(Ok(Frame::Data(data)))) => {
                self.wait.for_window(env.now, self.written);
                self.take_piece(data, env, telemetry, cx).err()
            }
            Poll::Ready(Some(Ok(Frame::Trailers(trailers)))) => {
                self.end = PieceEnd::Trailers(trailers);
                None
            }
            Poll::Ready(Some(Err(error))) => Some(failed(env, telemetry, &error)),
            Poll::Ready(None) => {
                self.end = PieceEnd::Nothing;
                None
            }
        }
    }

    fn take_piece(
        &mut self,
        data: Bytes,
        env: &mut Env,
        telemetry: &Telemetry,
        cx: &mut Context<'_>,
    ) -> Result<(), Part> {
        const TOO_LONG: Part = Part::Failed("body_longer_than_declared");
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(data.len() as u64).ok_or(TOO_LONG)?;
            // The last piece ends the stream with it, if its producer has said that it is the last.
            if *left == 0 {
                match poll_not_empty(&mut self.body, cx) {
                    Poll::Pending => {}
                    Poll::Ready(None) => self.end = PieceEnd::Nothing,
                    Poll::Ready(Some(Ok(Frame::Trailers(trailers)))) => {
                        self.end = PieceEnd::Trailers(trailers);
                    }
                    Poll::Ready(Some(Ok(Frame::Data(_)))) => return Err(TOO_LONG),
                    Poll::Ready(Some(Err(error))) => return Err(failed(env, telemetry, &error)),
                }
            }
        }
        self.piece = data;
        Ok(())
    }

    /// Returns the time at which the peer or the producer will have been too slow, and which of them; `None`
    /// without a limit.
    pub(super) fn deadline(&self, env: &Env) -> Option<(Instant, Late)> {
        self.wait.deadline(env)
    }
}

/// Polls a body for a frame that is not empty data, which would look like the end.
///
/// A body that is never short of empty frames must not hold the shard: after some it is polled again later.
fn poll_not_empty(body: &mut Body, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
    for _ in 0..FRAMES_PER_CALL {
        match body.poll_frame(cx) {
            Poll::Ready(Some(Ok(Frame::Data(data)))) if data.is_empty() => {}
            frame => return frame,
        }
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

fn failed(env: &mut Env, telemetry: &Telemetry, error: &BodyError) -> Part {
    if env.may_warn() {
        let route = telemetry.route_metrics(env).template();
        tracing::warn!(%error, route, "response body failed, resetting the stream");
    }
    Part::Failed("body_failed")
}
