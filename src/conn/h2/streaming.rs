//! A reply whose body is being sent.

use std::{
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::{
    engine::{Code, Gone, Outbound},
    incoming::permitted,
    wait::{Late, Wait},
};
use crate::{
    body::{Body, BodyError, Frame},
    conn::env::Env,
    limits::Timeouts,
};

/// Pieces taken from a streamed reply in one go: one that is never short of tiny ones must not hold the
/// shard.
const FRAMES_PER_CALL: usize = 1024;

/// A reply whose body is being sent.
pub(super) struct Streaming {
    pub(super) out: Outbound,
    body: Body,
    /// Bytes taken from the body and not sent yet.
    piece: Bytes,
    /// End after the piece, as far as known.
    end: End,
    /// Bytes of the body still to be taken, where the head declared a length.
    left: Option<u64>,
    pub(super) status: StatusCode,
    /// Bytes sent.
    pub(super) written: u64,
    wait: Wait,
}

impl Streaming {
    /// Returns `true` if the body has no end of its own, so that it ends when the peer is gone.
    pub(super) fn is_endless(&self) -> bool {
        self.body.is_endless()
    }
}

/// End of a body after a piece.
enum End {
    Unknown,
    Nothing,
    Trailers(HeaderMap),
}

/// Progress of a streamed reply.
pub(super) enum Progress {
    /// All of it is sent.
    Done,
    /// Its body, or the peer, has to go on first.
    Waits,
    /// It cannot be completed.
    Broken(&'static str),
    /// The stream is over.
    Gone,
}

impl Streaming {
    pub(super) fn new(out: Outbound, body: Body, status: StatusCode) -> Self {
        let left = body.len();
        let (piece, body, end) = match body.into_bytes() {
            Ok(bytes) => (bytes, Body::empty(), End::Nothing),
            Err(body) => (Bytes::new(), body, End::Unknown),
        };
        Self { out, body, piece, end, left, status, written: 0, wait: Wait::Nothing }
    }

    /// Sends a body that is there as a whole, if the peer takes all of it; returns its length.
    pub(super) fn send_whole(&mut self) -> Option<u64> {
        let len = self.piece.len();
        if !matches!(self.end, End::Nothing) || self.out.reserve(len) < len {
            return None;
        }
        // A stream that is gone has no room.
        let _ = self.out.send(std::mem::take(&mut self.piece), true);
        Some(len as u64)
    }

    /// Moves the body's pieces to the peer: none is taken from its producer while the peer has no room for
    /// it.
    pub(super) fn poll(&mut self, env: &mut Env, cx: &mut Context<'_>) -> Progress {
        if self.out.poll_gone(cx) {
            return Progress::Gone;
        }
        if env.is_draining() {
            self.body.drain();
        }
        for _ in 0..FRAMES_PER_CALL {
            let room = match self.poll_room(env.now, cx) {
                Poll::Pending => return Progress::Waits,
                Poll::Ready(Err(Gone)) => return Progress::Gone,
                Poll::Ready(Ok(room)) => room,
            };
            let step = if self.piece.is_empty() { self.take_piece(env, cx) } else { self.send_piece(room) };
            if let Some(progress) = step {
                return progress;
            }
        }
        cx.waker().wake_by_ref();
        Progress::Waits
    }

    /// Waits until the peer has room for some of the piece, or for a byte of the next.
    fn poll_room(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<Result<usize, Gone>> {
        let room = self.out.poll_some(self.piece.len(), cx);
        if room.is_pending() {
            self.wait.for_window(now, self.written);
        }
        room
    }

    fn send_piece(&mut self, room: usize) -> Option<Progress> {
        let bytes = self.piece.split_to(room.min(self.piece.len()));
        self.written += bytes.len() as u64;
        let is_last = self.piece.is_empty();
        if is_last {
            self.wait = Wait::Nothing;
        }
        let ends = is_last && matches!(self.end, End::Nothing);
        if self.out.send(bytes, ends).is_err() {
            return Some(Progress::Gone);
        }
        match std::mem::replace(&mut self.end, End::Unknown) {
            End::Nothing if is_last => Some(Progress::Done),
            End::Trailers(trailers) if is_last => Some(self.finish_with(trailers)),
            end => {
                self.end = end;
                None
            }
        }
    }

    /// Takes the next piece from its producer.
    fn take_piece(&mut self, env: &mut Env, cx: &mut Context<'_>) -> Option<Progress> {
        match self.body.poll_frame(cx) {
            Poll::Pending => {
                if !matches!(self.wait, Wait::Producer(_)) {
                    self.wait = Wait::Producer(env.now);
                }
                Some(Progress::Waits)
            }
            Poll::Ready(Some(Ok(Frame::Data(data)))) => {
                self.wait = Wait::Nothing;
                self.take(data, cx).err().map(Progress::Broken)
            }
            Poll::Ready(Some(Ok(Frame::Trailers(trailers)))) => Some(self.finish_with(trailers)),
            Poll::Ready(Some(Err(error))) => Some(broken(env, &error)),
            Poll::Ready(None) if self.left.is_some_and(|left| left > 0) => {
                Some(Progress::Broken("body_shorter_than_declared"))
            }
            Poll::Ready(None) => Some(done(self.out.send(Bytes::new(), true))),
        }
    }

    fn take(&mut self, data: Bytes, cx: &mut Context<'_>) -> Result<(), &'static str> {
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(data.len() as u64).ok_or("body_longer_than_declared")?;
            // The last piece ends the stream with it, if its producer has said that it is the last.
            if *left == 0 {
                self.look_behind(cx)?;
            }
        }
        self.piece = data;
        Ok(())
    }

    fn look_behind(&mut self, cx: &mut Context<'_>) -> Result<(), &'static str> {
        match self.body.poll_frame(cx) {
            Poll::Pending => {}
            Poll::Ready(None) => self.end = End::Nothing,
            Poll::Ready(Some(Ok(Frame::Trailers(trailers)))) => self.end = End::Trailers(trailers),
            Poll::Ready(Some(Ok(Frame::Data(_)))) => return Err("body_longer_than_declared"),
            Poll::Ready(Some(Err(_))) => return Err("body_failed"),
        }
        Ok(())
    }

    fn finish_with(&mut self, trailers: HeaderMap) -> Progress {
        if self.left.is_some_and(|left| left > 0) {
            return Progress::Broken("body_shorter_than_declared");
        }
        let trailers = permitted(trailers);
        // An empty block would be a frame that says nothing.
        done(if trailers.is_empty() {
            self.out.send(Bytes::new(), true)
        } else {
            self.out.finish_with(trailers)
        })
    }

    /// Returns when somebody will have been too slow, and who.
    pub(super) fn deadline(&self, timeouts: &Timeouts) -> Option<(Instant, Late)> {
        self.wait.deadline(timeouts)
    }

    /// Returns `true` if it waits for the peer's window.
    pub(super) fn is_stuck(&self) -> bool {
        matches!(self.wait, Wait::Window(..))
    }

    /// Gives the stream up.
    pub(super) fn reset(self, code: Code) {
        self.out.reset(code);
    }
}

fn done(sent: Result<(), Gone>) -> Progress {
    if sent.is_ok() { Progress::Done } else { Progress::Gone }
}

fn broken(env: &mut Env, error: &BodyError) -> Progress {
    if env.may_warn() {
        tracing::warn!(%error, "response body failed, resetting the stream");
    }
    Progress::Broken("body_failed")
}
