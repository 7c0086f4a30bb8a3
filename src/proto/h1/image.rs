//! A response built once and sent many times: one copy and a Date.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};

use super::{
    Exchange, Version,
    encode::{self, Date, Framing, Length},
};
use crate::proto::semantics::Method;

/// Bodies up to this size lie behind each head, so that a reply is one copy; longer ones are shared.
const INLINE_BODY_BYTES: usize = 8 * 1024;

/// The wire form of a response that never changes but for its Date.
#[derive(Clone, Debug)]
pub struct Image {
    /// For HTTP/1.1 kept alive, HTTP/1.0 kept alive, and any that closes.
    wires: [Wire; 3],
    /// The body if it is too long to lie behind each head.
    long_body: Option<Bytes>,
}

#[derive(Clone, Debug)]
struct Wire {
    bytes: Box<[u8]>,
    head: usize,
    date: usize,
    keep_alive: bool,
}

/// What follows the Date, as [`encode::head`] writes it last.
const DATE_END: &[u8] = b"\r\n\r\n";

const KEEP: usize = 0;
const KEEP_OLD: usize = 1;
const CLOSE: usize = 2;

impl Image {
    /// Builds the image. `headers` are treated as in [`encode::head`], save that a `date` is dropped: it is spliced
    /// in with each reply.
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

    /// Writes the reply, its head alone to HEAD. A long body is not written: it is returned, to be queued by
    /// reference behind the head.
    pub fn write(&self, out: &mut Vec<u8>, exchange: Exchange, date: &Date) -> Option<Bytes> {
        let wire = &self.wires[variant(exchange)];
        let is_head = exchange.method == Method::Head;
        let start = out.len();
        out.extend_from_slice(if is_head { &wire.bytes[..wire.head] } else { &wire.bytes });
        out[start + wire.date..][..date.len()].copy_from_slice(date);
        if is_head { None } else { self.long_body.clone() }
    }

    /// Says whether the connection may serve another request after the reply: the image's own headers may close it.
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
        (true, Version::Http10) => KEEP_OLD,
        (true, Version::Http11) => KEEP,
    }
}
