//! The bytes a connection waits to send.

use std::collections::VecDeque;

use bytes::Bytes;

/// Shared bytes shorter than this are copied behind what is already queued: cheaper than a segment of their own.
pub const SHARE_MIN_BYTES: usize = 8 * 1024;

/// One run of bytes to send.
#[derive(Debug)]
pub enum Segment {
    /// Bytes this connection wrote; the buffer is recycled.
    Owned(Vec<u8>),
    /// Bytes in a buffer of somebody else's, who gets it back once they are sent ([`EventHandler::buffer_sent`](EventHandler::buffer_sent)).
    Lent(Vec<u8>),
    /// Bytes shared with others, not copied.
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

/// A connection's queue of bytes to send, in order: small writes gathered in one buffer, large shared ones apart.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Shared bytes that stood alone when they were queued: they go out as they are, before everything else.
    alone: Option<Bytes>,
    /// Closed segments, first to be sent first. Empty as long as only small writes happen.
    closed: VecDeque<Segment>,
    /// Bytes in `closed`.
    closed_bytes: usize,
    /// The buffer that small writes append to, behind `closed`.
    tail: Vec<u8>,
}

impl Outbox {
    /// Returns the buffer to append to. The caller only appends.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.tail
    }

    /// Queues shared bytes: copied when short, by reference when long.
    pub fn share(&mut self, bytes: Bytes) {
        if bytes.len() < SHARE_MIN_BYTES {
            self.tail.extend_from_slice(&bytes);
            return;
        }
        self.close_tail();
        self.closed_bytes += bytes.len();
        self.closed.push_back(Segment::Shared(bytes));
    }

    /// Queues shared bytes that make a whole by themselves: by reference if nothing else waits, however short they are.
    pub fn share_whole(&mut self, bytes: Bytes) {
        if self.is_empty() && !bytes.is_empty() {
            self.alone = Some(bytes);
        } else {
            self.share(bytes);
        }
    }

    /// Queues a whole buffer: copied when short, and returned; by reference when long.
    pub fn lend(&mut self, buffer: Vec<u8>) -> Option<Vec<u8>> {
        if buffer.len() < SHARE_MIN_BYTES {
            self.tail.extend_from_slice(&buffer);
            return Some(buffer);
        }
        self.close_tail();
        self.closed_bytes += buffer.len();
        self.closed.push_back(Segment::Lent(buffer));
        None
    }

    /// Moves what another one holds behind what waits here.
    pub fn append(&mut self, other: &mut Self) {
        while let Some(segment) = other.take() {
            match segment {
                Segment::Owned(bytes) if bytes.len() < SHARE_MIN_BYTES => self.tail.extend_from_slice(&bytes),
                segment => {
                    self.close_tail();
                    self.closed_bytes += segment.as_slice().len();
                    self.closed.push_back(segment);
                }
            }
        }
    }

    /// Returns how many bytes wait.
    pub fn len(&self) -> usize {
        self.alone.as_ref().map_or(0, Bytes::len) + self.closed_bytes + self.tail.len()
    }

    /// Says whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.tail.is_empty() && self.closed.is_empty() && self.alone.is_none()
    }

    /// Returns what waits, segment by segment as [`take`](Self::take) takes them.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let tail = (!self.tail.is_empty()).then_some(self.tail.as_slice());
        self.alone.iter().map(Bytes::as_ref).chain(self.closed.iter().map(Segment::as_slice)).chain(tail)
    }

    /// Takes the next segment to send.
    pub fn take(&mut self) -> Option<Segment> {
        if let Some(bytes) = self.alone.take() {
            return Some(Segment::Shared(bytes));
        }
        if let Some(segment) = self.closed.pop_front() {
            self.closed_bytes -= segment.as_slice().len();
            return Some(segment);
        }
        if self.tail.is_empty() {
            return None;
        }
        Some(Segment::Owned(std::mem::take(&mut self.tail)))
    }

    /// Says whether the next small write would allocate a buffer.
    pub fn lacks_buffer(&self) -> bool {
        self.tail.capacity() == 0
    }

    /// Gives the outbox an empty buffer to append to, unless it has one.
    pub fn refill(&mut self, buffer: Vec<u8>) {
        if self.tail.capacity() == 0 {
            self.tail = buffer;
            self.tail.clear();
        }
    }

    /// Takes the append buffer away if nothing is in it, so that an idle connection holds none.
    pub fn release(&mut self) -> Option<Vec<u8>> {
        (self.tail.is_empty() && self.tail.capacity() > 0).then(|| std::mem::take(&mut self.tail))
    }

    /// Throws everything away.
    pub fn clear(&mut self) {
        self.alone = None;
        self.closed.clear();
        self.closed_bytes = 0;
        self.tail.clear();
    }

    fn close_tail(&mut self) {
        if !self.tail.is_empty() {
            self.closed_bytes += self.tail.len();
            self.closed.push_back(Segment::Owned(std::mem::take(&mut self.tail)));
        }
    }
}
