//! Received DATA (RFC 9113 §6.1): passed on as it comes, counted against the windows by whole frames.

use super::{
    Connection, Context, Event, Fault, Key, StreamFault,
    frame::{FrameHeader, flag},
    meter::Kind,
    state::{Reading, StreamState},
};

impl Connection {
    /// Takes the header of a DATA frame: counts the frame against the windows and prepares to read its
    /// payload.
    pub(super) fn begin_data(
        &mut self,
        header: FrameHeader,
        cx: &mut Context<'_>,
    ) -> Result<Option<Event<'static>>, Fault> {
        let id = header.stream;
        if self.is_idle(id) {
            return Err(Fault::protocol("DATA comes on a stream that has not begun"));
        }
        if header.has(flag::PADDED) && header.len == 0 {
            return Err(Fault::frame_size("a padded DATA frame has no pad length"));
        }
        let taken = self.receive_window.take(header.len as u32);
        taken.map_err(|_| Fault::flow_control("DATA exceeds the connection's window"))?;
        self.data = header;
        if let Some(fault) = self.data_fault(id, header.len) {
            let event = match fault {
                Some(fault) => self.stream_fault(id, fault, cx)?,
                None => None,
            };
            self.drop_payload(&header, cx);
            return Ok(event);
        }
        if header.has(flag::PADDED) {
            self.reading = Reading::PadLength;
            return Ok(None);
        }
        self.begin_content(header.len, 0, cx)
    }

    /// Returns `None` if the data of a frame is passed on. Otherwise the data is dropped: with the fault of
    /// the peer, or as `Some(None)` without one, if the peer may have sent it before this side ended the
    /// stream.
    fn data_fault(&mut self, id: u32, len: usize) -> Option<Option<StreamFault>> {
        let Some(key) = self.streams.find(id) else {
            let is_late = self.was_reset(id) || self.is_beyond_last(id);
            return Some((!is_late).then(|| StreamFault::closed("DATA comes on a closed stream")));
        };
        let stream = self.streams.at(key.slot);
        if stream.state == StreamState::HalfClosedRemote {
            return Some(Some(StreamFault::closed("DATA comes after END_STREAM")));
        }
        match stream.receive_window.take(len as u32) {
            Ok(()) => None,
            Err(_) => Some(Some(StreamFault::flow_control("DATA exceeds the stream's window"))),
        }
    }

    /// Prepares to drop the payload of a frame whose stream is closed, and releases it. Its padding is still
    /// checked.
    fn drop_payload(&mut self, header: &FrameHeader, cx: &mut Context<'_>) {
        self.release_connection(header.len as u32, cx.out);
        if header.has(flag::PADDED) {
            self.reading = Reading::PadLength;
        } else {
            self.skip_payload(header.len);
        }
    }

    pub(super) fn read_pad_length(
        &mut self,
        input: &mut &[u8],
        cx: &mut Context<'_>,
    ) -> Result<Option<Event<'static>>, Fault> {
        let Some((&padding, rest)) = input.split_first() else { return Ok(None) };
        *input = rest;
        let behind = self.data.len - 1;
        let Some(len) = behind.checked_sub(usize::from(padding)) else {
            return Err(Fault::protocol("the padding of DATA is longer than the frame"));
        };
        let Some(key) = self.streams.find(self.data.stream) else {
            // What it held was released as it closed.
            self.skip_payload(behind);
            return Ok(None);
        };
        // Nobody takes padding, so it is released at once.
        self.release(key, usize::from(padding) + 1, cx.out);
        self.begin_content(len, usize::from(padding), cx)
    }

    /// Begins to pass on `len` bytes of data, with padding behind them.
    fn begin_content(
        &mut self,
        len: usize,
        padding: usize,
        cx: &mut Context<'_>,
    ) -> Result<Option<Event<'static>>, Fault> {
        let ends = self.data.has(flag::END_STREAM);
        if len == 0 {
            self.skip_payload(padding);
            if !ends {
                self.meter.count(Kind::EmptyData, cx.limits, cx.now)?;
                return Ok(None);
            }
            let Some(stream) = self.streams.find(self.data.stream) else { return Ok(None) };
            return self.content(stream, &[], ends, cx);
        }
        self.data.len = len;
        self.padding = padding as u8;
        self.reading = Reading::Data;
        Ok(None)
    }

    /// Passes on the data of a frame that has come.
    pub(super) fn read_data<'i>(
        &mut self,
        input: &mut &'i [u8],
        cx: &mut Context<'_>,
    ) -> Result<Option<Event<'i>>, Fault> {
        let padding = usize::from(self.padding);
        let Some(stream) = self.streams.find(self.data.stream) else {
            // Its user has reset it since; that released what it held.
            self.skip_payload(self.data.len + padding);
            return Ok(None);
        };
        let (bytes, rest) = input.split_at(self.data.len.min(input.len()));
        *input = rest;
        self.data.len -= bytes.len();
        let is_last = self.data.len == 0;
        if is_last {
            self.skip_payload(padding);
        }
        self.content(stream, bytes, is_last && self.data.has(flag::END_STREAM), cx)
    }

    /// Returns data as an event. If it contradicts the declared length, the stream is reset (RFC 9113
    /// §8.1.1).
    fn content<'i>(
        &mut self,
        stream: Key,
        bytes: &'i [u8],
        ends: bool,
        cx: &mut Context<'_>,
    ) -> Result<Option<Event<'i>>, Fault> {
        if let Some(left) = &mut self.streams.at(stream.slot).expected {
            match left.checked_sub(bytes.len() as u64) {
                Some(still) if !ends || still == 0 => *left = still,
                _ => {
                    let fault = StreamFault::malformed("a request body does not have its declared length");
                    // What is left of the frame finds no stream.
                    return self.stream_fault(stream.id, fault, cx);
                }
            }
        }
        if ends {
            self.end_remote(stream, cx.out);
        }
        Ok(Some(Event::Data { stream, bytes, ends }))
    }

    /// Notes that the peer has ended its side of the stream. The stream closes if this side has ended too.
    pub(super) fn end_remote(&mut self, key: Key, out: &mut Vec<u8>) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        match stream.state {
            StreamState::HalfClosedLocal => self.close(key, out),
            _ => stream.state = StreamState::HalfClosedRemote,
        }
    }
}
