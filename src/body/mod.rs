//! Message bodies of requests and responses; must not know any protocol, engine or route.
//!
//! One [`Body`] type serves both directions, on a shard and on the pool. A body is empty, a complete buffer,
//! a [`Source`] that is polled, or the receiving end of a channel.
//!
//! The channel has a window in bytes. A connection streams a request to its handler through it, and a handler
//! on the pool streams its response to the connection. The producer may run ahead by the window, then it
//! waits until the consumer has taken bytes.

mod channel;
#[cfg(feature = "tower")]
mod foreign;
mod trailed;

use std::{
    error::Error as StdError,
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use windlass_actors::{OutletKey, Parcel};

pub use channel::BodySender;
pub(crate) use channel::Receiver;
use trailed::Trailed;

/// An error a body's producer may end it with.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// One piece of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Some bytes, not empty.
    Data(Bytes),
    /// The trailers; nothing comes after them.
    Trailers(HeaderMap),
}

/// Produces a body piece by piece.
pub trait Source: Send {
    /// Returns the next piece, or `None` at the end.
    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BoxError>>>;

    /// Says, right behind a piece, that there is none behind it yet and that whoever polled is woken when
    /// there is one: to poll again would find nothing. Default: no, it is polled again to find that out.
    fn rests(&self) -> bool {
        false
    }

    /// Returns how many bytes will come in all, where that is known.
    fn len_bytes(&self) -> Option<u64> {
        None
    }

    /// Says whether the connection's shard may poll it, wherever its handler ran. Default: no, it is polled
    /// where the handler ran, which may be a place with a runtime that it needs.
    fn travels(&self) -> bool {
        false
    }

    /// Says whether the body has no end of its own, so that a peer that sends FIN has gone and waits for
    /// nothing. Default: no, what a half-closed peer asked for is still answered.
    fn ends_with_peer(&self) -> bool {
        false
    }

    /// Is told, again and again, that the server ends: a body without an end of its own shall come to one.
    /// Default: does nothing.
    fn end_soon(self: Pin<&mut Self>) {}

    /// Is offered a shorter way for what comes while it [rests](Self::rests): for bodies of this crate.
    #[doc(hidden)]
    fn offer(self: Pin<&mut Self>, _offer: &mut Offer) {}

    /// Is told when something went that way last.
    #[doc(hidden)]
    fn passed(self: Pin<&mut Self>, _at: Instant) {}
}

/// What a peer is sent of an event.
pub(crate) struct Piece {
    /// In the form in which they are sent.
    pub(crate) bytes: Bytes,
    /// How many of them are the event's.
    pub(crate) payload_bytes: usize,
}

/// Makes that of what was put into an outlet; `None` for what is of another kind.
pub(crate) type Unpack = fn(&Parcel) -> Option<Piece>;

/// How a connection sends an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As a chunk of HTTP/1.1.
    Chunk,
    /// As a frame of a WebSocket.
    #[cfg(feature = "ws")]
    Frame,
    /// As a compressed one, where there is one.
    #[cfg(feature = "ws")]
    DeflatedFrame,
}

/// An outlet that a stream may have its events put into while it rests, past being asked for them: for
/// streams of this crate.
#[derive(Debug)]
pub struct Offer {
    pub(crate) outlet: OutletKey,
    #[cfg_attr(not(feature = "ws"), expect(dead_code, reason = "only a WebSocket has several"))]
    pub(crate) form: Form,
    pub(crate) answer: Answer,
}

/// What a stream made of an offer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    /// It has to be asked for everything.
    Never,
    /// Not at the moment.
    Later,
    /// Its events come by the outlet and are sent as this makes them.
    Accepted(Unpack),
}

/// The content of a request or a response.
///
/// ```
/// use windlass::Body;
/// let whole = Body::from("hello");
/// assert_eq!(whole.len(), Some(5));
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
    Trailed(Box<Trailed>),
}

impl Body {
    /// Makes a body without content.
    pub const fn empty() -> Self {
        Self(Kind::Empty)
    }

    /// Makes a body that is fed through the returned sender.
    ///
    /// The sender may run ahead by `window_bytes`, then [`BodySender::send`] waits. Dropping the sender
    /// without [`BodySender::finish`] ends the body with [`BodyError::Aborted`].
    pub fn channel(window_bytes: usize) -> (BodySender, Self) {
        let (sender, receiver) = channel::channel(window_bytes, None);
        (sender, Self(Kind::Channel(receiver)))
    }

    /// Like [`channel`](Self::channel), for a body whose length is known beforehand.
    pub fn channel_with_len(window_bytes: usize, len_bytes: u64) -> (BodySender, Self) {
        let (sender, receiver) = channel::channel(window_bytes, Some(len_bytes));
        (sender, Self(Kind::Channel(receiver)))
    }

    /// Makes a body that is polled out of `source`, where the handler ran.
    pub fn source(source: impl Source + 'static) -> Self {
        Self(Kind::Source(Box::pin(source)))
    }

    /// Puts trailers behind the content, in place of any it has.
    ///
    /// They go out as HTTP/2 trailers, and behind the chunks of HTTP/1.1; HTTP/1.0 has none, nor has the
    /// answer to HEAD, and they are left out. So are those that would change the message itself, such as
    /// `content-length` (RFC 9110 §6.5.1). A client may ignore trailers unless it sent `TE: trailers`: what
    /// it must know belongs in a header.
    ///
    /// ```
    /// use windlass::{Body, Response, http::HeaderMap};
    /// let trailers = HeaderMap::from_iter([("x-checksum".parse()?, "6f5902ac".parse()?)]);
    /// let response = Response::new().with_body(Body::from("content").with_trailers(trailers));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_trailers(self, trailers: HeaderMap) -> Self {
        Self(Kind::Trailed(Box::new(Trailed::new(self, trailers))))
    }

    /// Returns the bytes still to come, where that is known.
    pub fn len(&self) -> Option<u64> {
        match &self.0 {
            Kind::Empty => Some(0),
            Kind::Full(bytes) => Some(bytes.len() as u64),
            Kind::Channel(receiver) => receiver.len_bytes(),
            Kind::Source(source) => source.len_bytes(),
            // On HTTP/1.1 a length would leave no place for trailers.
            Kind::Trailed(_) => None,
        }
    }

    /// Says whether the body is known to have no bytes left.
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// Waits for the next bytes; `None` at the end. Trailers are kept for [`trailers`](Self::trailers).
    ///
    /// # Errors
    ///
    /// The peer or the producer ended the body early.
    ///
    /// # Cancel safety
    ///
    /// No bytes are lost when the future is dropped.
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

    /// Waits for the next piece, trailers included.
    ///
    /// # Errors
    ///
    /// The peer or the producer ended the body early.
    ///
    /// # Cancel safety
    ///
    /// No bytes are lost when the future is dropped.
    pub async fn frame(&mut self) -> Option<Result<Frame, BodyError>> {
        poll_fn(|cx| self.poll_frame(cx)).await
    }

    /// Collects the whole body.
    ///
    /// # Errors
    ///
    /// [`BodyError::TooLarge`] above `limit_bytes`; otherwise as [`next`](Self::next).
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

    /// Waits for the trailers, skipping bytes that were not read. `None`: the peer sent none.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    pub async fn trailers(&mut self) -> Result<Option<HeaderMap>, BodyError> {
        while let Some(frame) = self.frame().await.transpose()? {
            if let Frame::Trailers(trailers) = frame {
                return Ok(Some(trailers));
            }
        }
        Ok(None)
    }

    /// Polls for the next piece.
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
            Kind::Trailed(trailed) => trailed.poll_frame(cx),
        }
    }

    /// Returns the content if it is there as a whole.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match &self.0 {
            Kind::Empty => Some(&[]),
            Kind::Full(bytes) => Some(bytes),
            Kind::Trailed(trailed) => trailed.content().as_bytes(),
            Kind::Channel(_) | Kind::Source(_) => None,
        }
    }

    /// Takes the content if it is there as a whole; else gives the body back.
    pub(crate) fn into_whole(self) -> Result<Bytes, Self> {
        match self.0 {
            Kind::Empty => Ok(Bytes::new()),
            Kind::Full(bytes) => Ok(bytes),
            Kind::Channel(_) | Kind::Source(_) | Kind::Trailed(_) => Err(self),
        }
    }

    /// Says whether a peer that sends FIN does not wait for the rest.
    pub(crate) fn ends_with_peer(&self) -> bool {
        match &self.0 {
            Kind::Source(source) => source.ends_with_peer(),
            Kind::Channel(receiver) => receiver.ends_with_peer,
            Kind::Trailed(trailed) => trailed.content().ends_with_peer(),
            Kind::Empty | Kind::Full(_) => false,
        }
    }

    /// Puts a channel in this body's place and returns its sender and the body, which is to be moved into it.
    pub(crate) fn detach(&mut self, window_bytes: usize) -> (BodySender, Self) {
        let body = std::mem::take(self);
        let (sender, mut receiver) = channel::channel(window_bytes, body.len());
        receiver.ends_with_peer = body.ends_with_peer();
        self.0 = Kind::Channel(receiver);
        (sender, body)
    }

    /// Says, right behind a piece, that polling again would find nothing yet: see [`Source::rests`].
    pub(crate) fn rests(&self) -> bool {
        match &self.0 {
            Kind::Source(source) => source.rests(),
            Kind::Empty | Kind::Full(_) | Kind::Channel(_) | Kind::Trailed(_) => false,
        }
    }

    /// Says that the server ends.
    pub(crate) fn end_soon(&mut self) {
        if let Kind::Source(source) = &mut self.0 {
            source.as_mut().end_soon();
        }
    }

    /// Offers it a shorter way for what comes while it rests.
    pub(crate) fn offer(&mut self, offer: &mut Offer) {
        if let Kind::Source(source) = &mut self.0 {
            source.as_mut().offer(offer);
        }
    }

    /// Tells it when something went that way last.
    pub(crate) fn passed(&mut self, at: Instant) {
        if let Kind::Source(source) = &mut self.0 {
            source.as_mut().passed(at);
        }
    }

    /// Says whether the body has to be polled where its handler ran.
    pub(crate) fn is_source(&self) -> bool {
        match &self.0 {
            Kind::Source(source) => !source.travels(),
            Kind::Trailed(trailed) => trailed.content().is_source(),
            Kind::Empty | Kind::Full(_) | Kind::Channel(_) => false,
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.0 {
            Kind::Empty => "empty",
            Kind::Full(_) => "whole",
            Kind::Channel(_) => "channel",
            Kind::Source(_) => "source",
            Kind::Trailed(_) => "trailed",
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

/// Why a body ended early.
#[derive(Debug)]
#[non_exhaustive]
pub enum BodyError {
    /// The other side went away before the end.
    Aborted,
    /// The peer sent bytes that are not a valid body, or too slowly; the text says which.
    Peer(&'static str),
    /// More bytes than the limit given.
    TooLarge,
    /// The producer failed.
    Producer(BoxError),
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aborted => f.write_str("the other side ended the body before it was complete"),
            Self::Peer(why) => write!(f, "the peer's body is at fault: {why}"),
            Self::TooLarge => f.write_str("the body is larger than the limit"),
            Self::Producer(error) => write!(f, "the body's producer failed: {error}"),
        }
    }
}

impl StdError for BodyError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Producer(error) => Some(error.as_ref()),
            _ => None,
        }
    }
}
