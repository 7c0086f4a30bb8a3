//! The queue of bytes that a connection wants to send.

use std::collections::VecDeque;

use bytes::Bytes;

/// Minimum length of shared bytes that become a segment of their own. Shorter ones are copied into the
/// buffer, which costs less. [`Outbox::share_whole`] makes an exception.
pub const SHARE_MIN_BYTES: usize = 8 * 1024;

/// A contiguous run of bytes to send.
#[derive(Debug)]
pub enum Segment {
    /// Bytes in a buffer of the engine's pool, which takes it back.
    Owned(Vec<u8>),
    /// Bytes in a buffer of the handler. It comes back through
    /// [`EventHandler::buffer_sent`](super::EventHandler::buffer_sent).
    Lent(Vec<u8>),
    /// Reference-counted bytes that other connections may send too.
    Shared(Bytes),
}

impl Segment {
    /// Returns the bytes.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Owned(buffer) | Self::Lent(buffer) => buffer,
            Self::Shared(bytes) => bytes,
        }
    }
}

/// The queue of bytes that a connection wants to send, in order.
///
/// Small writes are collected in one buffer. Large shared bytes are queued by reference, as segments.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Shared bytes of any length that were queued while nothing else was. They are sent first.
    first: Option<Bytes>,
    /// Complete segments, sent after `first`. Empty while there are only small writes.
    segments: VecDeque<Segment>,
    /// Number of bytes in `segments`.
    segment_bytes: usize,
    /// The buffer that small writes append to, sent last.
    tail: Vec<u8>,
}

impl Outbox {
    /// Returns the buffer to append to. Callers must not change the bytes already in it.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.tail
    }

    /// Queues shared bytes: short ones as a copy, long ones by reference.
    pub fn share(&mut self, bytes: Bytes) {
        if bytes.len() < SHARE_MIN_BYTES {
            self.tail.extend_from_slice(&bytes);
            return;
        }
        self.finish_tail();
        self.segment_bytes += bytes.len();
        self.segments.push_back(Segment::Shared(bytes));
    }

    /// Queues shared bytes that are a complete message.
    ///
    /// If the outbox is empty, they are queued by reference, even if they are short. Otherwise this is the
    /// same as [`share`](Self::share).
    pub fn share_whole(&mut self, bytes: Bytes) {
        if self.is_empty() && !bytes.is_empty() {
            self.first = Some(bytes);
        } else {
            self.share(bytes);
        }
    }

    /// Queues a buffer of the handler. A short one is copied and returned at once. A long one is queued by
    /// reference and comes back when it is sent.
    pub fn lend(&mut self, buffer: Vec<u8>) -> Option<Vec<u8>> {
        if buffer.len() < SHARE_MIN_BYTES {
            self.tail.extend_from_slice(&buffer);
            return Some(buffer);
        }
        self.finish_tail();
        self.segment_bytes += buffer.len();
        self.segments.push_back(Segment::Lent(buffer));
        None
    }

    /// Moves all bytes of another outbox to the end of this one.
    pub fn append(&mut self, other: &mut Self) {
        while let Some(segment) = other.take() {
            match segment {
                Segment::Owned(bytes) if bytes.len() < SHARE_MIN_BYTES => self.tail.extend_from_slice(&bytes),
                segment => {
                    self.finish_tail();
                    self.segment_bytes += segment.as_slice().len();
                    self.segments.push_back(segment);
                }
            }
        }
    }

    /// Returns the number of queued bytes.
    pub fn len(&self) -> usize {
        self.first.as_ref().map_or(0, Bytes::len) + self.segment_bytes + self.tail.len()
    }

    /// Returns `true` if no bytes are queued.
    pub fn is_empty(&self) -> bool {
        self.tail.is_empty() && self.segments.is_empty() && self.first.is_none()
    }

    /// Iterates over the queued bytes, one slice for each segment that [`take`](Self::take) would return.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let tail = (!self.tail.is_empty()).then_some(self.tail.as_slice());
        self.first.iter().map(Bytes::as_ref).chain(self.segments.iter().map(Segment::as_slice)).chain(tail)
    }

    /// Removes and returns the next segment to send, or `None` if no bytes are queued.
    pub fn take(&mut self) -> Option<Segment> {
        if let Some(bytes) = self.first.take() {
            return Some(Segment::Shared(bytes));
        }
        if let Some(segment) = self.segments.pop_front() {
            self.segment_bytes -= segment.as_slice().len();
            return Some(segment);
        }
        if self.tail.is_empty() {
            return None;
        }
        Some(Segment::Owned(std::mem::take(&mut self.tail)))
    }

    /// Returns `true` if the next small write would allocate a buffer.
    pub fn lacks_buffer(&self) -> bool {
        self.tail.capacity() == 0
    }

    /// Clears `buffer` and makes it the buffer to append to, unless the outbox has one.
    pub fn refill(&mut self, buffer: Vec<u8>) {
        if self.tail.capacity() == 0 {
            self.tail = buffer;
            self.tail.clear();
        }
    }

    /// Removes and returns the buffer to append to if there is one and it is empty. An idle connection then
    /// holds none.
    pub fn release(&mut self) -> Option<Vec<u8>> {
        (self.tail.is_empty() && self.tail.capacity() > 0).then(|| std::mem::take(&mut self.tail))
    }

    /// Discards all queued bytes.
    pub fn clear(&mut self) {
        self.first = None;
        self.segments.clear();
        self.segment_bytes = 0;
        self.tail.clear();
    }

    /// Makes a segment of the buffered small writes.
    fn finish_tail(&mut self) {
        if !self.tail.is_empty() {
            self.segment_bytes += self.tail.len();
            self.segments.push_back(Segment::Owned(std::mem::take(&mut self.tail)));
        }
    }
}
