//! A response that is encoded once and sent many times: a reply costs one copy, a new Date, and the number of
//! the stream.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};

use super::{
    Connection, Key,
    encode::{self, Exchange},
    frame::{self, FrameType, HEADER_BYTES, flag},
    hpack::encode::{EMPTY_TABLE, Strings},
};
use crate::proto::semantics::{Date, Length};

/// Bodies up to this size are stored behind the head, so that a reply is one copy; longer ones are shared.
const INLINE_BODY_BYTES: usize = 8 * 1024;

/// Offset of a frame header's stream.
const STREAM_AT: usize = 5;

/// The frames of a response that never changes but for its Date.
#[derive(Clone, Debug)]
pub struct Image {
    /// HEADERS, and behind it DATA with the body if that is short.
    bytes: Box<[u8]>,
    /// Length of the HEADERS frame, with its header.
    head_bytes: usize,
    /// Offset of the date.
    date: usize,
    /// The body if it is too long to be stored behind the head; `None` otherwise.
    body: Option<Bytes>,
    /// Length of the body in bytes; 0 if the response has no content.
    body_bytes: usize,
}

impl Image {
    /// Builds the image. `headers` are handled as in [`encode::head`], but every `date` is dropped. Returns
    /// `None` if the head does not fit one frame.
    pub fn new<'h>(
        status: StatusCode,
        headers: impl IntoIterator<Item = (&'h HeaderName, &'h HeaderValue)>,
        body: Bytes,
    ) -> Option<Self> {
        let headers = headers.into_iter().filter(|(name, _)| **name != header::DATE);
        let mut bytes = vec![0; HEADER_BYTES];
        let length = Length::Known(body.len() as u64);
        let blank: Date = [b' '; 29];
        let sent =
            encode::head(&mut bytes, Exchange::default(), status, length, headers, &blank, Strings::Shortest);
        let head_bytes = bytes.len();
        let block_bytes = head_bytes - HEADER_BYTES;
        if block_bytes > frame::PAYLOAD_BYTES_MAX {
            return None;
        }
        bytes[..HEADER_BYTES].copy_from_slice(&frame::header(
            block_bytes,
            FrameType::Headers,
            flag::END_HEADERS,
            0,
        ));
        let body = Some(body).filter(|body| sent.has_body && !body.is_empty());
        let body_bytes = body.as_ref().map_or(0, Bytes::len);
        let inline = body.as_ref().filter(|body| body.len() <= INLINE_BODY_BYTES);
        if let Some(body) = inline {
            bytes.extend_from_slice(&frame::header(body.len(), FrameType::Data, flag::END_STREAM, 0));
            bytes.extend_from_slice(body);
        }
        let is_inline = inline.is_some();
        Some(Self {
            head_bytes,
            date: head_bytes - blank.len(),
            body: body.filter(|_| !is_inline),
            body_bytes,
            bytes: bytes.into_boxed_slice(),
        })
    }

    /// Returns the length of the body in bytes; 0 if the response has no content.
    pub fn body_bytes(&self) -> usize {
        self.body_bytes
    }

    fn has_body(&self) -> bool {
        self.body_bytes > 0
    }

    /// Returns the body if it is stored behind the head.
    fn inline_body(&self) -> Option<&[u8]> {
        self.bytes.get(self.head_bytes + HEADER_BYTES..)
    }
}

impl Connection {
    /// Writes a response, or only its head to HEAD. Returns the body if it is still to be sent: it is long,
    /// or the windows have no room for it. Writes nothing if this side of the stream has ended.
    #[inline]
    pub fn image_out(
        &mut self,
        stream: Key,
        image: &Image,
        is_head: bool,
        date: &Date,
        out: &mut Vec<u8>,
    ) -> Option<Bytes> {
        if !self.may_send(stream) {
            return None;
        }
        let start = out.len();
        let ends = is_head || !image.has_body();
        let is_whole = !ends && image.body.is_none() && image.body_bytes <= self.room(stream);
        if is_whole {
            out.extend_from_slice(&image.bytes);
            put_stream(out, start + image.head_bytes, stream);
        } else {
            out.extend_from_slice(&image.bytes[..image.head_bytes]);
        }
        put_stream(out, start, stream);
        out[start + image.date..][..date.len()].copy_from_slice(date);
        if ends {
            out[start + 4] |= flag::END_STREAM;
        }
        if self.peer.owes_table_update {
            self.put_update(out, start, image.head_bytes);
        }
        match (is_whole, ends) {
            (true, _) => {
                self.count_out(stream, image.body_bytes);
                self.end_local(stream, out);
                None
            }
            (_, true) => {
                self.end_local(stream, out);
                None
            }
            _ => image.body.clone().or_else(|| image.inline_body().map(Bytes::copy_from_slice)),
        }
    }

    /// Inserts a size update of the peer's dynamic table in front of the header block that was written at
    /// `start`.
    #[cold]
    fn put_update(&mut self, out: &mut Vec<u8>, start: usize, head_bytes: usize) {
        self.peer.owes_table_update = false;
        out.insert(start + HEADER_BYTES, EMPTY_TABLE);
        let [_, l0, l1, l2] = ((head_bytes - HEADER_BYTES + 1) as u32).to_be_bytes();
        out[start..start + 3].copy_from_slice(&[l0, l1, l2]);
    }
}

fn put_stream(out: &mut [u8], frame: usize, stream: Key) {
    out[frame + STREAM_AT..frame + HEADER_BYTES].copy_from_slice(&stream.id.to_be_bytes());
}
