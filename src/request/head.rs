//! The head of a request: one recycled buffer and ranges into it.

use std::cell::RefCell;

use http::{Method, Version};

use crate::proto::h1 as proto;

/// Heads a thread keeps for reuse at most.
const KEPT: usize = 256;

/// A head whose buffer grew beyond this is not kept, so that one large head does not stay resident, bytes.
const KEPT_BYTES: usize = 32 * 1024;

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
    /// Makes a span; heads are far below 4 GiB by their limit.
    pub(crate) fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32 }
    }

    /// Says where `part` lies in `whole`, of which it must be a slice.
    pub(crate) fn within(whole: &[u8], part: &[u8]) -> Self {
        let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
        debug_assert!(start + part.len() <= whole.len());
        Self::new(start, start.wrapping_add(part.len()))
    }

    /// Moves a span of one part to where that part lies.
    pub(crate) fn moved(self, to: Self) -> Self {
        Self { start: self.start + to.start, end: self.end + to.start }
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
    /// The pseudo-header `:protocol` of HTTP/2.
    #[cfg_attr(not(feature = "ws"), allow(dead_code, reason = "nothing is switched to without WebSocket"))]
    pub(crate) protocol: Option<Span>,
    pub(crate) headers: Vec<(Span, Span)>,
    /// Path parameters: name and value.
    pub(crate) params: Vec<(Span, Span)>,
}

impl Head {
    /// Makes a head over a copy of these bytes, in buffers of this thread's free list.
    pub(crate) fn over(bytes: &[u8], method: Method, version: Version) -> Self {
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
        }
    }

    /// Appends bytes that did not come from the peer (the name of a path parameter) and returns where they are.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Span {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        Span::new(start, self.bytes.len())
    }

    /// Returns a range.
    pub(crate) fn bytes(&self, span: Span) -> &[u8] {
        self.bytes.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    /// Returns a range that was checked to be ASCII (target, authority) or UTF-8; else an empty text.
    pub(crate) fn text(&self, span: Span) -> &str {
        std::str::from_utf8(self.bytes(span)).unwrap_or_default()
    }
}

impl Drop for Head {
    fn drop(&mut self) {
        if self.bytes.capacity() > KEPT_BYTES {
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
        // A thread that is ending has no list any more.
        let _ = FREE.try_with(|free| {
            let mut free = free.borrow_mut();
            if free.len() < KEPT {
                free.push(buffers);
            }
        });
    }
}
