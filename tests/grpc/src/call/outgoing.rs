//! Response messages of a call, as the source of a response body.

use std::{
    future::{Future, poll_fn},
    marker::PhantomData,
    mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Instant,
};

use bytes::{Bytes, BytesMut};
use prost::Message;
use windlass::{BoxError, Frame, Source, http::HeaderMap};

use crate::{
    timer::with_deadline,
    wire::{self, Status},
};

/// Upper bound of the messages that are combined into one piece without waiting, in bytes.
const PIECE_BYTES: usize = 16 * 1024;

/// Messages of an iterator, followed by a status.
pub(super) struct IteratorSource<I> {
    messages: I,
    /// Trailers to send after the last message; `None` once sent.
    trailing: Option<HeaderMap>,
    end: Option<Status>,
}

impl<I> IteratorSource<I> {
    pub(super) fn new(messages: I, trailing: HeaderMap) -> Self {
        Self { messages, trailing: Some(trailing), end: None }
    }
}

impl<R: Message, I: Iterator<Item = R>> IteratorSource<I> {
    fn piece(&mut self) -> Bytes {
        let mut out = BytesMut::new();
        while self.end.is_none() && out.len() < PIECE_BYTES {
            let pushed = self.messages.next().map(|message| wire::push(&message, &mut out));
            self.end = match pushed {
                Some(Ok(())) => None,
                Some(Err(status)) => Some(status),
                None => Some(Status::ok()),
            };
        }
        out.freeze()
    }
}

// No part is pinned; the parts are only moved out.
impl<I> Unpin for IteratorSource<I> {}

impl<R: Message, I: Iterator<Item = R> + Send> Source for IteratorSource<I> {
    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame, BoxError>>> {
        let piece = self.piece();
        if !piece.is_empty() {
            return Poll::Ready(Some(Ok(Frame::Data(piece))));
        }
        let this = &mut *self;
        Poll::Ready(this.end.as_ref().and_then(|end| trailers_frame(end, &mut this.trailing)))
    }
}

/// Writer of a method's response messages.
#[derive(Debug)]
pub struct Replies<R> {
    buffer: Buffer,
    messages: PhantomData<fn(R)>,
}

impl<R> Default for Replies<R> {
    fn default() -> Self {
        Self { buffer: Buffer::default(), messages: PhantomData }
    }
}

impl<R> Replies<R> {
    pub(super) fn buffer(&self) -> Buffer {
        self.buffer.clone()
    }
}

impl<R: Message> Replies<R> {
    /// Writes a message, and waits while the client does not keep up.
    ///
    /// The message is sent as soon as the method waits.
    ///
    /// # Errors
    ///
    /// Those of [`wire::push`].
    ///
    /// # Cancel safety
    ///
    /// The message is written on the first poll of the future.
    pub async fn send(&mut self, message: &R) -> Result<(), Status> {
        wire::push(message, &mut self.buffer.lock())?;
        // The connection polls the method again after it takes from the buffer, so no waker is needed.
        poll_fn(|_| if self.buffer.lock().len() < PIECE_BYTES { Poll::Ready(()) } else { Poll::Pending })
            .await;
        Ok(())
    }
}

/// Messages that were written but not yet taken by the connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Buffer(Arc<Mutex<BytesMut>>);

impl Buffer {
    fn lock(&self) -> MutexGuard<'_, BytesMut> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Messages that a future writes, followed by its status.
pub(super) struct MethodSource {
    running: Pin<Box<dyn Future<Output = Result<(), Status>> + Send>>,
    buffer: Buffer,
    trailing: Option<HeaderMap>,
    end: Option<Status>,
}

impl MethodSource {
    pub(super) fn new<F>(method: F, deadline: Option<Instant>, buffer: Buffer, trailing: HeaderMap) -> Self
    where
        F: Future<Output = Result<(), Status>> + Send + 'static,
    {
        Self {
            running: Box::pin(with_deadline(deadline, method)),
            buffer,
            trailing: Some(trailing),
            end: None,
        }
    }
}

impl Source for MethodSource {
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BoxError>>> {
        let this = &mut *self;
        if this.end.is_none()
            && let Poll::Ready(ended) = this.running.as_mut().poll(cx)
        {
            this.end = Some(ended.err().unwrap_or_else(Status::ok));
            // The resources of the method are released when it ends, not with the last byte of its response.
            this.running = Box::pin(async { Ok(()) });
        }
        let piece = mem::take(&mut *this.buffer.lock()).freeze();
        match &this.end {
            _ if !piece.is_empty() => Poll::Ready(Some(Ok(Frame::Data(piece)))),
            Some(end) => Poll::Ready(trailers_frame(end, &mut this.trailing)),
            None => Poll::Pending,
        }
    }
}

/// Returns the trailers, once.
fn trailers_frame(end: &Status, trailing: &mut Option<HeaderMap>) -> Option<Result<Frame, BoxError>> {
    let mut trailers = trailing.take()?;
    end.write(&mut trailers);
    Some(Ok(Frame::Trailers(trailers)))
}
