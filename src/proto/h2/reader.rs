//! Reads frames from bytes: in place if a frame is whole, from a copy if it arrived in parts.

use super::{
    Connection, Context, Event, Fault,
    frame::{FrameHeader, FrameType, HEADER_BYTES, PAYLOAD_BYTES_MAX},
    preface::PREFACE,
    state::{ConnectionState, Reading},
};

/// Largest capacity, in bytes, with which the empty buffer for parts of frames is kept.
const KEPT_BYTES: usize = 512;

impl Connection {
    /// Reads up to the next event, or to the end of the input.
    pub(super) fn read<'i>(
        &mut self,
        input: &mut &'i [u8],
        cx: &mut Context<'_>,
    ) -> Result<Option<Event<'i>>, Fault> {
        while !input.is_empty() && !self.has_ended() {
            let event = match self.reading {
                Reading::Frame => self.read_frame(input, cx)?,
                Reading::Data => self.read_data(input, cx)?,
                Reading::PadLength => self.read_pad_length(input, cx)?,
                Reading::Skip(left) => {
                    self.skip(input, left);
                    None
                }
                Reading::Preface(matched) => {
                    self.read_preface(input, matched)?;
                    None
                }
            };
            if event.is_some() {
                return Ok(event);
            }
        }
        Ok(None)
    }

    #[cold]
    fn read_preface(&mut self, input: &mut &[u8], matched: usize) -> Result<(), Fault> {
        let expected = &PREFACE[matched..];
        let len = expected.len().min(input.len());
        if input[..len] != expected[..len] {
            return Err(Fault::protocol("the client's preface is not valid"));
        }
        *input = &input[len..];
        self.reading = Reading::Preface(matched + len);
        if matched + len == PREFACE.len() {
            self.reading = Reading::Frame;
            self.state = ConnectionState::FirstSettings;
        }
        Ok(())
    }

    fn skip(&mut self, input: &mut &[u8], left: usize) {
        let len = left.min(input.len());
        *input = &input[len..];
        self.reading = if left == len { Reading::Frame } else { Reading::Skip(left - len) };
    }

    #[inline]
    fn read_frame(
        &mut self,
        input: &mut &[u8],
        cx: &mut Context<'_>,
    ) -> Result<Option<Event<'static>>, Fault> {
        if !self.partial.is_empty() {
            return self.complete_frame(input, cx);
        }
        if let Some((bytes, rest)) = input.split_first_chunk::<HEADER_BYTES>() {
            let header = FrameHeader::parse(bytes);
            self.check(&header)?;
            if self.is_passed_through(&header) {
                *input = rest;
                return self.begin_payload(header, cx);
            }
            if let Some((payload, rest)) = rest.split_at_checked(header.len) {
                *input = rest;
                return self.frame(&header, payload, cx);
            }
        }
        self.partial.extend_from_slice(input);
        *input = &[];
        Ok(None)
    }

    /// Continues a frame whose start was kept.
    fn complete_frame(
        &mut self,
        input: &mut &[u8],
        cx: &mut Context<'_>,
    ) -> Result<Option<Event<'static>>, Fault> {
        if !self.fill_partial(input, HEADER_BYTES) {
            return Ok(None);
        }
        let Some(header) = self.partial.first_chunk().map(FrameHeader::parse) else { return Ok(None) };
        self.check(&header)?;
        if self.is_passed_through(&header) {
            self.partial.clear();
            return self.begin_payload(header, cx);
        }
        if !self.fill_partial(input, HEADER_BYTES + header.len) {
            return Ok(None);
        }
        let mut partial = std::mem::take(&mut self.partial);
        let event = self.frame(&header, &partial[HEADER_BYTES..], cx);
        if partial.capacity() <= KEPT_BYTES {
            partial.clear();
            self.partial = partial;
        }
        event
    }

    /// Moves bytes to the kept part until that has `len`. Returns `false` if more are needed.
    fn fill_partial(&mut self, input: &mut &[u8], len: usize) -> bool {
        let missing = len.saturating_sub(self.partial.len()).min(input.len());
        self.partial.extend_from_slice(&input[..missing]);
        *input = &input[missing..];
        self.partial.len() >= len
    }

    /// Returns `true` for frames whose payload is not collected before it is handled.
    fn is_passed_through(&self, header: &FrameHeader) -> bool {
        matches!(header.frame_type, FrameType::Data | FrameType::Unknown)
    }

    /// Checks a frame by its header: its length, and whether it may come now. Has no effect, as a header may
    /// be checked twice.
    #[inline]
    fn check(&self, header: &FrameHeader) -> Result<(), Fault> {
        if header.len > PAYLOAD_BYTES_MAX {
            return Err(Fault::frame_size("a frame is longer than MAX_FRAME_SIZE"));
        }
        let continues = header.frame_type == FrameType::Continuation;
        match &self.block {
            None if continues => Err(Fault::protocol("CONTINUATION comes without a header block")),
            Some(block) if !continues || block.stream() != header.stream => {
                Err(Fault::protocol("another frame interrupts a header block"))
            }
            _ if self.state == ConnectionState::FirstSettings && header.frame_type != FrameType::Settings => {
                Err(Fault::protocol("the first frame is not SETTINGS"))
            }
            _ => Ok(()),
        }
    }

    fn begin_payload(
        &mut self,
        header: FrameHeader,
        cx: &mut Context<'_>,
    ) -> Result<Option<Event<'static>>, Fault> {
        if header.frame_type == FrameType::Data {
            return self.begin_data(header, cx);
        }
        self.unknown_frame(cx)?;
        self.skip_payload(header.len);
        Ok(None)
    }

    pub(super) fn skip_payload(&mut self, len: usize) {
        self.reading = if len == 0 { Reading::Frame } else { Reading::Skip(len) };
    }

    #[inline]
    fn frame(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<Option<Event<'static>>, Fault> {
        match header.frame_type {
            FrameType::Headers => self.headers(header, payload, cx),
            FrameType::WindowUpdate => self.window_update(header, payload, cx),
            FrameType::RstStream => self.rst_stream(header, payload, cx),
            FrameType::Continuation => self.continuation(header, payload, cx),
            FrameType::Priority => self.priority(header, payload, cx),
            FrameType::Settings => self.settings(header, payload, cx).map(|()| None),
            FrameType::Ping => self.ping(header, payload, cx).map(|()| None),
            FrameType::Goaway => self.goaway(header, payload).map(|()| None),
            FrameType::PriorityUpdate => self.priority_update(header, payload, cx).map(|()| None),
            FrameType::PushPromise => Err(Fault::protocol("a client must not send PUSH_PROMISE")),
            // They are passed through.
            FrameType::Data | FrameType::Unknown => Ok(None),
        }
    }
}
