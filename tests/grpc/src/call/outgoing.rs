//! The messages of a reply on their way out, as the source of its body.

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
    timer::within,
    wire::{self, Status},
};

/// Bytes of messages that leave as one piece, if so many are there without waiting.
const PIECE_BYTES: usize = 16 * 1024;

/// Messages of an iterator, then a status.
pub(super) struct Iterated<I> {
    messages: I,
    /// Goes out behind the last; `None` once it did.
    trailing: Option<HeaderMap>,
    end: Option<Status>,
}

impl<I> Iterated<I> {
    pub(super) fn new(messages: I, trailing: HeaderMap) -> Self {
        Self { messages, trailing: Some(trailing), end: None }
    }
}

impl<R: Message, I: Iterator<Item = R>> Iterated<I> {
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

// Its parts are only ever moved out of it.
impl<I> Unpin for Iterated<I> {}

impl<R: Message, I: Iterator<Item = R> + Send> Source for Iterated<I> {
    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame, BoxError>>> {
        let piece = self.piece();
        if !piece.is_empty() {
            return Poll::Ready(Some(Ok(Frame::Data(piece))));
        }
        let this = &mut *self;
        Poll::Ready(this.end.as_ref().and_then(|end| last(end, &mut this.trailing)))
    }
}

/// Where a method writes the messages of its reply.
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
    /// Writes a message, and waits while more is written than the client has room for.
    ///
    /// It leaves as soon as the method waits for something.
    ///
    /// # Errors
    ///
    /// As [`wire::push`].
    ///
    /// # Cancel safety
    ///
    /// The message is written when the future is first polled.
    pub async fn send(&mut self, message: &R) -> Result<(), Status> {
        wire::push(message, &mut self.buffer.lock())?;
        // Whoever takes from the buffer polls the method again: nobody has to be woken.
        poll_fn(|_| if self.buffer.lock().len() < PIECE_BYTES { Poll::Ready(()) } else { Poll::Pending })
            .await;
        Ok(())
    }
}

/// What a method has written and its connection has not taken.
#[derive(Clone, Debug, Default)]
pub(super) struct Buffer(Arc<Mutex<BytesMut>>);

impl Buffer {
    fn lock(&self) -> MutexGuard<'_, BytesMut> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Messages that a future writes, then the status it ends with.
pub(super) struct Produced {
    running: Pin<Box<dyn Future<Output = Result<(), Status>> + Send>>,
    buffer: Buffer,
    trailing: Option<HeaderMap>,
    end: Option<Status>,
}

impl Produced {
    pub(super) fn new<F>(method: F, deadline: Option<Instant>, buffer: Buffer, trailing: HeaderMap) -> Self
    where
        F: Future<Output = Result<(), Status>> + Send + 'static,
    {
        Self { running: Box::pin(within(deadline, method)), buffer, trailing: Some(trailing), end: None }
    }
}

impl Source for Produced {
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BoxError>>> {
        let this = &mut *self;
        if this.end.is_none()
            && let Poll::Ready(ended) = this.running.as_mut().poll(cx)
        {
            this.end = Some(ended.err().unwrap_or_else(Status::ok));
            // What the method holds ends with the call, not with the last byte of its reply.
            this.running = Box::pin(async { Ok(()) });
        }
        let piece = mem::take(&mut *this.buffer.lock()).freeze();
        match &this.end {
            _ if !piece.is_empty() => Poll::Ready(Some(Ok(Frame::Data(piece)))),
            Some(end) => Poll::Ready(last(end, &mut this.trailing)),
            None => Poll::Pending,
        }
    }
}

/// Returns the trailers, once.
fn last(end: &Status, trailing: &mut Option<HeaderMap>) -> Option<Result<Frame, BoxError>> {
    let mut trailers = trailing.take()?;
    end.write(&mut trailers);
    Some(Ok(Frame::Trailers(trailers)))
}
