//! A reply whose head was written and whose body is written frame by frame.

use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::StatusCode;

use super::context::ReplyContext;
use crate::{
    body::{Body, BodyError, Frame},
    conn::{
        env::Env,
        io::Io,
        outlet::{ONLY_STREAM, StreamOutlet},
        run,
        timers::Timer,
    },
    proto::h1::encode::{self, Framing, LAST_CHUNK, SharedChunk},
};

/// A body is polled no further while this many bytes wait to be sent.
const STREAM_AHEAD_BYTES: usize = 64 * 1024;

/// Maximum number of frames taken from a body in one call: a body that always has a small frame must not
/// block the shard.
const FRAMES_PER_CALL: usize = 1024;

/// Reply whose body is being written.
pub(super) struct Streaming {
    pub(super) context: ReplyContext,
    pub(super) status: StatusCode,
    pub(super) framing: Framing,
    body: Body,
    /// Bytes of the body that are still to come, if the head declared a length.
    left: Option<u64>,
    /// Bytes of the body that were written.
    pub(super) written: u64,
    /// The body was not polled, because too much waits to be sent.
    held_back: bool,
    /// Direct delivery of the body's events. Only chunked replies have any: other replies have a length that
    /// is counted frame by frame, or end with the connection.
    outlet: StreamOutlet<SharedChunk>,
}

/// Progress of a streaming reply after one poll.
pub(super) enum Progress {
    /// The whole body was written.
    Done,
    /// The body rests: it has no frame ready and wakes the connection when it has one.
    Rests,
    /// The reply continues when bytes were sent, or in the next turn of the event loop.
    Waits,
    /// The body failed, panicked or has another length than declared. The cause is a metric label.
    Failed(&'static str),
}

impl Streaming {
    pub(super) fn new(context: ReplyContext, status: StatusCode, framing: Framing, body: Body) -> Self {
        let left = match framing {
            Framing::Length(length) => Some(length),
            Framing::None | Framing::Chunked | Framing::Close => None,
        };
        let outlet = match framing {
            Framing::Chunked => StreamOutlet::Unconnected,
            Framing::Length(_) | Framing::None | Framing::Close => StreamOutlet::Unused,
        };
        Self { context, status, framing, body, left, written: 0, held_back: false, outlet }
    }

    /// Returns `true` if the reply waits only for its body, not for room in the outbox.
    pub(super) fn awaits_body(&self) -> bool {
        !self.held_back
    }

    /// Returns `true` if the body has no end of its own, so that it ends when the peer is gone.
    pub(super) fn is_endless(&self) -> bool {
        self.body.is_endless()
    }

    /// Moves frames of the body to the outbox. A panic of the body's producer is caught and counted.
    pub(super) fn poll(&mut self, env: &mut Env, io: &mut Io) -> Progress {
        self.deliver(env, io);
        if let Some(at) = self.outlet.take_last_event() {
            self.body.delivered(at);
        }
        let counters = env.counters.clone();
        let route = self.context.telemetry.route_metrics(env).number();
        let polled = counters.activity.call(route, || {
            let waker = io.take_waker(env);
            let progress = self.poll_frames(env, io, &waker);
            io.waker = Some(waker);
            progress
        });
        polled.unwrap_or_else(|payload| {
            env.counters.panics.add("body");
            let route = self.context.telemetry.route_metrics(env).template();
            run::report_panic("response body panicked, closing the connection", route, &*payload);
            Progress::Failed("body_panicked")
        })
    }

    fn poll_frames(&mut self, env: &mut Env, io: &mut Io, waker: &Waker) -> Progress {
        let mut cx = Context::from_waker(waker);
        self.held_back = false;
        if env.is_draining() {
            self.body.drain();
        }
        for _ in 0..FRAMES_PER_CALL {
            if io.queued() >= STREAM_AHEAD_BYTES {
                self.held_back = true;
                return Progress::Waits;
            }
            match self.body.poll_frame(&mut cx) {
                Poll::Pending => {
                    io.timers.start(Timer::Stream, env.now, env.timeouts.stream_idle);
                    return Progress::Rests;
                }
                Poll::Ready(Some(Ok(Frame::Data(data)))) => {
                    io.timers.clear(Timer::Stream);
                    if let Err(cause) = self.write(io, data) {
                        return Progress::Failed(cause);
                    }
                    if self.body.rests() {
                        io.timers.set(Timer::Stream, env.now, env.timeouts.stream_idle);
                        return Progress::Rests;
                    }
                }
                Poll::Ready(Some(Ok(Frame::Trailers(trailers)))) => {
                    if self.framing != Framing::Chunked {
                        return self.end(io);
                    }
                    encode::last_chunk(io.outbox.buffer(), &trailers);
                    return Progress::Done;
                }
                Poll::Ready(Some(Err(error))) => return self.failed(env, &error),
                Poll::Ready(None) => return self.end(io),
            }
        }
        waker.wake_by_ref();
        Progress::Waits
    }

    fn failed(&self, env: &mut Env, error: &BodyError) -> Progress {
        if env.may_warn() {
            let route = self.context.telemetry.route_metrics(env).template();
            tracing::warn!(%error, route, "response body failed, closing the connection");
        }
        Progress::Failed("body_failed")
    }

    fn write(&mut self, io: &mut Io, data: Bytes) -> Result<(), &'static str> {
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

    fn end(&self, io: &mut Io) -> Progress {
        match self.framing {
            Framing::Chunked => io.outbox.buffer().extend_from_slice(LAST_CHUNK),
            Framing::Length(_) if self.left != Some(0) => {
                return Progress::Failed("body_shorter_than_declared");
            }
            Framing::Length(_) | Framing::None | Framing::Close => {}
        }
        Progress::Done
    }

    /// Writes the event in the outlet, if there is one, as a chunk. Shuts the outlet if the outbox is full
    /// then.
    pub(super) fn deliver(&mut self, env: &Env, io: &mut Io) {
        let (outbox, written) = (&mut io.outbox, &mut self.written);
        let event = self.outlet.take(env.now, |event| {
            *written += event.data().len() as u64;
            outbox.share_whole(event.chunk().clone());
        });
        if event.is_none() {
            return;
        }
        if io.timers.is_running(Timer::Stream) {
            io.timers.set(Timer::Stream, env.now, env.timeouts.stream_idle);
        }
        if io.queued() >= STREAM_AHEAD_BYTES {
            self.outlet.shut();
        }
    }

    /// Opens the outlet unless the outbox is full. Called directly after a poll with the result
    /// [`Progress::Rests`].
    pub(super) fn open_outlet(&mut self, env: &Env, io: &Io) {
        if io.queued() < STREAM_AHEAD_BYTES {
            self.outlet.open(env, io.id, ONLY_STREAM, |outlet| self.body.connect(outlet));
        }
    }
}
