//! The head of a request, stored as one recycled buffer and ranges into it.

use std::cell::RefCell;

use http::{Method, Version};

use crate::proto::h1 as proto;

/// Maximum number of free buffers of a thread.
const MAX_FREE: usize = 256;

/// Maximum capacity of a free buffer of head bytes. A head with a larger one is freed with all its buffers,
/// so that large heads do not occupy memory for long.
const MAX_FREE_CAPACITY: usize = 32 * 1024;

thread_local! {
    static FREE: RefCell<Vec<Buffers>> = const { RefCell::new(Vec::new()) };
}

/// A range of bytes of a head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// Creates a span from `start` to before `end`. Both must be below 4 GiB; the limit of a head is far
    /// below that.
    pub(crate) fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32 }
    }

    /// Returns the span of `part` in `whole`. `part` must be a slice of `whole`.
    pub(crate) fn within(whole: &[u8], part: &[u8]) -> Self {
        let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
        debug_assert!(start + part.len() <= whole.len());
        Self::new(start, start.wrapping_add(part.len()))
    }

    /// Converts a span relative to `outer` into a span relative to the head.
    pub(crate) fn offset_by(self, outer: Self) -> Self {
        Self { start: self.start + outer.start, end: self.end + outer.start }
    }
}

impl From<proto::Span> for Span {
    fn from(span: proto::Span) -> Self {
        Self::new(span.start(), span.end())
    }
}

#[derive(Default)]
struct Buffers {
    bytes: Vec<u8>,
    headers: Vec<(Span, Span)>,
    params: Vec<(Span, Span)>,
}

/// A parsed request head.
#[derive(Debug)]
pub(crate) struct Head {
    bytes: Vec<u8>,
    pub(crate) method: Method,
    pub(crate) version: Version,
    pub(crate) path: Span,
    pub(crate) query: Option<Span>,
    pub(crate) authority: Option<Span>,
    /// The pseudo-header `:protocol` of HTTP/2 (RFC 8441).
    #[cfg_attr(not(feature = "ws"), allow(dead_code, reason = "only WebSocket uses it"))]
    pub(crate) protocol: Option<Span>,
    pub(crate) headers: Vec<(Span, Span)>,
    /// Names and values of the path parameters.
    pub(crate) params: Vec<(Span, Span)>,
    /// `true` if the last parameter matches the rest of the path, such as `{*path}`.
    pub(crate) has_rest: bool,
}

impl Head {
    /// Removes the header fields for whose name `keeps` returns `false`.
    #[cfg(feature = "http2")]
    pub(crate) fn retain_fields(&mut self, keeps: impl Fn(&[u8]) -> bool) {
        let bytes = &self.bytes;
        self.headers.retain(|(name, _)| keeps(&bytes[name.start as usize..name.end as usize]));
    }

    /// Creates a head without fields and path around a copy of `bytes`. Its buffers come from this thread's
    /// free list, or are new if that is empty.
    pub(crate) fn copy_from(bytes: &[u8], method: Method, version: Version) -> Self {
        let mut buffers = FREE.with_borrow_mut(Vec::pop).unwrap_or_default();
        buffers.bytes.extend_from_slice(bytes);
        Self {
            bytes: buffers.bytes,
            method,
            version,
            path: Span::default(),
            query: None,
            authority: None,
            protocol: None,
            headers: buffers.headers,
            params: buffers.params,
            has_rest: false,
        }
    }

    /// Copies the head into buffers of this thread's free list, or new ones if that is empty.
    pub(crate) fn duplicate(&self) -> Self {
        let mut copy = Self::copy_from(&self.bytes, self.method.clone(), self.version);
        (copy.path, copy.query, copy.authority) = (self.path, self.query, self.authority);
        (copy.protocol, copy.has_rest) = (self.protocol, self.has_rest);
        copy.headers.extend_from_slice(&self.headers);
        copy.params.extend_from_slice(&self.params);
        copy
    }

    /// Returns the first value of a header, or `None` without that header. The name is case-insensitive.
    pub(crate) fn header(&self, name: &str) -> Option<&[u8]> {
        let name = name.as_bytes();
        let found = self.headers.iter().find(|(other, _)| self.bytes(*other).eq_ignore_ascii_case(name));
        found.map(|(_, value)| self.bytes(*value))
    }

    /// Returns all header names and values, in order.
    pub(crate) fn header_pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
        self.headers.iter().map(|(name, value)| (self.bytes(*name), self.bytes(*value)))
    }

    /// Appends bytes that the peer did not send, such as the name of a path parameter. Returns their span.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Span {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        Span::new(start, self.bytes.len())
    }

    /// Returns the bytes of a span, or none if it lies outside the head.
    pub(crate) fn bytes(&self, span: Span) -> &[u8] {
        self.bytes.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    /// Returns the text of a span, or an empty string if it is not UTF-8.
    ///
    /// The parser has checked the target and the authority, which are ASCII.
    pub(crate) fn text(&self, span: Span) -> &str {
        std::str::from_utf8(self.bytes(span)).unwrap_or_default()
    }
}

impl Drop for Head {
    fn drop(&mut self) {
        if self.bytes.capacity() > MAX_FREE_CAPACITY {
            return;
        }
        let mut buffers = Buffers {
            bytes: std::mem::take(&mut self.bytes),
            headers: std::mem::take(&mut self.headers),
            params: std::mem::take(&mut self.params),
        };
        buffers.bytes.clear();
        buffers.headers.clear();
        buffers.params.clear();
        // The list of a thread that is ending may be gone.
        let _ = FREE.try_with(|free| {
            let mut free = free.borrow_mut();
            if free.len() < MAX_FREE {
                free.push(buffers);
            }
        });
    }
}
