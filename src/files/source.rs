//! The body of a response whose file is read while it is sent.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    io::ErrorKind,
    ops::Range,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use windlass_actors::Pool;

use super::{
    entry::OpenFile,
    jobs::Jobs,
    promise::{Promise, Wait},
};
use crate::{
    body::{BoxError, Frame, Source},
    metrics::ShardCounters,
};

/// Part of a body.
#[derive(Debug)]
pub(super) enum Part {
    /// Bytes between the ranges of a multipart body.
    Text(Bytes),
    /// Bytes of the file.
    File(Range<u64>),
}

impl Part {
    fn len_bytes(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::File(range) => range.end - range.start,
        }
    }
}

/// Pool and counters for reading a file.
#[derive(Clone)]
pub(super) struct Reader {
    pub(super) pool: Option<Pool>,
    pub(super) jobs: Arc<Jobs>,
    pub(super) counters: Arc<ShardCounters>,
}

/// Parts of an open file, read in pieces. The shard reads what is in memory, and the pool the rest.
pub(super) struct FileSource {
    file: Arc<OpenFile>,
    parts: VecDeque<Part>,
    reader: Reader,
    piece_bytes: usize,
    /// Read of the next piece on the pool.
    reading: Option<Wait<Result<Bytes, ReadError>>>,
    /// The last piece. Its memory is used again once the connection has sent it.
    last: Bytes,
}

/// Reason why a response ends early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadError {
    /// The file has been written to or truncated since the response began.
    Changed,
    /// The system could not read it.
    Io(ErrorKind),
    /// Too many reads wait, or the pool has stopped.
    Busy,
}

impl ReadError {
    /// Returns the label of the error in metrics.
    fn cause(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Io(_) => "io",
            Self::Busy => "busy",
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed => f.write_str("the file was changed while it was sent: replace files by a rename"),
            Self::Io(kind) => write!(f, "reading the file failed: {kind}"),
            Self::Busy => f.write_str("too many reads wait for the disk"),
        }
    }
}

impl std::error::Error for ReadError {}

impl FileSource {
    /// Creates a body of these parts, which is read in pieces of at most `piece_bytes`.
    pub(super) fn new(
        file: Arc<OpenFile>,
        parts: VecDeque<Part>,
        reader: Reader,
        piece_bytes: usize,
    ) -> Self {
        Self { file, parts, reader, piece_bytes, reading: None, last: Bytes::new() }
    }

    /// Returns a buffer of this length: that of the last piece if nobody has it any more.
    fn buffer(&mut self, len: usize) -> BytesMut {
        match std::mem::take(&mut self.last).try_into_mut() {
            Ok(mut buffer) if buffer.capacity() >= len => {
                buffer.resize(len, 0);
                buffer
            }
            _ => BytesMut::zeroed(len),
        }
    }

    /// Reads at the start of a range what is in memory. Returns `None` if the pool must read it.
    fn read_resident(&mut self, range: &Range<u64>) -> Option<Result<Bytes, ReadError>> {
        let len = piece_len(range, self.piece_bytes);
        let mut buffer = self.buffer(len);
        let count = match self.file.file.read_resident(&mut buffer, range.start) {
            Ok(count) => count,
            Err(_) => {
                self.last = buffer.freeze();
                return None;
            }
        };
        Some(checked(&self.file, buffer, count))
    }

    /// Starts to read at the start of a range on the pool.
    fn read_on_pool(&self, range: &Range<u64>) -> Wait<Result<Bytes, ReadError>> {
        let promise = Promise::new();
        let wait = promise.wait();
        let Some(pool) = &self.reader.pool else {
            promise.keep(Err(ReadError::Busy));
            return wait;
        };
        self.reader.counters.file_jobs.add("read");
        let (file, start, len) = (self.file.clone(), range.start, piece_len(range, self.piece_bytes));
        let unkept = Unkept(promise);
        let read = move || {
            let mut buffer = BytesMut::zeroed(len);
            let result = match file.file.read_at(&mut buffer, start) {
                Ok(count) => checked(&file, buffer, count),
                Err(error) => Err(ReadError::Io(error.kind())),
            };
            unkept.0.keep(result);
        };
        self.reader.jobs.submit(pool, Box::new(read));
        wait
    }

    /// Removes a piece from the front of the parts.
    fn advance(&mut self, count: usize) {
        if let Some(Part::File(range)) = self.parts.front_mut() {
            range.start += count as u64;
            if range.is_empty() {
                self.parts.pop_front();
            }
        }
    }
}

/// Fails the promise of a read if the read is dropped instead of run.
struct Unkept(Promise<Result<Bytes, ReadError>>);

impl Drop for Unkept {
    fn drop(&mut self) {
        self.0.keep(Err(ReadError::Busy));
    }
}

/// Returns the length of the next piece of a range.
fn piece_len(range: &Range<u64>, piece_bytes: usize) -> usize {
    usize::try_from(range.end - range.start).map_or(piece_bytes, |len| len.min(piece_bytes))
}

/// Returns the bytes that were read, or an error if the file is not what it was when it was opened: the bytes
/// may then be those of another content.
fn checked(file: &OpenFile, mut buffer: BytesMut, count: usize) -> Result<Bytes, ReadError> {
    let stat = file.file.stat().map_err(|error| ReadError::Io(error.kind()))?;
    if count == 0 || stat != file.stat {
        return Err(ReadError::Changed);
    }
    buffer.truncate(count);
    Ok(buffer.freeze())
}

impl Source for FileSource {
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BoxError>>> {
        let this = &mut *self;
        let range = match this.parts.front() {
            None => return Poll::Ready(None),
            Some(Part::Text(text)) => {
                let frame = Frame::Data(text.clone());
                this.parts.pop_front();
                return Poll::Ready(Some(Ok(frame)));
            }
            Some(Part::File(range)) => range.clone(),
        };
        let read = match &mut this.reading {
            Some(reading) => match Pin::new(reading).poll(cx) {
                Poll::Ready(read) => read,
                Poll::Pending => return Poll::Pending,
            },
            None => match this.read_resident(&range) {
                Some(read) => read,
                None => {
                    let reading = this.reading.insert(this.read_on_pool(&range));
                    match Pin::new(reading).poll(cx) {
                        Poll::Ready(read) => read,
                        Poll::Pending => return Poll::Pending,
                    }
                }
            },
        };
        this.reading = None;
        Poll::Ready(Some(match read {
            Ok(bytes) => {
                this.advance(bytes.len());
                this.last = bytes.clone();
                Ok(Frame::Data(bytes))
            }
            Err(error) => {
                this.parts.clear();
                this.reader.counters.file_errors.add(error.cause());
                Err(error.into())
            }
        }))
    }

    fn len_bytes(&self) -> Option<u64> {
        Some(self.parts.iter().map(Part::len_bytes).sum())
    }

    fn is_shard_safe(&self) -> bool {
        true
    }
}
