//! Replies on their way out, in the order of their requests.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    task::{Context, Poll, Waker},
};

use super::{
    H1, Reading,
    slots::{Meta, State, Streaming},
};
use crate::{
    body::{BodyError, Form, Frame},
    conn::{Env, Io, Outcome, Timer, account::ENDED_FIRST, answers::final_answer, tap::Tap},
    net::Ending,
    proto::h1::encode::{self, Framing, LAST_CHUNK, Length},
};

/// A streamed reply is polled no further while this much of it waits to be sent, bytes.
const STREAM_AHEAD_BYTES: usize = 64 * 1024;

/// Pieces taken from a streamed reply in one go: one that is never short of tiny ones must not hold the shard.
const FRAMES_PER_CALL: usize = 1024;

/// How far writing a streamed reply came.
enum Progress {
    /// All of it is written.
    Done,
    /// Its body has nothing but what is to come.
    Rests,
    /// Its body, or the peer, has to go on first.
    Waits,
    /// It cannot be completed.
    Broken(&'static str),
}

impl H1 {
    /// Writes whatever is at the front of the line and can be written.
    pub(super) fn flush(&mut self, env: &mut Env, io: &mut Io) {
        let before = self.slots.len();
        while self.go_on_streaming(env, io) {
            let Some((meta, outcome)) = self.slots.pop_ready() else { break };
            self.write(env, io, meta, outcome);
            if self.slots.streaming().is_some() {
                // Its body was asked as it began.
                break;
            }
        }
        if self.slots.len() < before || self.slots.is_empty() {
            self.held = false;
        }
        self.switching &= !self.slots.is_empty();
    }

    /// Writes a reply; nothing is owed before it.
    pub(super) fn write(&mut self, env: &mut Env, io: &mut Io, meta: Meta, outcome: Outcome) {
        let Outcome { response, error } = final_answer(outcome);
        #[cfg(feature = "ws")]
        let Some((meta, response)) = self.switch(env, io, meta, response) else { return };
        let (mut meta, mut response) = (meta, response);
        meta.exchange.keep_alive &= !self.leaves_too_much(env);
        // A request that began before the drain: its reply says that no other will follow.
        meta.exchange.keep_alive &= !(env.is_draining() && self.owes_nothing());
        let status = response.status();
        let body = response.take_body();
        let length = body.len().map_or(Length::Unknown, Length::Known);
        let date = *env.date.at(env.now);
        let fields = response.fields().iter();
        let sent = encode::head(io.outbox.buffer(), meta.exchange, status, length, fields, &date);
        if !sent.keep_alive {
            self.close_after();
            // Nothing may stand behind a reply that closes (RFC 9112 §9.6), the least behind one that the close ends.
            self.close_slots(env, io);
        }
        meta.account.note_body(&body);
        meta.account.count(env, status);
        if sent.framing == Framing::None {
            return meta.account.finish(env, io, Some(status), error, 0);
        }
        match body.into_bytes() {
            Ok(bytes) => {
                let written = bytes.len() as u64;
                io.outbox.share(bytes);
                meta.account.finish(env, io, Some(status), error, written);
            }
            Err(body) => {
                let left = match sent.framing {
                    Framing::Length(length) => Some(length),
                    _ => None,
                };
                let framing = sent.framing;
                self.slots.unpop(
                    meta,
                    Streaming { body, framing, left, status, written: 0, held_back: false, may_tap: true },
                );
                self.go_on_streaming(env, io);
            }
        }
    }

    /// Says whether the last request's handler left more of its body than is thrown away.
    fn leaves_too_much(&self, env: &Env) -> bool {
        let Reading::Body(incoming) = &self.reading else { return false };
        self.slots.is_empty() && incoming.is_unwanted_beyond(env.limits.discard_bytes)
    }

    /// Writes what a streamed reply at the front has; false when the replies behind it have to wait.
    fn go_on_streaming(&mut self, env: &mut Env, io: &mut Io) -> bool {
        // Where it stands: a subscriber's goes on with every event.
        let Some(streaming) = self.slots.streaming() else { return true };
        if let Some(tap) = &mut io.tap {
            streaming.note_passed(tap);
        }
        let progress = catch_unwind(AssertUnwindSafe(|| poll_stream(env, io, streaming)));
        let progress = progress.unwrap_or_else(|_| {
            env.counters.panics.add("body");
            tracing::error!("a response body's source panicked; the connection ends");
            Progress::Broken("body_panicked")
        });
        let error = match progress {
            Progress::Rests => {
                if !self.closing {
                    streaming.settle_tap(env, io);
                }
                return false;
            }
            Progress::Waits => return false,
            Progress::Done => None,
            Progress::Broken(cause) => Some(cause),
        };
        io.timers.clear(Timer::Stream);
        io.tap = None;
        let (status, written, framing) = (streaming.status, streaming.written, streaming.framing);
        if let Some(slot) = self.slots.pop() {
            slot.meta.account.finish(env, io, Some(status), error, written);
        }
        if let Some(cause) = error {
            self.abandon(env, io, framing, cause);
        }
        true
    }

    /// Ends the connection in the middle of a reply of this framing: the peer sees that it is cut short.
    pub(super) fn abandon(&mut self, env: &mut Env, io: &mut Io, framing: Framing, cause: &'static str) {
        self.closing = true;
        self.close_slots(env, io);
        self.drop_incoming(env, io);
        self.reading = Reading::Nothing;
        self.input = Vec::new();
        // What the connection's end completes would look whole behind an orderly one.
        io.end(if framing == Framing::Close { Ending::Abort } else { Ending::Finish }, cause);
    }

    /// Ends the connection because a reply's producer gives nothing.
    pub(super) fn stream_idled(&mut self, env: &mut Env, io: &mut Io) {
        if let Some(State::Streaming(streaming)) = self.slots.front().map(|slot| &slot.state) {
            self.abandon(env, io, streaming.framing, Timer::Stream.name());
        }
    }

    /// Ends the connection if its peer has gone and a reply without an end of its own is on its way.
    pub(super) fn end_endless(&mut self, env: &mut Env, io: &mut Io) {
        if let Some(State::Streaming(streaming)) = self.slots.front().map(|slot| &slot.state)
            && streaming.body.is_endless()
        {
            self.abandon(env, io, streaming.framing, "peer");
        }
    }

    /// Gives up every reply that is owed and cancels what still runs for it.
    pub(super) fn close_slots(&mut self, env: &mut Env, io: &mut Io) {
        if let (Some(streaming), Some(mut tap)) = (self.slots.streaming(), io.tap.take()) {
            streaming.note_passed(&mut tap);
        }
        while let Some(slot) = self.slots.pop() {
            let (status, written) = match &slot.state {
                State::Waiting(task) => {
                    task.cancel();
                    (None, 0)
                }
                State::Ready(_) => (None, 0),
                State::Streaming(streaming) => (Some(streaming.status), streaming.written),
            };
            slot.meta.account.finish(env, io, status, Some(ENDED_FIRST), written);
        }
    }
}

/// Moves a streamed reply's bytes to the outbox.
fn poll_stream(env: &mut Env, io: &mut Io, streaming: &mut Streaming) -> Progress {
    let waker = io.take_waker(env);
    let progress = poll_frames(env, io, streaming, &waker);
    io.waker = Some(waker);
    progress
}

fn poll_frames(env: &mut Env, io: &mut Io, streaming: &mut Streaming, waker: &Waker) -> Progress {
    let mut cx = Context::from_waker(waker);
    streaming.held_back = false;
    if env.is_draining() {
        streaming.body.drain();
    }
    for _ in 0..FRAMES_PER_CALL {
        if io.queued() >= STREAM_AHEAD_BYTES {
            streaming.held_back = true;
            return Progress::Waits;
        }
        match streaming.body.poll_frame(&mut cx) {
            Poll::Pending => {
                io.timers.start(Timer::Stream, env.now, env.timeouts.stream_idle);
                return Progress::Rests;
            }
            Poll::Ready(Some(Ok(Frame::Data(data)))) => {
                io.timers.clear(Timer::Stream);
                if let Err(cause) = streaming.write(io, data) {
                    return Progress::Broken(cause);
                }
                if streaming.body.rests() {
                    io.timers.set(Timer::Stream, env.now, env.timeouts.stream_idle);
                    return Progress::Rests;
                }
            }
            Poll::Ready(Some(Ok(Frame::Trailers(trailers)))) => {
                if streaming.framing != Framing::Chunked {
                    return streaming.end(io);
                }
                encode::last_chunk(io.outbox.buffer(), &trailers);
                return Progress::Done;
            }
            Poll::Ready(Some(Err(error))) => return broken(env, &error),
            Poll::Ready(None) => return streaming.end(io),
        }
    }
    waker.wake_by_ref();
    Progress::Waits
}

impl Streaming {
    fn write(&mut self, io: &mut Io, data: bytes::Bytes) -> Result<(), &'static str> {
        let len = data.len() as u64;
        if len == 0 {
            // An empty chunk would end the body.
            return Ok(());
        }
        self.written += len;
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(len).ok_or("body_longer_than_declared")?;
        }
        if self.framing == Framing::Chunked {
            encode::chunk_head(io.outbox.buffer(), len);
            io.outbox.share(data);
            io.outbox.buffer().extend_from_slice(encode::CHUNK_END);
        } else {
            io.outbox.share(data);
        }
        Ok(())
    }

    /// Lets the tap take what comes, as the body has nothing and what came before is written. What is not chunked ends with the
    /// connection, or with a length that is counted piece by piece.
    fn settle_tap(&mut self, env: &Env, io: &mut Io) {
        if let Some(tap) = &io.tap {
            return tap.ready();
        }
        if self.may_tap && self.framing == Framing::Chunked {
            io.tap = Tap::offered(env, io, Form::Chunk, |offer| self.body.offer(offer), &mut self.may_tap);
        }
    }

    /// Takes note of what the peer was sent past the body.
    fn note_passed(&mut self, tap: &mut Tap) {
        let (bytes, at) = tap.take_passed();
        self.written += bytes;
        if let Some(at) = at {
            self.body.passed(at);
        }
    }

    fn end(&self, io: &mut Io) -> Progress {
        match self.framing {
            Framing::Chunked => io.outbox.buffer().extend_from_slice(LAST_CHUNK),
            Framing::Length(_) if self.left != Some(0) => {
                return Progress::Broken("body_shorter_than_declared");
            }
            _ => {}
        }
        Progress::Done
    }
}

fn broken(env: &mut Env, error: &BodyError) -> Progress {
    if env.may_warn() {
        tracing::warn!(%error, "a response body failed; the connection ends");
    }
    Progress::Broken("body_failed")
}
