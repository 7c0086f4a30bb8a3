//! Conversion from and to the streams of the `futures-core` crate.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_core::Stream;

use super::{Body, BodyError, BoxError, Frame, Source};

/// The content of a body. Trailers are left out.
impl Stream for Body {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let frame = ready!(Self::poll_frame(self.get_mut(), cx));
        Poll::Ready(match frame {
            Some(Ok(Frame::Data(bytes))) => Some(Ok(bytes)),
            Some(Err(error)) => Some(Err(error)),
            Some(Ok(Frame::Trailers(_))) | None => None,
        })
    }
}

impl Body {
    /// Creates a body from a stream of buffers. Requires the feature `stream`.
    ///
    /// The stream is polled on the thread of the handler, so on an async route it may use tokio. An error
    /// ends the body, and the client sees that it is incomplete.
    ///
    /// ```
    /// use windlass::{Body, Router, TestClient, get};
    ///
    /// let lines = || Body::from_stream(tokio_stream::iter(["one\n", "two\n"].map(Ok::<_, std::io::Error>)));
    /// let client = TestClient::new(Router::new().route(get("/", lines)))?;
    /// assert_eq!(client.get("/").body(), "one\ntwo\n");
    /// # Ok::<(), windlass::StartError>(())
    /// ```
    pub fn from_stream<S, T, E>(stream: S) -> Self
    where
        S: Stream<Item = Result<T, E>> + Send + 'static,
        T: Into<Bytes>,
        E: Into<BoxError>,
    {
        Self::source(StreamSource(Box::pin(stream)))
    }
}

/// A source that polls a stream.
struct StreamSource<S>(Pin<Box<S>>);

impl<S, T, E> Source for StreamSource<S>
where
    S: Stream<Item = Result<T, E>> + Send,
    T: Into<Bytes>,
    E: Into<BoxError>,
{
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BoxError>>> {
        loop {
            match ready!(self.0.as_mut().poll_next(cx)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                Some(Ok(data)) => {
                    let data = data.into();
                    // A frame is never empty.
                    if !data.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::Data(data))));
                    }
                }
            }
        }
    }
}
