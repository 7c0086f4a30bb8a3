//! Image: the bytes of a response that is built once and sent many times. A reply costs one copy and a new
//! Date.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};

use super::{
    Exchange, Version,
    encode::{self, Date, Framing, Length},
};
use crate::proto::semantics::Method;

/// Bodies up to this size are stored after each head, so that a reply is a single copy. Longer bodies are
/// shared.
const INLINE_BODY_BYTES: usize = 8 * 1024;

/// Bytes of a response that never changes, except for its Date.
#[derive(Clone, Debug)]
pub struct Image {
    /// Responses for the cases [`KEEP`], [`KEEP_HTTP10`] and [`CLOSE`], in this order.
    wires: [Wire; 3],
    /// The body, if it is too long to be stored after each head.
    long_body: Option<Bytes>,
}

/// Bytes of the response for one case.
#[derive(Clone, Debug)]
struct Wire {
    /// Head, and the body if it is short.
    bytes: Box<[u8]>,
    /// Length of the head.
    head: usize,
    /// Offset of the Date's value.
    date: usize,
    /// The connection may serve another request after this response.
    keep_alive: bool,
}

/// Bytes after the Date, which is the last field that [`encode::head`] writes.
const DATE_END: &[u8] = b"\r\n\r\n";

/// HTTP/1.1 on a connection that is kept open.
const KEEP: usize = 0;
/// HTTP/1.0 on a connection that is kept open.
const KEEP_HTTP10: usize = 1;
/// Any version, and the connection closes after the response.
const CLOSE: usize = 2;

impl Image {
    /// Builds the image. `headers` are handled as in [`encode::head`], but every `date` is dropped: each
    /// reply gets the current one.
    pub fn new<'h>(
        status: StatusCode,
        headers: impl IntoIterator<Item = (&'h HeaderName, &'h HeaderValue)> + Clone,
        body: Bytes,
    ) -> Self {
        let wire = |version, keep_alive| {
            let exchange = Exchange { version, method: Method::Get, keep_alive };
            Wire::new(exchange, status, headers.clone(), &body)
        };
        let wires = [wire(Version::Http11, true), wire(Version::Http10, true), wire(Version::Http11, false)];
        let get = Exchange { version: Version::Http11, method: Method::Get, keep_alive: true };
        let framing = encode::framing(get, status, Length::Known(body.len() as u64));
        let is_long = framing != Framing::None && body.len() > INLINE_BODY_BYTES;
        Self { wires, long_body: is_long.then_some(body) }
    }

    /// Writes the response; for HEAD only its head. A long body is not written but returned, so that the
    /// caller can queue it after the head without a copy.
    pub fn write(&self, out: &mut Vec<u8>, exchange: Exchange, date: &Date) -> Option<Bytes> {
        let wire = &self.wires[variant(exchange)];
        let is_head = exchange.method == Method::Head;
        let start = out.len();
        out.extend_from_slice(if is_head { &wire.bytes[..wire.head] } else { &wire.bytes });
        out[start + wire.date..][..date.len()].copy_from_slice(date);
        if is_head { None } else { self.long_body.clone() }
    }

    /// Returns `true` if the connection may serve another request after the response: `exchange` allows it,
    /// and no `connection: close` of the response forbids it.
    pub fn keep_alive(&self, exchange: Exchange) -> bool {
        self.wires[variant(exchange)].keep_alive
    }
}

impl Wire {
    fn new<'h>(
        exchange: Exchange,
        status: StatusCode,
        headers: impl IntoIterator<Item = (&'h HeaderName, &'h HeaderValue)>,
        body: &Bytes,
    ) -> Self {
        let headers = headers.into_iter().filter(|(name, _)| **name != http::header::DATE);
        let mut bytes = Vec::new();
        let blank: Date = [b' '; 29];
        let sent =
            encode::head(&mut bytes, exchange, status, Length::Known(body.len() as u64), headers, &blank);
        let head = bytes.len();
        if body.len() <= INLINE_BODY_BYTES && sent.framing != Framing::None {
            bytes.extend_from_slice(body);
        }
        Self {
            bytes: bytes.into_boxed_slice(),
            head,
            date: head - blank.len() - DATE_END.len(),
            keep_alive: sent.keep_alive,
        }
    }
}

fn variant(exchange: Exchange) -> usize {
    match (exchange.keep_alive, exchange.version) {
        (false, _) => CLOSE,
        (true, Version::Http10) => KEEP_HTTP10,
        (true, Version::Http11) => KEEP,
    }
}
