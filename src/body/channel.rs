//! The channel behind a streamed body: a queue of pieces with a window of bytes.
//!
//! Both sides may be a task (with its waker) or a connection (whose waker is a message to its shard), on the
//! same thread or not. The lock is held for a few instructions; the two sides of one body are the only ones
//! at it.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::HeaderMap;

use super::{BodyError, Frame};

#[derive(Default)]
struct State {
    frames: VecDeque<Frame>,
    /// What `frames` cost, see [`cost`].
    queued_bytes: usize,
    /// Set once by the producer: no more pieces after those queued.
    end: Option<Result<(), BodyError>>,
    /// The consumer is gone: nothing more is wanted.
    abandoned: bool,
    consumer: Option<Waker>,
    producer: Option<Waker>,
}

/// What a piece counts in the window, bytes: a queue of tiny ones holds mostly what each costs beside its
/// content.
fn cost(piece: &Bytes) -> usize {
    /// An entry of the queue, and the piece's own allocation.
    const OVERHEAD_BYTES: usize = 128;
    piece.len() + OVERHEAD_BYTES
}

struct Shared {
    state: Mutex<State>,
    window_bytes: usize,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a channel whose producer may run ahead by `window_bytes`.
pub(super) fn channel(window_bytes: usize, len_bytes: Option<u64>) -> (BodySender, Receiver) {
    let shared = Arc::new(Shared { state: Mutex::default(), window_bytes: window_bytes.max(1) });
    let receiver = Receiver { shared: shared.clone(), left_bytes: len_bytes, ends_with_peer: false };
    (BodySender { shared, finished: false }, receiver)
}

/// Feeds a [`Body`](super::Body) made by [`Body::channel`](super::Body::channel).
pub struct BodySender {
    shared: Arc<Shared>,
    finished: bool,
}

impl BodySender {
    /// Waits for room, then queues bytes. Empty bytes are skipped.
    ///
    /// # Errors
    ///
    /// Gives the bytes back when the consumer is gone.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, nothing was queued.
    pub async fn send(&mut self, bytes: Bytes) -> Result<(), Bytes> {
        if !self.ready().await {
            return Err(bytes);
        }
        self.push(bytes);
        Ok(())
    }

    /// Queues bytes if the window has room, for a producer that waits for nobody. Empty bytes are skipped.
    ///
    /// # Errors
    ///
    /// Gives the bytes back when the window is full or the consumer is gone:
    /// [`is_abandoned`](Self::is_abandoned) tells which.
    pub fn try_send(&mut self, bytes: Bytes) -> Result<(), Bytes> {
        let state = self.shared.lock();
        if state.abandoned || state.queued_bytes >= self.shared.window_bytes {
            return Err(bytes);
        }
        drop(state);
        self.push(bytes);
        Ok(())
    }

    /// Waits until the window has room. False when the consumer is gone.
    pub async fn ready(&mut self) -> bool {
        poll_fn(|cx| self.poll_ready(cx)).await
    }

    /// Polls for room in the window; `false` when the consumer is gone.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut state = self.shared.lock();
        if state.abandoned {
            return Poll::Ready(false);
        }
        if state.queued_bytes < self.shared.window_bytes {
            return Poll::Ready(true);
        }
        register(&mut state.producer, cx.waker());
        Poll::Pending
    }

    /// Queues bytes without waiting; may exceed the window by this one piece.
    pub(crate) fn push(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        let mut state = self.shared.lock();
        if state.abandoned {
            return;
        }
        state.queued_bytes += cost(&bytes);
        state.frames.push_back(Frame::Data(bytes));
        wake(state, |s| s.consumer.take());
    }

    /// Waits until the consumer is gone: for a producer that has nothing to send yet, and shall not go on in
    /// vain.
    ///
    /// # Cancel safety
    ///
    /// Dropping it loses nothing.
    pub async fn abandoned(&mut self) {
        poll_fn(|cx| self.poll_abandoned(cx)).await;
    }

    /// Polls for the end of the consumer. It and [`poll_ready`](Self::poll_ready) wake the task that polled
    /// last.
    pub fn poll_abandoned(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.shared.lock();
        if state.abandoned {
            return Poll::Ready(());
        }
        register(&mut state.producer, cx.waker());
        Poll::Pending
    }

    /// Says whether the consumer is gone.
    pub fn is_abandoned(&self) -> bool {
        self.shared.lock().abandoned
    }

    /// Ends the body.
    pub fn finish(mut self) {
        self.end(Ok(()));
    }

    /// Ends the body with trailers.
    pub fn finish_with(mut self, trailers: HeaderMap) {
        self.shared.lock().frames.push_back(Frame::Trailers(trailers));
        self.end(Ok(()));
    }

    /// Ends the body with an error, seen by the consumer after the bytes already queued.
    pub fn fail(mut self, error: BodyError) {
        self.end(Err(error));
    }

    fn end(&mut self, how: Result<(), BodyError>) {
        self.finished = true;
        let mut state = self.shared.lock();
        state.end.get_or_insert(how);
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

/// The consuming side.
pub(crate) struct Receiver {
    shared: Arc<Shared>,
    /// Bytes still to come, where that was said.
    left_bytes: Option<u64>,
    /// See [`Source::ends_with_peer`](super::Source::ends_with_peer).
    pub(super) ends_with_peer: bool,
}

impl Receiver {
    /// Makes a receiver that has nothing but these trailers.
    pub(super) fn ended_with(trailers: HeaderMap) -> Self {
        let (sender, receiver) = channel(1, Some(0));
        sender.finish_with(trailers);
        receiver
    }

    pub(crate) fn len_bytes(&self) -> Option<u64> {
        self.left_bytes
    }

    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let mut state = self.shared.lock();
        if let Some(frame) = state.frames.pop_front() {
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
        state.abandoned = true;
        state.frames.clear();
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

/// Takes the waker out, lets go of the lock, wakes.
fn wake(mut state: MutexGuard<'_, State>, take: impl FnOnce(&mut State) -> Option<Waker>) {
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
    fn producer_waits_at_the_window_and_goes_on_after_a_read() {
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
    fn a_producer_that_waits_for_nobody_is_told_of_a_full_window() {
        let (mut sender, mut body) = Body::channel(4);
        assert_eq!(sender.try_send(Bytes::from_static(b"abcd")), Ok(()));
        assert_eq!(sender.try_send(Bytes::from_static(b"e")), Err(Bytes::from_static(b"e")));
        assert!(!sender.is_abandoned());
        assert!(matches!(poll_once(body.next()), Poll::Ready(Some(Ok(_)))));
        assert_eq!(sender.try_send(Bytes::from_static(b"e")), Ok(()));
        drop(body);
        assert_eq!(sender.try_send(Bytes::from_static(b"f")), Err(Bytes::from_static(b"f")));
    }

    #[test]
    fn dropped_sender_is_an_error_after_the_bytes_it_sent() {
        let (mut sender, mut body) = Body::channel(4);
        sender.push(Bytes::from_static(b"ab"));
        drop(sender);
        assert!(matches!(poll_once(body.next()), Poll::Ready(Some(Ok(_)))));
        assert!(matches!(poll_once(body.next()), Poll::Ready(Some(Err(BodyError::Aborted)))));
        assert!(matches!(poll_once(body.next()), Poll::Ready(None)));
    }

    #[test]
    fn dropped_body_gives_the_bytes_back() {
        let (mut sender, body) = Body::channel(4);
        assert!(poll_once(sender.abandoned()).is_pending());
        drop(body);
        assert!(sender.is_abandoned() && poll_once(sender.abandoned()).is_ready());
        assert_eq!(
            poll_once(sender.send(Bytes::from_static(b"x"))),
            Poll::Ready(Err(Bytes::from_static(b"x")))
        );
    }

    #[test]
    fn trailers_are_kept_for_the_one_who_asks() {
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
    fn collect_refuses_more_than_the_limit() {
        let (mut sender, body) = Body::channel(100);
        sender.push(Bytes::from_static(b"abc"));
        sender.finish();
        assert!(matches!(poll_once(body.collect(2)), Poll::Ready(Err(BodyError::TooLarge))));
        assert!(matches!(poll_once(Body::from("abc").collect(3)), Poll::Ready(Ok(b)) if b == "abc"));
        assert!(matches!(poll_once(Body::from("abc").collect(2)), Poll::Ready(Err(BodyError::TooLarge))));
    }
}
