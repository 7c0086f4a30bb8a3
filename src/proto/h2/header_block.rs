//! Header blocks (RFC 9113 §4.3): decoded as they come, in place where a block is one frame.

use super::{
    Connection, Context, ErrorCode, Event, Fault, Head, Key, Priority, StreamFault,
    block::{Block, Purpose},
    frame::{self, FrameHeader, flag},
    hpack::Decoder,
    message::{Excess, Refusal},
    state::{ConnectionState, StreamState},
};

/// Maximum number of CONTINUATION frames of one block: a header list within any limit fits a few.
const CONTINUATIONS: u32 = 64;

/// Maximum length of a field line that is not complete, in multiples of the limit on the whole list.
const LINE_FACTOR: usize = 4;

impl Connection {
    pub(super) fn headers(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<Option<Event<'static>>, Fault> {
        let (fragment, depends_on_itself) = fragment(header, payload)?;
        let mut purpose = self.purpose(header.stream, cx)?;
        if depends_on_itself {
            purpose = Purpose::Faulty(StreamFault::protocol("HEADERS makes a stream depend on itself"));
        }
        self.decoder.begin();
        cx.head.begin();
        if header.has(flag::END_HEADERS) {
            let mut rest = fragment;
            decode(&mut self.decoder, &mut rest, cx.head, purpose, cx.limits)?;
            return self.finish_block(header, purpose, rest, cx);
        }
        let mut block =
            Block { header: *header, purpose, head: Head::default(), rest: Vec::new(), continuations: 0 };
        block.head.begin();
        self.extend_block(&mut block, fragment, cx)?;
        self.block = Some(Box::new(block));
        Ok(None)
    }

    pub(super) fn continuation(
        &mut self,
        header: &FrameHeader,
        fragment: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<Option<Event<'static>>, Fault> {
        let Some(mut block) = self.block.take() else { return Ok(None) };
        block.continuations += 1;
        if block.continuations > CONTINUATIONS {
            return Err(Fault::calm("a header block has too many CONTINUATION frames"));
        }
        self.extend_block(&mut block, fragment, cx)?;
        if !header.has(flag::END_HEADERS) {
            self.block = Some(block);
            return Ok(None);
        }
        std::mem::swap(cx.head, &mut block.head);
        self.finish_block(&block.header, block.purpose, &block.rest, cx)
    }

    /// Decodes the field lines of a block that are complete, and keeps the beginning of the next.
    fn extend_block(&mut self, block: &mut Block, fragment: &[u8], cx: &Context<'_>) -> Result<(), Fault> {
        block.rest.extend_from_slice(fragment);
        let mut rest = &block.rest[..];
        decode(&mut self.decoder, &mut rest, &mut block.head, block.purpose, cx.limits)?;
        if rest.len() > cx.limits.header_list_bytes * LINE_FACTOR {
            return Err(Fault::calm("a field is far larger than the limit on header lists"));
        }
        let used = block.rest.len() - rest.len();
        block.rest.drain(..used);
        Ok(())
    }

    /// Returns the purpose of a block on this stream (RFC 9113 §5.1), and notes a new stream's identifier.
    #[inline]
    fn purpose(&mut self, id: u32, cx: &Context<'_>) -> Result<Purpose, Fault> {
        if id.is_multiple_of(2) {
            return Err(Fault::protocol("HEADERS comes on a stream that no client may begin"));
        }
        if id > self.last_stream {
            return Ok(self.begin_stream(id, cx));
        }
        if let Some(key) = self.streams.find(id) {
            return Ok(match self.streams.at(key.slot).state {
                StreamState::Open | StreamState::HalfClosedLocal => Purpose::Trailers(key),
                StreamState::HalfClosedRemote => {
                    Purpose::Faulty(StreamFault::closed("HEADERS comes after END_STREAM"))
                }
            });
        }
        if self.was_reset(id) || self.is_beyond_last(id) {
            return Ok(Purpose::Ignored);
        }
        let (first, behind) = self.passed_over;
        if (first..behind).contains(&id) {
            return Err(Fault::protocol("the identifier of a new stream is lower than an earlier one"));
        }
        Err(Fault::stream_closed("HEADERS comes on a closed stream"))
    }

    fn begin_stream(&mut self, id: u32, cx: &Context<'_>) -> Purpose {
        if id > self.last_stream + 2 {
            self.passed_over = (self.last_stream + 1, id);
        }
        self.last_stream = id;
        if self.instant.0 != cx.now {
            self.instant = (cx.now, id);
            self.resets_at_once = 0;
        }
        match () {
            () if self.is_beyond_last(id) => Purpose::Ignored,
            () if self.streams.len() >= cx.limits.streams as usize => {
                Purpose::Refused(ErrorCode::RefusedStream)
            }
            () => Purpose::Request,
        }
    }

    /// Returns `true` for streams beyond the last that this side's GOAWAY named as served.
    pub(super) fn is_beyond_last(&self, id: u32) -> bool {
        matches!(self.state, ConnectionState::Leaving { last_stream } if id > last_stream)
    }

    /// Handles a complete block, whose fields are in the context's head. `rest` are bytes of which no field
    /// could be decoded, which makes the block invalid.
    #[inline]
    fn finish_block(
        &mut self,
        header: &FrameHeader,
        purpose: Purpose,
        rest: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<Option<Event<'static>>, Fault> {
        if !rest.is_empty() {
            return Err(super::hpack::Malformed.into());
        }
        let (id, ends) = (header.stream, header.has(flag::END_STREAM));
        match purpose {
            Purpose::Request => self.finish_request(id, ends, cx),
            Purpose::Trailers(key) => self.finish_trailers(key, ends, cx),
            Purpose::Refused(code) => {
                frame::write_reset(cx.out, id, code);
                self.remember_reset(id);
                Ok(None)
            }
            Purpose::Faulty(fault) => self.stream_fault(id, fault, cx),
            Purpose::Ignored => Ok(None),
        }
    }

    #[inline]
    fn finish_request(
        &mut self,
        id: u32,
        ends: bool,
        cx: &mut Context<'_>,
    ) -> Result<Option<Event<'static>>, Fault> {
        let verdict = cx.head.finish(ends, cx.limits);
        if let Err(Refusal::Malformed(fault)) = verdict {
            self.stream_fault(id, fault, cx)?;
            return Ok(Some(Event::Malformed(fault)));
        }
        let named = self.take_early_priority(id).or(cx.head.priority);
        let state = if ends { StreamState::HalfClosedRemote } else { StreamState::Open };
        let expected = cx.head.length.filter(|_| !ends);
        let stream = self.open(id, state, named.unwrap_or(Priority::UNNAMED), expected, cx.limits);
        Ok(Some(match verdict {
            Err(Refusal::Reject(reject)) => Event::Refused { stream, ends, reject },
            _ => Event::Request { stream, ends },
        }))
    }

    fn finish_trailers(
        &mut self,
        stream: Key,
        ends: bool,
        cx: &mut Context<'_>,
    ) -> Result<Option<Event<'static>>, Fault> {
        let expected = self.streams.at(stream.slot).expected;
        let fault = match cx.head.finish_trailers(cx.limits) {
            _ if !ends => StreamFault::malformed("trailers come without END_STREAM"),
            Err(Refusal::Malformed(fault)) => fault,
            _ if expected.is_some_and(|left| left > 0) => {
                StreamFault::malformed("a request body is shorter than its declared length")
            }
            verdict => {
                self.end_remote(stream, cx.out);
                let refused = match verdict {
                    Err(Refusal::Reject(reject)) => Some(reject),
                    _ => None,
                };
                return Ok(Some(Event::Trailers { stream, refused }));
            }
        };
        self.stream_fault(stream.id, fault, cx)
    }
}

/// Returns the payload of HEADERS without padding and priority, and `true` if the stream depends on itself.
#[inline]
fn fragment<'p>(header: &FrameHeader, payload: &'p [u8]) -> Result<(&'p [u8], bool), Fault> {
    if !header.has(flag::PADDED | flag::PRIORITY) {
        return Ok((payload, false));
    }
    let (mut payload, mut padding) = (payload, 0);
    if header.has(flag::PADDED) {
        let (length, rest) =
            payload.split_first().ok_or(Fault::frame_size("the payload of HEADERS is too short"))?;
        (payload, padding) = (rest, usize::from(*length));
    }
    let mut depends_on_itself = false;
    if header.has(flag::PRIORITY) {
        let (priority, rest) = payload
            .split_first_chunk::<5>()
            .ok_or(Fault::frame_size("the payload of HEADERS is too short"))?;
        let [d0, d1, d2, d3, _] = *priority;
        depends_on_itself = u32::from_be_bytes([d0, d1, d2, d3]) & 0x7fff_ffff == header.stream;
        payload = rest;
    }
    let len = payload
        .len()
        .checked_sub(padding)
        .ok_or(Fault::protocol("the padding of HEADERS is longer than the frame"))?;
    Ok((&payload[..len], depends_on_itself))
}

/// Decodes the field lines that are complete into `head`. Afterwards `input` has the start of the next line.
#[inline]
fn decode(
    decoder: &mut Decoder,
    input: &mut &[u8],
    head: &mut Head,
    purpose: Purpose,
    limits: &super::Limits,
) -> Result<(), Fault> {
    if matches!(purpose, Purpose::Trailers(_)) {
        while let Some(line) = decoder.next(input, &mut head.bytes)? {
            head.take_trailer(line, limits)?;
        }
        return Ok(());
    }
    loop {
        if let Some(short) = decoder.next_short(input) {
            head.take_short(short, limits)?;
        } else if let Some(line) = decoder.next(input, &mut head.bytes)? {
            head.take(line, limits)?;
        } else {
            return Ok(());
        }
    }
}

impl From<Excess> for Fault {
    fn from(_: Excess) -> Self {
        Self::calm("a header list is far larger than the limit")
    }
}
