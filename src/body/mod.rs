//! Message bodies of requests and responses; must not know any protocol, engine or route.
//!
//! One [`Body`] type serves both directions, on a shard and on the pool. A body is empty, a complete buffer,
//! a [`Source`] that is polled, or the receiving end of a channel.
//!
//! The channel has a window in bytes. A connection streams a request to its handler through it, and a handler
//! on the pool streams its response to the connection. The producer waits while the queued bytes fill the
//! window, until the consumer has taken some.

mod channel;
mod error;
#[cfg(feature = "tower")]
mod interop;
mod outlet;
mod source;
#[cfg(feature = "stream")]
mod stream;
mod trailers;

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use windlass_actors::OutletKey;

pub use channel::BodySender;
pub(crate) use channel::Receiver;
pub use error::BodyError;
pub use outlet::OutletAnswer;
#[cfg(feature = "http2")]
pub(crate) use source::FrameKind;
pub use source::{BoxError, Frame, Source};
use trailers::WithTrailers;

use crate::proto::h1::encode::SharedChunk;

/// Body of a request or a response.
///
/// ```
/// use windlass::Body;
/// let full = Body::from("hello");
/// assert_eq!(full.len(), Some(5));
/// let (sender, streamed) = Body::channel(64 * 1024);
/// assert_eq!(streamed.len(), None);
/// # drop(sender);
/// ```
#[derive(Default)]
pub struct Body(Kind);

#[derive(Default)]
enum Kind {
    #[default]
    Empty,
    Full(Bytes),
    Channel(Receiver),
    Source(Pin<Box<dyn Source>>),
    WithTrailers(Box<WithTrailers>),
}

impl Body {
    /// Creates an empty body.
    pub const fn empty() -> Self {
        Self(Kind::Empty)
    }

    /// Creates a body whose content comes from the returned sender.
    ///
    /// [`BodySender::send`] waits while `window_bytes` or more are queued, to which each buffer adds 128
    /// bytes of overhead. Dropping the sender without [`BodySender::finish`] ends the body with
    /// [`BodyError::Aborted`].
    pub fn channel(window_bytes: usize) -> (BodySender, Self) {
        let (sender, receiver) = channel::channel(window_bytes, None);
        (sender, Self(Kind::Channel(receiver)))
    }

    /// Creates a body like [`channel`](Self::channel) does, with a length that is known in advance. The
    /// sender must send exactly `len_bytes`; the channel does not check it.
    pub fn channel_with_len(window_bytes: usize, len_bytes: u64) -> (BodySender, Self) {
        let (sender, receiver) = channel::channel(window_bytes, Some(len_bytes));
        (sender, Self(Kind::Channel(receiver)))
    }

    /// Creates a body from a source. [`Source::is_shard_safe`] decides which thread polls it.
    pub fn source(source: impl Source + 'static) -> Self {
        Self(Kind::Source(Box::pin(source)))
    }

    /// Adds trailers after the content. They replace the trailers that the body already has.
    ///
    /// They are sent as HTTP/2 trailers, or after the last chunk of HTTP/1.1. They are not sent over HTTP/1.0
    /// or in a response to HEAD. Fields that would change the message itself, such as `content-length`, are
    /// left out (RFC 9110 §6.5.1). A client may ignore trailers unless it sent `TE: trailers`. Put what it
    /// must know into a header.
    ///
    /// ```
    /// use windlass::{Body, Response, http::HeaderMap};
    /// let trailers = HeaderMap::from_iter([("x-checksum".parse()?, "6f5902ac".parse()?)]);
    /// let response = Response::new().with_body(Body::from("content").with_trailers(trailers));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_trailers(self, trailers: HeaderMap) -> Self {
        Self(Kind::WithTrailers(Box::new(WithTrailers::new(self, trailers))))
    }

    /// Returns the number of content bytes not read yet. Returns `None` if it is not known, and for a body
    /// with added trailers.
    pub fn len(&self) -> Option<u64> {
        match &self.0 {
            Kind::Empty => Some(0),
            Kind::Full(bytes) => Some(bytes.len() as u64),
            Kind::Channel(receiver) => receiver.len_bytes(),
            Kind::Source(source) => source.len_bytes(),
            // HTTP/1.1 can send trailers only after a chunked body, which has no length.
            Kind::WithTrailers(_) => None,
        }
    }

    /// Returns `true` if the body is known to have no content left. Trailers may follow.
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// Waits for the next bytes. Returns `None` at the end. Trailers stay available through
    /// [`trailers`](Self::trailers).
    ///
    /// # Errors
    ///
    /// The body ended early: see [`BodyError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no bytes.
    pub async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        match self.frame().await? {
            Ok(Frame::Data(bytes)) => Some(Ok(bytes)),
            Ok(Frame::Trailers(trailers)) => {
                self.0 = Kind::Channel(Receiver::ended_with(trailers));
                None
            }
            Err(error) => Some(Err(error)),
        }
    }

    /// Waits for the next frame, which may be the trailers. Returns `None` at the end of the body.
    ///
    /// # Errors
    ///
    /// The body ended early: see [`BodyError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no bytes.
    pub async fn frame(&mut self) -> Option<Result<Frame, BodyError>> {
        poll_fn(|cx| self.poll_frame(cx)).await
    }

    /// Reads the rest of the body into one buffer, without the trailers.
    ///
    /// # Errors
    ///
    /// [`BodyError::TooLarge`] if the body exceeds `limit_bytes`; what was read is lost. Other errors are
    /// those of [`next`](Self::next).
    pub async fn collect(mut self, limit_bytes: usize) -> Result<Bytes, BodyError> {
        if let Kind::Full(bytes) = &mut self.0 {
            return if bytes.len() <= limit_bytes {
                Ok(std::mem::take(bytes))
            } else {
                Err(BodyError::TooLarge)
            };
        }
        let mut all = BytesMut::new();
        while let Some(bytes) = self.next().await.transpose()? {
            if bytes.len() > limit_bytes - all.len() {
                return Err(BodyError::TooLarge);
            }
            all.extend_from_slice(&bytes);
        }
        Ok(all.freeze())
    }

    /// Waits for the trailers, takes them, and discards content that has not been read. Returns `None` if
    /// there are none.
    ///
    /// # Errors
    ///
    /// See [`next`](Self::next).
    pub async fn trailers(&mut self) -> Result<Option<HeaderMap>, BodyError> {
        while let Some(frame) = self.frame().await.transpose()? {
            if let Frame::Trailers(trailers) = frame {
                return Ok(Some(trailers));
            }
        }
        Ok(None)
    }

    /// Polls for the next frame. Returns `None` at the end.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        match &mut self.0 {
            Kind::Empty => Poll::Ready(None),
            Kind::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.0 = Kind::Empty;
                Poll::Ready((!bytes.is_empty()).then_some(Ok(Frame::Data(bytes))))
            }
            Kind::Channel(receiver) => receiver.poll_frame(cx),
            Kind::Source(source) => {
                source.as_mut().poll_frame(cx).map(|frame| frame.map(|f| f.map_err(BodyError::Producer)))
            }
            Kind::WithTrailers(body) => body.poll_frame(cx),
        }
    }

    /// Polls for the kind of the next frame without taking the frame. A source is not polled: the kind is
    /// then [`FrameKind::Unknown`] if it is endless, and [`FrameKind::Data`] otherwise.
    #[cfg(feature = "http2")]
    pub(crate) fn poll_kind(&mut self, cx: &mut Context<'_>) -> Poll<FrameKind> {
        match &mut self.0 {
            Kind::Empty => Poll::Ready(FrameKind::End),
            Kind::Full(_) => Poll::Ready(FrameKind::Data),
            Kind::Channel(receiver) => receiver.poll_kind(cx),
            Kind::Source(source) if source.is_endless() => Poll::Ready(FrameKind::Unknown),
            Kind::Source(_) => Poll::Ready(FrameKind::Data),
            Kind::WithTrailers(body) => body.poll_kind(cx),
        }
    }

    /// Returns the content if the body is empty or a complete buffer, with or without added trailers. Returns
    /// `None` for a channel or a source.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match &self.0 {
            Kind::Empty => Some(&[]),
            Kind::Full(bytes) => Some(bytes),
            Kind::WithTrailers(body) => body.content().as_bytes(),
            Kind::Channel(_) | Kind::Source(_) => None,
        }
    }

    /// Returns the content if the body is empty or a complete buffer, and has no added trailers.
    ///
    /// # Errors
    ///
    /// Any other body, unchanged.
    pub(crate) fn into_bytes(self) -> Result<Bytes, Self> {
        match self.0 {
            Kind::Empty => Ok(Bytes::new()),
            Kind::Full(bytes) => Ok(bytes),
            Kind::Channel(_) | Kind::Source(_) | Kind::WithTrailers(_) => Err(self),
        }
    }

    /// Returns `true` if the body ends only when the peer leaves: see [`Source::is_endless`].
    pub(crate) fn is_endless(&self) -> bool {
        match &self.0 {
            Kind::Source(source) => source.is_endless(),
            Kind::Channel(receiver) => receiver.is_endless,
            Kind::WithTrailers(body) => body.content().is_endless(),
            Kind::Empty | Kind::Full(_) => false,
        }
    }

    /// Replaces this body with a channel that has the same length. Returns the channel's sender and the
    /// original body. The caller must send the frames of the original body.
    pub(crate) fn replace_with_channel(&mut self, window_bytes: usize) -> (BodySender, Self) {
        let body = std::mem::take(self);
        let (sender, mut receiver) = channel::channel(window_bytes, body.len());
        receiver.is_endless = body.is_endless();
        self.0 = Kind::Channel(receiver);
        (sender, body)
    }

    /// Returns [`Source::rests`] of a source, and `false` for any other body.
    pub(crate) fn rests(&self) -> bool {
        match &self.0 {
            Kind::Source(source) => source.rests(),
            Kind::Empty | Kind::Full(_) | Kind::Channel(_) | Kind::WithTrailers(_) => false,
        }
    }

    /// Calls [`Source::drain`] of a source, also of one with added trailers. The server calls this repeatedly
    /// while it drains. Does nothing for any other body.
    pub(crate) fn drain(&mut self) {
        match &mut self.0 {
            Kind::Source(source) => source.as_mut().drain(),
            Kind::WithTrailers(body) => body.drain(),
            Kind::Empty | Kind::Full(_) | Kind::Channel(_) => {}
        }
    }

    /// Connects an outlet for direct delivery from a source: see [`Source::connect`]. Returns
    /// [`OutletAnswer::Never`] for any other body.
    pub(crate) fn connect(&mut self, outlet: OutletKey) -> OutletAnswer<SharedChunk> {
        match &mut self.0 {
            Kind::Source(source) => source.as_mut().connect(outlet),
            Kind::Empty | Kind::Full(_) | Kind::Channel(_) | Kind::WithTrailers(_) => OutletAnswer::Never,
        }
    }

    /// Passes the time of the last direct delivery to the source: see [`Source::delivered`].
    pub(crate) fn delivered(&mut self, at: Instant) {
        if let Kind::Source(source) = &mut self.0 {
            source.as_mut().delivered(at);
        }
    }

    /// Returns `true` if the body must be polled on the thread of its handler: see [`Source::is_shard_safe`].
    pub(crate) fn needs_handler_thread(&self) -> bool {
        match &self.0 {
            Kind::Source(source) => !source.is_shard_safe(),
            Kind::WithTrailers(body) => body.content().needs_handler_thread(),
            Kind::Empty | Kind::Full(_) | Kind::Channel(_) => false,
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.0 {
            Kind::Empty => "empty",
            Kind::Full(_) => "full",
            Kind::Channel(_) => "channel",
            Kind::Source(_) => "source",
            Kind::WithTrailers(_) => "with trailers",
        };
        f.debug_struct("Body").field("kind", &kind).field("len", &self.len()).finish()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() { Self::empty() } else { Self(Kind::Full(bytes)) }
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::from(Bytes::from(bytes))
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::from(Bytes::from(text))
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self::from(Bytes::from_static(text.as_bytes()))
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Self {
        Self::from(Bytes::from_static(bytes))
    }
}
