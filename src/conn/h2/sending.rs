//! Writes reply bodies and WebSocket data of streams in the order that the core schedules, while the windows
//! and the outbox have room.

use bytes::Bytes;
use http::HeaderMap;

use super::{
    H2,
    stream::{Stage, Stream},
    streaming::{Next, Part, Streaming},
};
use crate::{
    conn::{env::Env, exchange::telemetry::Telemetry, io::Io, run},
    proto::h2::{Connection as Core, End, ErrorCode, Key, Sending, encode, frame::HEADER_BYTES},
};

/// Maximum number of bytes that are committed to the socket, so that a stream that becomes ready waits for no
/// more than these.
const COMMITTED_BYTES: usize = 128 * 1024;

/// Maximum number of parts that are sent in one call. A producer that always has a tiny piece must not hold
/// the shard.
const TURNS_PER_CALL: usize = 1024;

impl H2 {
    /// Returns how many bytes of data may still be committed to the socket, besides the header of their
    /// frame.
    pub(super) fn room(&self, io: &Io) -> usize {
        COMMITTED_BYTES.saturating_sub(io.committed() + HEADER_BYTES)
    }

    /// Returns how many bytes a reply may write at once, without being scheduled: none while other streams
    /// are.
    pub(super) fn room_at_once(&self, io: &Io) -> usize {
        if self.core.has_ready() { 0 } else { self.room(io) }
    }

    /// Removes a reply with nothing to send from the schedule, and opens its outlet if there is room for an
    /// event. Called directly after a poll of its body.
    fn rest(&mut self, env: &Env, io: &Io, key: Key, streaming: &mut Streaming) {
        self.core.rest(key);
        if self.core.room(key) > 0 && self.room(io) > 0 {
            streaming.open_outlet(env, io.id, key.id());
        }
    }

    /// Sends parts of the scheduled streams while there is room. Returns `true` if it stopped after
    /// [`TURNS_PER_CALL`], for the sake of other connections.
    pub(super) fn send_data(&mut self, env: &mut Env, io: &mut Io) -> bool {
        for _ in 0..TURNS_PER_CALL {
            let room = self.room(io);
            if room == 0 {
                return false;
            }
            let Some((key, allowed)) = self.core.next_turn() else { return false };
            match self.streams.take(key) {
                Some(stream) => self.take_turn(env, io, stream, allowed.min(room)),
                None => self.core.rest(key),
            }
        }
        true
    }

    /// Sends the next part of a scheduled stream, with at most `room` bytes of data.
    fn take_turn(&mut self, env: &mut Env, io: &mut Io, stream: Box<Stream>, room: usize) {
        match stream.stage {
            Stage::Streaming(..) => self.continue_reply(env, io, stream, room),
            #[cfg(feature = "ws")]
            Stage::Socket(..) => self.continue_socket(env, io, stream, room),
            _ => {
                self.core.rest(stream.key);
                self.put_back(env, stream);
            }
        }
    }

    /// Sends the next part of a reply, with at most `room` bytes of data.
    fn continue_reply(&mut self, env: &mut Env, io: &mut Io, mut stream: Box<Stream>, room: usize) {
        let Stage::Streaming(telemetry, mut streaming) = stream.stage else { return };
        let mut cx = Stream::context(&stream.waker);
        let part = contained(env, &telemetry, |env| streaming.next(env, &telemetry, room, &mut cx));
        stream.stage = Stage::Discarding;
        self.send_part(env, io, stream, telemetry, streaming, part);
    }

    /// Writes a part of a reply and puts the stream back, unless the part is the last. A failed part resets
    /// the stream.
    pub(super) fn send_part(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        mut stream: Box<Stream>,
        telemetry: Telemetry,
        mut streaming: Box<Streaming>,
        part: Part,
    ) {
        let (key, status) = (stream.key, streaming.status);
        match part {
            Part::Data { bytes, next } => {
                let end = if next == Next::End { End::Stream } else { End::Open };
                write_data(&mut self.core, io, key, bytes, end);
                match next {
                    Next::End => return self.reply_sent(env, io, stream, telemetry, &streaming),
                    Next::Pending => self.rest(env, io, key, &mut streaming),
                    Next::Unknown => {
                        streaming.wait.for_window(env.now, streaming.written);
                        stream.stage = Stage::Streaming(telemetry, streaming);
                        return self.advance_reply(env, io, stream);
                    }
                }
            }
            Part::Trailers(trailers) => {
                self.write_trailers(io, key, &trailers);
                return self.reply_sent(env, io, stream, telemetry, &streaming);
            }
            Part::Pending => self.rest(env, io, key, &mut streaming),
            Part::Failed(cause) => {
                env.counters.h2_resets.add(cause);
                self.core.reset(key, ErrorCode::InternalError, io.outbox.buffer());
                self.uncharge(&streaming);
                return telemetry.finish(env, io, Some(status), Some(cause), streaming.written);
            }
        }
        stream.stage = Stage::Streaming(telemetry, streaming);
        self.put_back(env, stream);
    }

    fn reply_sent(
        &mut self,
        env: &mut Env,
        io: &mut Io,
        stream: Box<Stream>,
        telemetry: Telemetry,
        streaming: &Streaming,
    ) {
        self.last_activity = env.now;
        self.uncharge(streaming);
        telemetry.finish(env, io, Some(streaming.status), None, streaming.written);
        self.discard_rest(env, io, stream.key, stream.incoming);
    }

    fn write_trailers(&mut self, io: &mut Io, key: Key, trailers: &HeaderMap) {
        self.core.headers_out(key, End::Stream, io.outbox.buffer(), |out| {
            encode::trailers(out, trailers);
        });
    }

    /// Schedules a reply that may have data. If the stream's window is used up, sends the end of the body or
    /// the trailers if no data is left before it.
    pub(super) fn advance_reply(&mut self, env: &mut Env, io: &mut Io, mut stream: Box<Stream>) {
        self.core.want(stream.key);
        if self.core.sending(stream.key) != Sending::Blocked {
            return self.put_back(env, stream);
        }
        let Stage::Streaming(telemetry, mut streaming) = stream.stage else { return };
        let mut cx = Stream::context(&stream.waker);
        let end = contained_end(env, &telemetry, |env| streaming.next_end(env, &telemetry, &mut cx));
        match end {
            Some(part) => {
                stream.stage = Stage::Discarding;
                self.send_part(env, io, stream, telemetry, streaming, part);
            }
            None => {
                stream.stage = Stage::Streaming(telemetry, streaming);
                self.put_back(env, stream);
            }
        }
    }

    /// Subtracts a reply from `unsent_bytes` once it is not held for the peer.
    pub(super) fn uncharge(&mut self, streaming: &Streaming) {
        self.unsent_bytes -= streaming.charged_bytes();
    }
}

/// Writes data as one DATA frame. The caller has checked that the windows have room.
pub(super) fn write_data(core: &mut Core, io: &mut Io, key: Key, bytes: Bytes, end: End) {
    core.data_out(key, bytes.len(), end, io.outbox.buffer());
    io.outbox.share(bytes);
}

/// Calls `poll`, which polls a reply's body. The body is code of the program: a panic is counted, logged and
/// ends only its stream.
fn contained(env: &mut Env, telemetry: &Telemetry, poll: impl FnOnce(&mut Env) -> Part) -> Part {
    contained_end(env, telemetry, |env| Some(poll(env))).unwrap_or(Part::Pending)
}

fn contained_end(
    env: &mut Env,
    telemetry: &Telemetry,
    poll: impl FnOnce(&mut Env) -> Option<Part>,
) -> Option<Part> {
    let (counters, route) = (env.counters.clone(), telemetry.route_metrics(env).number());
    counters.activity.call(route, || poll(env)).unwrap_or_else(|payload| {
        env.counters.panics.add("body");
        let route = telemetry.route_metrics(env).template();
        run::report_panic("response body panicked, resetting the stream", route, &*payload);
        Some(Part::Failed("body_panicked"))
    })
}
