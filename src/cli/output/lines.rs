//! A queue of lines for one stream, written by a thread of its own.

use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use super::Stream;

/// Maximum number of bytes in the queue. A line that does not fit is lost.
const QUEUE_BYTES: usize = 4 * 1024 * 1024;

/// Maximum size of one write, so that the progress of a slow reader is seen.
const WRITE_BYTES: usize = 64 * 1024;

/// Capacity, in bytes, that the buffers keep while the queue is empty.
const KEPT_BYTES: usize = 64 * 1024;

/// Longest time that the end of the process waits for a reader that reads, and for one that does not.
const FINISH_TIMEOUTS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_millis(250));

/// Writer of lines to a stream. [`push`](Self::push) does not wait for the stream: lines that it does not
/// keep up with are lost and counted.
#[derive(Clone)]
pub(crate) struct LineWriter(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    /// Notified when the queue has lines, and when it is closed.
    filled: Condvar,
    /// Notified after each write.
    written: Condvar,
}

#[derive(Default)]
struct Queue {
    /// Lines that wait for the thread.
    bytes: Vec<u8>,
    /// Number of lines that are not written, including those that the thread is writing.
    pending_lines: u64,
    lost_lines: u64,
    /// Number of writes, to recognize progress.
    writes: u64,
    is_thread_waiting: bool,
    is_closed: bool,
}

impl LineWriter {
    /// Starts the thread that writes.
    ///
    /// # Errors
    ///
    /// The system provides no thread.
    pub(crate) fn start(stream: Stream) -> io::Result<Self> {
        let (queue, filled, written) = Default::default();
        let shared = Arc::new(Shared { queue, filled, written });
        let writer = Self(shared.clone());
        thread::Builder::new()
            .name(format!("log-{}", stream.name()))
            .spawn(move || shared.write_lines(|bytes| stream.write(bytes).map_err(io::Error::from)))?;
        Ok(writer)
    }

    /// Queues text that consists of whole lines. The text is lost and counted if it does not fit in the
    /// queue, or after [`finish`](Self::finish).
    pub(crate) fn push(&self, text: &[u8]) {
        let count = lines(text);
        let mut queue = self.0.queue();
        if queue.is_closed || queue.bytes.len() + text.len() > QUEUE_BYTES {
            queue.lost_lines += count;
            return;
        }
        queue.bytes.extend_from_slice(text);
        queue.pending_lines += count;
        if std::mem::take(&mut queue.is_thread_waiting) {
            self.0.filled.notify_one();
        }
    }

    /// Returns the number of lines lost so far.
    pub(crate) fn lost_lines(&self) -> u64 {
        self.0.queue().lost_lines
    }

    /// Waits until every queued line is written, but at most a second, and 250 ms without any progress.
    pub(crate) fn flush(&self) {
        self.0.wait_until_written();
    }

    /// Rejects further lines and waits until the others are written, like [`flush`](Self::flush). Returns the
    /// number of lines lost, including those given up.
    pub(crate) fn finish(&self) -> u64 {
        self.0.queue().is_closed = true;
        self.0.filled.notify_one();
        self.0.wait_until_written();
        let queue = self.0.queue();
        queue.lost_lines + queue.pending_lines
    }
}

impl io::Write for &LineWriter {
    /// Queues text as [`push`](LineWriter::push) does. Callers pass whole lines.
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.push(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the lines of the queue until it is closed and empty.
    fn write_lines(&self, mut write: impl FnMut(&[u8]) -> io::Result<usize>) {
        let mut batch = Vec::new();
        while self.take(&mut batch) {
            let mut rest = &batch[..];
            while !rest.is_empty() {
                let end = rest.len().min(WRITE_BYTES);
                let written = write(&rest[..end]);
                let mut queue = self.queue();
                queue.writes += 1;
                match written {
                    Ok(bytes) => {
                        queue.pending_lines -= lines(&rest[..bytes]);
                        rest = &rest[bytes..];
                    }
                    // The stream is closed, or its disk is full.
                    Err(_) => {
                        let lost = lines(rest);
                        queue.pending_lines -= lost;
                        queue.lost_lines += lost;
                        rest = &[];
                    }
                }
                drop(queue);
                self.written.notify_all();
            }
        }
    }

    /// Moves the queue's lines into the empty batch, waiting for the first one. Returns `false` if the queue
    /// is closed and empty.
    fn take(&self, batch: &mut Vec<u8>) -> bool {
        batch.clear();
        batch.shrink_to(KEPT_BYTES);
        let mut queue = self.queue();
        while queue.bytes.is_empty() {
            if queue.is_closed {
                return false;
            }
            queue.is_thread_waiting = true;
            queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::swap(&mut queue.bytes, batch);
        true
    }

    fn wait_until_written(&self) {
        let (longest, longest_stall) = FINISH_TIMEOUTS;
        let deadline = Instant::now() + longest;
        let mut queue = self.queue();
        let (mut writes, mut stalled_at) = (queue.writes, Instant::now() + longest_stall);
        while queue.pending_lines > 0 {
            let now = Instant::now();
            if queue.writes != writes {
                (writes, stalled_at) = (queue.writes, now + longest_stall);
            }
            let left = deadline.min(stalled_at).saturating_duration_since(now);
            if left.is_zero() {
                return;
            }
            queue = self.written.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Returns the number of line ends.
fn lines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Starts a writer whose stream is this function.
    fn start(write: impl FnMut(&[u8]) -> io::Result<usize> + Send + 'static) -> LineWriter {
        let (queue, filled, written) = Default::default();
        let shared = Arc::new(Shared { queue, filled, written });
        let writer = LineWriter(shared.clone());
        thread::spawn(move || shared.write_lines(write));
        writer
    }

    #[test]
    fn lines_are_written_in_order_before_the_end() {
        let (sender, written) = mpsc::channel();
        let writer = start(move |bytes| {
            // A short write, as to a pipe that is nearly full.
            let bytes = &bytes[..bytes.len().min(7)];
            sender.send(bytes.to_vec()).unwrap();
            Ok(bytes.len())
        });
        let expected: String = (0..1000).map(|number| format!("line {number}\n")).collect();
        expected.split_inclusive('\n').for_each(|line| writer.push(line.as_bytes()));
        assert_eq!(writer.finish(), 0);
        assert_eq!(written.try_iter().flatten().collect::<Vec<_>>(), expected.into_bytes());
        writer.push(b"too late\n");
        assert_eq!(writer.lost_lines(), 1);
    }

    #[test]
    fn a_reader_that_does_not_read_costs_lines_but_no_time() {
        let (_open, blocked) = mpsc::channel::<()>();
        let writer = start(move |_| {
            let _ = blocked.recv();
            Ok(1)
        });
        let line = [&[b'x'; 1023][..], b"\n"].concat();
        for _ in 0..3 * QUEUE_BYTES / line.len() {
            writer.push(&line);
        }
        let lost = writer.lost_lines();
        assert!(lost >= (QUEUE_BYTES / line.len()) as u64, "{lost}");
        let began = Instant::now();
        let all = writer.finish();
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        assert_eq!(all, (3 * QUEUE_BYTES / line.len()) as u64, "unwritten lines must count as lost");
    }

    #[test]
    fn a_closed_stream_loses_lines_and_nothing_else() {
        let writer = start(|_| Err(io::ErrorKind::BrokenPipe.into()));
        (0..10).for_each(|_| writer.push(b"line\n"));
        writer.flush();
        assert_eq!((writer.lost_lines(), writer.finish()), (10, 10));
    }
}
