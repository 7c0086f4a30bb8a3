//! The response body of a stream that ends with the identity of its client.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use windlass_actors::OutletKey;

use crate::{
    body::{BoxError, Frame, OutletAnswer, Source},
    identity::Lease,
    proto::h1::encode::SharedChunk,
};

/// A response body that forwards another one until its lease ends.
pub(crate) struct LeasedBody<S> {
    inner: S,
    /// `None` after its end.
    lease: Option<Lease>,
}

impl<S: Source + Unpin> LeasedBody<S> {
    pub(crate) fn new(inner: S, lease: Lease) -> Self {
        Self { inner, lease: Some(lease) }
    }
}

impl<S: Source + Unpin> Source for LeasedBody<S> {
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BoxError>>> {
        let Some(lease) = &mut self.lease else { return Poll::Ready(None) };
        // Polled first, so that its timer and its signal always wake the task that polls the events.
        if lease.poll_end(cx).is_ready() {
            self.lease = None;
            return Poll::Ready(None);
        }
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn rests(&self) -> bool {
        self.inner.rests()
    }

    fn is_shard_safe(&self) -> bool {
        self.inner.is_shard_safe()
    }

    fn is_endless(&self) -> bool {
        self.inner.is_endless()
    }

    fn drain(mut self: Pin<&mut Self>) {
        Pin::new(&mut self.inner).drain();
    }

    fn connect(mut self: Pin<&mut Self>, outlet: OutletKey) -> OutletAnswer<SharedChunk> {
        Pin::new(&mut self.inner).connect(outlet)
    }

    fn delivered(mut self: Pin<&mut Self>, at: Instant) {
        Pin::new(&mut self.inner).delivered(at);
    }
}
