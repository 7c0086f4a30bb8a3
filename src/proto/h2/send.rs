//! Sending: heads, data and ends of streams, each as far as the peer's windows allow.

use super::{
    Connection, ErrorCode, Key,
    frame::{self, FrameType, HEADER_BYTES, PAYLOAD_BYTES_MAX, flag},
    hpack::encode::EMPTY_TABLE,
    state::{Sending, StreamState},
};

/// Multiple of its first size that a stream's receive window may grow to.
const GROWTH: u32 = 8;

/// Effect of a frame on this side of its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The side stays open: more follows.
    Open,
    /// The side ends: nothing follows.
    Stream,
}

impl Connection {
    /// Writes a header section: a head, an interim head or trailers. `write` appends the block. Returns
    /// `false`, and writes nothing, if the stream has already ended.
    pub fn headers_out(
        &mut self,
        stream: Key,
        end: End,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        if !self.may_send(stream) {
            return false;
        }
        let start = out.len();
        out.extend_from_slice(&[0; HEADER_BYTES]);
        self.begin_block(out);
        write(out);
        let flags = if end == End::Stream { flag::END_STREAM } else { 0 };
        seal(out, start, stream.id, flags, self.peer.frame_bytes);
        if end == End::Stream {
            self.end_local(stream, out);
        }
        true
    }

    /// Begins a header block: with a size update of the dynamic table if the peer's settings ask for one.
    #[inline]
    pub(super) fn begin_block(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.peer.owes_table_update) {
            out.push(EMPTY_TABLE);
        }
    }

    /// Writes the header of a DATA frame; the caller appends exactly `len` bytes behind it. `len` is at most
    /// [`room`](Self::room), and may be 0 for an end.
    #[inline]
    pub fn data_out(&mut self, stream: Key, len: usize, end: End, out: &mut Vec<u8>) {
        debug_assert!(len <= self.room(stream), "{len} bytes are more than the windows have");
        self.count_out(stream, len);
        if end == End::Stream {
            // Before the header, as a stream that closes may release what it holds of the connection's
            // window.
            self.end_local(stream, out);
            return frame::write_header(out, len, FrameType::Data, flag::END_STREAM, stream.id);
        }
        frame::write_header(out, len, FrameType::Data, 0, stream.id);
        let Some(entry) = self.streams.get_mut(stream) else { return };
        if entry.sending == Sending::Ready && entry.send_window.room() == 0 {
            entry.sending = Sending::Blocked;
            self.schedule.remove(&mut self.streams, stream);
        }
    }

    /// Subtracts data that is sent from both windows.
    pub(super) fn count_out(&mut self, stream: Key, bytes: usize) {
        self.send_window.take(bytes);
        if let Some(entry) = self.streams.get_mut(stream) {
            entry.send_window.take(bytes);
        }
    }

    /// Returns how many bytes one DATA frame may have now, by the windows and the size of a frame; 0 if this
    /// side of the stream has ended.
    #[inline]
    pub fn room(&self, stream: Key) -> usize {
        match self.streams.get(stream) {
            Some(entry) if entry.state != StreamState::HalfClosedLocal => {
                entry.send_window.room().min(self.connection_room()).min(PAYLOAD_BYTES_MAX)
            }
            _ => 0,
        }
    }

    /// Returns `true` if this side of the stream is open.
    #[inline]
    pub fn may_send(&self, stream: Key) -> bool {
        self.streams.get(stream).is_some_and(|entry| entry.state != StreamState::HalfClosedLocal)
    }

    /// Returns `true` if the peer has not ended its side of the stream.
    pub fn may_receive(&self, stream: Key) -> bool {
        self.streams.get(stream).is_some_and(|entry| entry.state != StreamState::HalfClosedRemote)
    }

    /// Notes that a stream has data to send: it is scheduled, or blocked until its window opens. Has no
    /// effect if that was noted before or this side has ended.
    pub fn want(&mut self, key: Key) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        if stream.sending != Sending::Idle || stream.state == StreamState::HalfClosedLocal {
            return;
        }
        if stream.send_window.room() == 0 {
            stream.sending = Sending::Blocked;
            return;
        }
        stream.sending = Sending::Ready;
        self.schedule.add(&mut self.streams, key);
    }

    /// Notes that a stream has no data to send: it leaves the schedule.
    pub fn rest(&mut self, key: Key) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let was = std::mem::replace(&mut stream.sending, Sending::Idle);
        if was == Sending::Ready {
            self.schedule.remove(&mut self.streams, key);
        }
    }

    /// Returns the stream that is to send data next, and how many bytes it may send. `None` if no stream has
    /// data, or if none may send.
    ///
    /// The stream keeps its place among those that have data until it [rests](Self::rest), ends or uses up
    /// its window.
    pub fn next_turn(&mut self) -> Option<(Key, usize)> {
        if self.connection_room() == 0 {
            return None;
        }
        while let Some(key) = self.schedule.next(&mut self.streams) {
            let room = self.room(key);
            if room > 0 {
                return Some((key, room));
            }
            // A setting has made its window smaller.
            self.streams.at(key.slot).sending = Sending::Blocked;
            self.schedule.remove(&mut self.streams, key);
        }
        None
    }

    /// Returns `true` if a stream is scheduled to send data. The connection's window may still stop it.
    pub fn has_ready(&self) -> bool {
        !self.schedule.is_empty()
    }

    /// Returns the [state](Sending) of a stream's sending; `Idle` if the stream is closed.
    pub fn sending(&self, stream: Key) -> Sending {
        self.streams.get(stream).map_or(Sending::Idle, |entry| entry.sending)
    }

    /// Returns how many bytes an event may have that is written at once, without being scheduled: none while
    /// the stream has other data to send.
    pub fn direct_room(&self, stream: Key) -> usize {
        if self.sending(stream) == Sending::Idle { self.room(stream) } else { 0 }
    }

    /// Releases bytes of a request's body: the peer may send as many more. What a stream holds is
    /// released when it closes.
    ///
    /// If half of the first window was released as fast as it arrived, the window grows to [`GROWTH`] times
    /// its size, so that a large upload does not wait for a WINDOW_UPDATE every 32 KiB. All windows of a
    /// connection together grow by at most half of the connection's window.
    pub fn release(&mut self, stream: Key, bytes: usize, out: &mut Vec<u8>) {
        let Some(entry) = self.streams.get_mut(stream) else { return };
        // No body holds more than a window.
        let bytes = (bytes as u32).min(entry.receive_window.held());
        let increment = entry.receive_window.release(bytes);
        let alone = bytes.min(entry.held_alone);
        entry.held_alone -= alone;
        let takes_more = entry.state != StreamState::HalfClosedRemote;
        if let Some(increment) = increment.filter(|_| takes_more) {
            let first_size = entry.receive_window.size() - entry.grown;
            let most = first_size.saturating_mul(GROWTH - 1) - entry.grown;
            let growth = entry.receive_window.grow(most.min(self.growth_left));
            entry.grown += growth;
            self.growth_left -= growth;
            frame::write_window_update(out, stream.id, increment + growth);
        }
        self.release_connection(bytes - alone, out);
    }

    /// Gives the connection's window the bytes that this stream holds, so that other streams may send them.
    /// The stream itself gets no credit.
    pub fn release_to_others(&mut self, stream: Key, out: &mut Vec<u8>) {
        let Some(entry) = self.streams.get_mut(stream) else { return };
        let held = entry.receive_window.held();
        let bytes = held - std::mem::replace(&mut entry.held_alone, held);
        self.release_connection(bytes, out);
    }

    /// Resets a stream, if it is open: no further event comes of it.
    pub fn reset(&mut self, stream: Key, code: ErrorCode, out: &mut Vec<u8>) {
        if self.streams.get(stream).is_some() {
            frame::write_reset(out, stream.id, code);
            if self.may_receive(stream) {
                self.remember_reset(stream.id);
            }
            self.close(stream, out);
        }
    }

    pub(super) fn end_local(&mut self, key: Key, out: &mut Vec<u8>) {
        self.rest(key);
        let Some(stream) = self.streams.get_mut(key) else { return };
        match stream.state {
            StreamState::HalfClosedRemote => self.close(key, out),
            _ => stream.state = StreamState::HalfClosedLocal,
        }
    }
}

/// Makes frames of the header block that was appended to `out` behind the room for a frame header at `start`.
#[inline]
fn seal(out: &mut Vec<u8>, start: usize, stream: u32, flags: u8, frame_bytes: usize) {
    let len = out.len() - start - HEADER_BYTES;
    if len <= frame_bytes {
        let header = frame::header(len, FrameType::Headers, flags | flag::END_HEADERS, stream);
        out[start..start + HEADER_BYTES].copy_from_slice(&header);
        return;
    }
    split(out, start, stream, flags, frame_bytes);
}

/// Splits a block that is too long for one frame (RFC 9113 §6.10).
#[cold]
fn split(out: &mut Vec<u8>, start: usize, stream: u32, flags: u8, frame_bytes: usize) {
    let block = out.split_off(start + HEADER_BYTES);
    out.truncate(start);
    let last = block.len().div_ceil(frame_bytes) - 1;
    for (index, fragment) in block.chunks(frame_bytes).enumerate() {
        let (frame_type, flags) = match index {
            0 => (FrameType::Headers, flags),
            index if index == last => (FrameType::Continuation, flag::END_HEADERS),
            _ => (FrameType::Continuation, 0),
        };
        frame::write_header(out, fragment.len(), frame_type, flags, stream);
        out.extend_from_slice(fragment);
    }
}
