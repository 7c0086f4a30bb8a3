//! Channel behind a streamed body: a queue of frames with a window in bytes.
//!
//! Each side is either a task with its waker, or a connection whose waker is a message to its shard. Both
//! sides may be on the same thread or on different ones. Only the two sides of one body contend for the lock,
//! which is held for a few instructions.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;

#[cfg(feature = "http2")]
use super::FrameKind;
use super::{BodyError, Frame};

#[derive(Default)]
struct ChannelState {
    frames: VecDeque<Frame>,
    /// Copied bytes that follow `frames`. Further copies are appended to them.
    copied: BytesMut,
    /// Sum of the [`cost`] of the data in `frames` and of `copied`. Trailers cost nothing.
    queued_bytes: usize,
    /// End of the body, set once by the producer. The queued frames come before it.
    end: Option<Result<(), BodyError>>,
    /// `true` once the consumer has been dropped.
    is_closed: bool,
    consumer: Option<Waker>,
    producer: Option<Waker>,
}

impl ChannelState {
    /// Moves the copied bytes to `frames`, so that frames can be queued after them.
    fn finish_copied(&mut self) {
        if !self.copied.is_empty() {
            self.frames.push_back(Frame::Data(self.copied.split().freeze()));
        }
    }

    /// Removes and returns the next frame, or `None` if nothing is queued. Does not change `queued_bytes`.
    fn pop(&mut self) -> Option<Frame> {
        if self.frames.is_empty() {
            self.finish_copied();
        }
        self.frames.pop_front()
    }
}

/// Bytes that the window counts for each buffer in addition to its content: a queue entry and the buffer's
/// own allocation.
const OVERHEAD_BYTES: usize = 128;

/// Length from which on a copy gets a buffer of its own: its overhead is small, and joining it with others
/// would copy it again whenever their buffer grows.
#[cfg(feature = "http2")]
const OWN_BUFFER_BYTES: usize = 4096;

/// Returns the bytes that the window counts for a buffer: its length and [`OVERHEAD_BYTES`], which dominate
/// in a queue of tiny buffers.
fn cost(piece: &Bytes) -> usize {
    piece.len() + OVERHEAD_BYTES
}

struct Shared {
    state: Mutex<ChannelState>,
    window_bytes: usize,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, ChannelState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Creates a channel whose producer waits while `window_bytes` or more are queued; 0 counts as 1. `len_bytes`
/// is the length of the body, if it is known.
pub(super) fn channel(window_bytes: usize, len_bytes: Option<u64>) -> (BodySender, Receiver) {
    let shared = Arc::new(Shared { state: Mutex::default(), window_bytes: window_bytes.max(1) });
    let receiver = Receiver { shared: shared.clone(), left_bytes: len_bytes, is_endless: false };
    (BodySender { shared, finished: false }, receiver)
}

/// Sending half of a [`Body`](super::Body) made by [`Body::channel`](super::Body::channel).
pub struct BodySender {
    shared: Arc<Shared>,
    finished: bool,
}

impl BodySender {
    /// Waits until the window has room, then queues bytes, which may exceed the rest of the window. Empty
    /// bytes are not queued.
    ///
    /// # Errors
    ///
    /// Returns the bytes if the consumer has been dropped.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it is ready queues nothing.
    pub async fn send(&mut self, bytes: Bytes) -> Result<(), Bytes> {
        if !self.ready().await {
            return Err(bytes);
        }
        self.push(bytes);
        Ok(())
    }

    /// Queues bytes if the window has room, without waiting for the consumer. They may exceed the rest of the
    /// window. Empty bytes are not queued.
    ///
    /// # Errors
    ///
    /// Returns the bytes if the window is full or the consumer has been dropped.
    /// [`is_closed`](Self::is_closed) tells which.
    pub fn try_send(&mut self, bytes: Bytes) -> Result<(), Bytes> {
        let state = self.shared.lock();
        if state.is_closed || state.queued_bytes >= self.shared.window_bytes {
            return Err(bytes);
        }
        drop(state);
        self.push(bytes);
        Ok(())
    }

    /// Waits until the window has room or the consumer is dropped. Returns `false` if it has been dropped.
    pub async fn ready(&mut self) -> bool {
        poll_fn(|cx| self.poll_ready(cx)).await
    }

    /// Polls for room in the window. Returns `true` if there is room, and `false` if the consumer has been
    /// dropped.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut state = self.shared.lock();
        if state.is_closed {
            return Poll::Ready(false);
        }
        if state.queued_bytes < self.shared.window_bytes {
            return Poll::Ready(true);
        }
        register(&mut state.producer, cx.waker());
        Poll::Pending
    }

    /// Queues bytes even if the window is full. Does nothing if they are empty or the consumer has been
    /// dropped.
    pub(crate) fn push(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        let mut state = self.shared.lock();
        if state.is_closed {
            return;
        }
        state.finish_copied();
        state.queued_bytes += cost(&bytes);
        state.frames.push_back(Frame::Data(bytes));
        wake(state, |s| s.consumer.take());
    }

    /// Queues a copy of bytes even if the window is full. Successive short copies that the consumer has not
    /// taken are joined in one buffer, so tiny pieces cost little more memory than their bytes. Does nothing
    /// if the bytes are empty or the consumer has been dropped.
    #[cfg(feature = "http2")]
    pub(crate) fn push_copy(&mut self, bytes: &[u8]) {
        if bytes.len() >= OWN_BUFFER_BYTES {
            return self.push(Bytes::copy_from_slice(bytes));
        }
        let mut state = self.shared.lock();
        if bytes.is_empty() || state.is_closed {
            return;
        }
        if state.copied.is_empty() {
            state.queued_bytes += OVERHEAD_BYTES;
        }
        state.queued_bytes += bytes.len();
        state.copied.extend_from_slice(bytes);
        wake(state, |s| s.consumer.take());
    }

    /// Returns the number of content bytes that the consumer has not taken, or `None` if it has been dropped.
    /// The task is woken when the consumer takes some so that the window has room, or is dropped.
    #[cfg(feature = "http2")]
    pub(crate) fn poll_untaken(&mut self, cx: &mut Context<'_>) -> Option<usize> {
        let mut state = self.shared.lock();
        if state.is_closed {
            return None;
        }
        let in_frames = state.frames.iter().map(|frame| match frame {
            Frame::Data(bytes) => bytes.len(),
            Frame::Trailers(_) => 0,
        });
        let untaken = in_frames.sum::<usize>() + state.copied.len();
        register(&mut state.producer, cx.waker());
        Some(untaken)
    }

    /// Waits until the consumer is dropped. A producer without data uses it to stop work that nobody will
    /// read.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub async fn closed(&mut self) {
        poll_fn(|cx| self.poll_closed(cx)).await;
    }

    /// Polls until the consumer has been dropped. It shares its waker with [`poll_ready`](Self::poll_ready):
    /// only the task that polled last is woken.
    pub fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.shared.lock();
        if state.is_closed {
            return Poll::Ready(());
        }
        register(&mut state.producer, cx.waker());
        Poll::Pending
    }

    /// Returns `true` if the consumer has been dropped.
    pub fn is_closed(&self) -> bool {
        self.shared.lock().is_closed
    }

    /// Ends the body as complete. The consumer receives the queued bytes first.
    pub fn finish(mut self) {
        self.end(Ok(()));
    }

    /// Ends the body as complete, with trailers after the queued bytes.
    pub fn finish_with(mut self, trailers: HeaderMap) {
        let mut state = self.shared.lock();
        state.finish_copied();
        state.frames.push_back(Frame::Trailers(trailers));
        drop(state);
        self.end(Ok(()));
    }

    /// Ends the body with an error. The consumer receives the queued bytes first.
    pub fn fail(mut self, error: BodyError) {
        self.end(Err(error));
    }

    fn end(&mut self, result: Result<(), BodyError>) {
        self.finished = true;
        let mut state = self.shared.lock();
        state.end.get_or_insert(result);
        wake(state, |s| s.consumer.take());
    }
}

impl Drop for BodySender {
    fn drop(&mut self) {
        if !self.finished {
            self.end(Err(BodyError::Aborted));
        }
    }
}

impl std::fmt::Debug for BodySender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BodySender")
            .field("queued_bytes", &self.shared.lock().queued_bytes)
            .finish_non_exhaustive()
    }
}

/// Receiving half of a channel, the consumer of its frames. Dropping it discards what is queued.
pub(crate) struct Receiver {
    shared: Arc<Shared>,
    /// Number of content bytes not received yet. `None` if the channel was created without a length.
    left_bytes: Option<u64>,
    /// See [`Source::is_endless`](super::Source::is_endless).
    pub(super) is_endless: bool,
}

impl Receiver {
    /// Creates a receiver that returns only these trailers.
    pub(super) fn ended_with(trailers: HeaderMap) -> Self {
        let (sender, receiver) = channel(1, Some(0));
        sender.finish_with(trailers);
        receiver
    }

    pub(crate) fn len_bytes(&self) -> Option<u64> {
        self.left_bytes
    }

    #[cfg(feature = "http2")]
    pub(super) fn poll_kind(&mut self, cx: &mut Context<'_>) -> Poll<FrameKind> {
        let mut state = self.shared.lock();
        match (state.frames.front(), &state.end) {
            (Some(Frame::Data(_)), _) => Poll::Ready(FrameKind::Data),
            (None, _) if !state.copied.is_empty() => Poll::Ready(FrameKind::Data),
            (Some(Frame::Trailers(_)), _) | (None, Some(_)) => Poll::Ready(FrameKind::End),
            (None, None) => {
                register(&mut state.consumer, cx.waker());
                Poll::Pending
            }
        }
    }

    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let mut state = self.shared.lock();
        if let Some(frame) = state.pop() {
            if let Frame::Data(bytes) = &frame {
                state.queued_bytes -= cost(bytes);
                self.left_bytes = self.left_bytes.map(|left| left.saturating_sub(bytes.len() as u64));
                if state.queued_bytes < self.shared.window_bytes {
                    wake(state, |s| s.producer.take());
                }
            }
            return Poll::Ready(Some(Ok(frame)));
        }
        match &mut state.end {
            Some(end) => Poll::Ready(std::mem::replace(end, Ok(())).err().map(Err)),
            None => {
                register(&mut state.consumer, cx.waker());
                Poll::Pending
            }
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.is_closed = true;
        state.frames.clear();
        state.copied = BytesMut::new();
        state.queued_bytes = 0;
        wake(state, |s| s.producer.take());
    }
}

fn register(place: &mut Option<Waker>, waker: &Waker) {
    match place {
        Some(known) if known.will_wake(waker) => {}
        _ => *place = Some(waker.clone()),
    }
}

/// Takes a waker, releases the lock, then wakes.
fn wake(mut state: MutexGuard<'_, ChannelState>, take: impl FnOnce(&mut ChannelState) -> Option<Waker>) {
    let waker = take(&mut state);
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, task::Waker};

    use super::*;
    use crate::body::Body;

    fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_producer_waits_at_the_window_until_a_read() {
        let (mut sender, mut body) = Body::channel(4);
        assert_eq!(poll_once(sender.send(Bytes::from_static(b"abcd"))), Poll::Ready(Ok(())));
        assert!(poll_once(sender.send(Bytes::from_static(b"e"))).is_pending());
        assert!(matches!(poll_once(body.next()), Poll::Ready(Some(Ok(b))) if b == "abcd"));
        assert_eq!(poll_once(sender.send(Bytes::from_static(b"e"))), Poll::Ready(Ok(())));
        sender.finish();
        assert!(matches!(poll_once(body.next()), Poll::Ready(Some(Ok(b))) if b == "e"));
        assert!(matches!(poll_once(body.next()), Poll::Ready(None)));
    }

    #[test]
    fn try_send_fails_while_the_window_is_full() {
        let (mut sender, mut body) = Body::channel(4);
        assert_eq!(sender.try_send(Bytes::from_static(b"abcd")), Ok(()));
        assert_eq!(sender.try_send(Bytes::from_static(b"e")), Err(Bytes::from_static(b"e")));
        assert!(!sender.is_closed());
        assert!(matches!(poll_once(body.next()), Poll::Ready(Some(Ok(_)))));
        assert_eq!(sender.try_send(Bytes::from_static(b"e")), Ok(()));
        drop(body);
        assert_eq!(sender.try_send(Bytes::from_static(b"f")), Err(Bytes::from_static(b"f")));
    }

    #[test]
    fn a_dropped_sender_is_an_error_after_its_bytes() {
        let (mut sender, mut body) = Body::channel(4);
        sender.push(Bytes::from_static(b"ab"));
        drop(sender);
        assert!(matches!(poll_once(body.next()), Poll::Ready(Some(Ok(_)))));
        assert!(matches!(poll_once(body.next()), Poll::Ready(Some(Err(BodyError::Aborted)))));
        assert!(matches!(poll_once(body.next()), Poll::Ready(None)));
    }

    #[test]
    fn a_dropped_body_returns_the_bytes() {
        let (mut sender, body) = Body::channel(4);
        assert!(poll_once(sender.closed()).is_pending());
        drop(body);
        assert!(sender.is_closed() && poll_once(sender.closed()).is_ready());
        assert_eq!(
            poll_once(sender.send(Bytes::from_static(b"x"))),
            Poll::Ready(Err(Bytes::from_static(b"x")))
        );
    }

    #[test]
    fn trailers_stay_available_after_the_end() {
        let (mut sender, mut body) = Body::channel(4);
        sender.push(Bytes::from_static(b"ab"));
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", http::HeaderValue::from_static("1"));
        sender.finish_with(trailers.clone());
        assert!(matches!(poll_once(body.next()), Poll::Ready(Some(Ok(_)))));
        assert!(matches!(poll_once(body.next()), Poll::Ready(None)));
        assert!(matches!(poll_once(body.trailers()), Poll::Ready(Ok(Some(t))) if t == trailers));
    }

    #[test]
    fn collect_rejects_more_than_the_limit() {
        let (mut sender, body) = Body::channel(100);
        sender.push(Bytes::from_static(b"abc"));
        sender.finish();
        assert!(matches!(poll_once(body.collect(2)), Poll::Ready(Err(BodyError::TooLarge))));
        assert!(matches!(poll_once(Body::from("abc").collect(3)), Poll::Ready(Ok(b)) if b == "abc"));
        assert!(matches!(poll_once(Body::from("abc").collect(2)), Poll::Ready(Err(BodyError::TooLarge))));
    }
}
