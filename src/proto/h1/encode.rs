//! Writer of responses: [`framing`] decides how the body is sent, [`head`] writes the head.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};

use super::{Head, Version};
use crate::proto::semantics::{
    Content, Digits, MessageFields, Method, Reject, content, is_forbidden_trailer,
};
pub use crate::proto::semantics::{Date, Length};

/// Interim response to `Expect: 100-continue` (RFC 9110 §15.2.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// End of a chunked body without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Properties of a request that its response depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Version of the request.
    pub version: Version,
    /// Method of the request.
    pub method: Method,
    /// The connection may be kept open after the response. [`head`] may still decide to close it.
    pub keep_alive: bool,
}

impl Exchange {
    /// Returns the properties of a request whose head was parsed.
    pub fn new(head: &Head) -> Self {
        Self { version: head.version(), method: head.method(), keep_alive: head.keep_alive() }
    }

    fn content(&self, status: StatusCode) -> Content {
        content(self.method == Method::Head, self.method == Method::Connect, status)
    }
}

/// Framing of a response body (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No body is sent, whatever its length.
    None,
    /// The body has this many bytes, which the head declares.
    Length(u64),
    /// The body is sent in chunks, followed by [`LAST_CHUNK`] or [`last_chunk`].
    Chunked,
    /// The end of the connection ends the body.
    Close,
}

/// Result of writing a head with [`head`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Framing in which the body must follow.
    pub framing: Framing,
    /// The connection may serve another request after this response.
    pub keep_alive: bool,
}

/// Decides the framing of a response body.
///
/// Responses to HEAD, responses with status 1xx, 204 or 304, and 2xx responses to CONNECT have no body. A
/// known length is declared. Otherwise HTTP/1.1 uses chunks. HTTP/1.0 has no chunks: there the end of the
/// connection ends the body.
pub fn framing(exchange: Exchange, status: StatusCode, length: Length) -> Framing {
    framing_of(exchange.content(status), exchange.version, length)
}

fn framing_of(content: Content, version: Version, length: Length) -> Framing {
    match (length, version) {
        _ if content != Content::Sent => Framing::None,
        (Length::Known(length), _) => Framing::Length(length),
        (Length::Unknown, Version::Http11) => Framing::Chunked,
        (Length::Unknown, Version::Http10) => Framing::Close,
    }
}

/// Writes the head of a response.
///
/// `headers` may contain any fields. Those that describe the message itself are handled here:
/// - `content-length` is replaced by the real length. In a response to HEAD and in a 304 the first one is
///   kept, because it describes the response to a GET.
/// - `transfer-encoding` is dropped.
/// - `connection` is dropped, except in a 101. The option `close` in it closes the connection after the
///   response. The option `upgrade` is sent with `upgrade`.
/// - The first `date` replaces the argument; further ones are dropped.
///
/// A value cannot contain CR, LF or NUL, because [`HeaderValue`] refuses them.
pub fn head<'h>(
    out: &mut Vec<u8>,
    exchange: Exchange,
    status: StatusCode,
    length: Length,
    headers: impl IntoIterator<Item = (&'h HeaderName, &'h HeaderValue)>,
    date: &Date,
) -> Sent {
    let content = exchange.content(status);
    let framing = framing_of(content, exchange.version, length);
    status_line(out, status);
    let (mut own, mut upgrades) = (MessageFields::default(), false);
    for (name, value) in headers {
        if own.is_copied(name, value)
            || *name == header::CONNECTION && status == StatusCode::SWITCHING_PROTOCOLS
        {
            upgrades |= *name == header::UPGRADE;
            field(out, name.as_str().as_bytes(), value.as_bytes());
        }
    }
    let keep_alive = exchange.keep_alive && !own.closes && framing != Framing::Close;
    match framing {
        Framing::Length(length) => {
            out.extend_from_slice(b"content-length: ");
            out.extend_from_slice(Digits::of(length).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        Framing::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        Framing::None => {
            if let Some(digits) = own.content_length(content, length) {
                field(out, b"content-length", digits.as_bytes());
            }
        }
        Framing::Close => {}
    }
    if status != StatusCode::SWITCHING_PROTOCOLS {
        connection(out, exchange.version, keep_alive, upgrades);
    }
    if !own.has_date {
        field(out, b"date", date);
    }
    out.extend_from_slice(b"\r\n");
    Sent { framing, keep_alive }
}

/// Writes the line before a chunk of this many bytes. The data and [`CHUNK_END`] must follow. The size must
/// not be 0: see [`LAST_CHUNK`].
pub fn chunk_head(out: &mut Vec<u8>, bytes: u64) {
    let digits = (16 - bytes.leading_zeros() / 4).max(1);
    for digit in (0..digits).rev() {
        out.push(b"0123456789abcdef"[(bytes >> (digit * 4) & 0xf) as usize]);
    }
    out.extend_from_slice(b"\r\n");
}

/// Line end after the data of a chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// Maximum length of the line before a chunk, in bytes.
const CHUNK_HEAD_BYTES: usize = 18;

/// Data, and the same data as a chunk, in one allocation. For data that many connections send.
#[derive(Clone, Debug)]
pub struct SharedChunk {
    data: Bytes,
    chunk: Bytes,
}

impl SharedChunk {
    /// Encodes the data that `write` appends, about `data_bytes` bytes. It must append at least one: an empty
    /// chunk would end the body.
    pub fn new(data_bytes: usize, write: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut buffer = Vec::with_capacity(CHUNK_HEAD_BYTES + data_bytes + CHUNK_END.len());
        buffer.resize(CHUNK_HEAD_BYTES, 0);
        write(&mut buffer);
        let mut head = Vec::with_capacity(CHUNK_HEAD_BYTES);
        chunk_head(&mut head, (buffer.len() - CHUNK_HEAD_BYTES) as u64);
        let start = CHUNK_HEAD_BYTES - head.len();
        buffer[start..CHUNK_HEAD_BYTES].copy_from_slice(&head);
        buffer.extend_from_slice(CHUNK_END);
        let whole = Bytes::from(buffer);
        Self {
            data: whole.slice(CHUNK_HEAD_BYTES..whole.len() - CHUNK_END.len()),
            chunk: whole.slice(start..),
        }
    }

    /// Returns the data.
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// Returns the chunk.
    pub fn chunk(&self) -> &Bytes {
        &self.chunk
    }
}

/// Writes data as one chunk. Writes nothing if the data is empty: an empty chunk would end the body.
pub fn chunk(out: &mut Vec<u8>, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    out.reserve(data.len() + 20);
    chunk_head(out, data.len() as u64);
    out.extend_from_slice(data);
    out.extend_from_slice(CHUNK_END);
}

/// Writes the end of a chunked body with trailers. Fields that are forbidden as trailers are left out.
pub fn last_chunk<'h>(
    out: &mut Vec<u8>,
    trailers: impl IntoIterator<Item = (&'h HeaderName, &'h HeaderValue)>,
) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers {
        if !is_forbidden_trailer(name.as_str().as_bytes()) {
            field(out, name.as_str().as_bytes(), value.as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes a complete response that tells the client why its request was refused, and that the connection
/// closes.
pub fn reject(out: &mut Vec<u8>, reject: Reject, date: &Date) {
    error(out, reject.status(), reject.text(), date);
}

/// Writes a complete text response that tells the client that the connection closes. For bytes that are no
/// valid request.
pub fn error(out: &mut Vec<u8>, status: StatusCode, text: &str, date: &Date) {
    status_line(out, status);
    out.extend_from_slice(b"content-type: text/plain; charset=utf-8\r\ncontent-length: ");
    out.extend_from_slice(Digits::of(text.len() as u64 + 1).as_bytes());
    out.extend_from_slice(b"\r\nconnection: close\r\ndate: ");
    out.extend_from_slice(date);
    out.extend_from_slice(b"\r\n\r\n");
    out.extend_from_slice(text.as_bytes());
    out.push(b'\n');
}

/// Writes the `connection` field, unless the default of the HTTP version is the same as `keep_alive`.
/// `upgrades`: the response has an `upgrade` field, which the option `upgrade` must go with (RFC 9110 §7.8).
pub(super) fn connection(out: &mut Vec<u8>, version: Version, keep_alive: bool, upgrades: bool) {
    match (version, keep_alive) {
        _ if upgrades => upgrade_options(out, version, keep_alive),
        (_, false) => out.extend_from_slice(b"connection: close\r\n"),
        (Version::Http10, true) => out.extend_from_slice(b"connection: keep-alive\r\n"),
        (Version::Http11, true) => {}
    }
}

#[cold]
fn upgrade_options(out: &mut Vec<u8>, version: Version, keep_alive: bool) {
    out.extend_from_slice(match (version, keep_alive) {
        (_, false) => b"connection: upgrade, close\r\n",
        (Version::Http10, true) => b"connection: upgrade, keep-alive\r\n",
        (Version::Http11, true) => b"connection: upgrade\r\n",
    });
}

pub(super) fn status_line(out: &mut Vec<u8>, status: StatusCode) {
    if status == StatusCode::OK {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
}

pub(super) fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}
