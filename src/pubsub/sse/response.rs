//! A stream of events as a response.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_core::Stream;
use windlass_actors::sleep;

use crate::{
    body::{Body, BoxError, Frame, Source},
    proto::sse,
    pubsub::{
        event::{Event, PreparedEvent},
        stream,
    },
    response::{IntoResponse, Response},
};

/// Time of silence after which a comment is sent, by default.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// An event stream as the response of an ordinary handler: each item of a stream is an event. Requires the
/// feature `stream`.
///
/// The stream is polled on the thread of the handler, so on an async route it may use tokio. After an error
/// the response ends. When the server drains, the response ends on an inline route, and is cut after the
/// grace on an async route.
///
/// [`event_stream`](crate::event_stream()) also has a queue with an overflow policy, and
/// [`Broker`](crate::broker::Broker) topics with history.
///
/// ```
/// use std::convert::Infallible;
/// use windlass::{Router, TestClient, broker::Event, get, sse::Sse};
///
/// let event = |n: u32| Ok::<_, Infallible>(Event::new(n.to_string()));
/// let ticks = move || Sse::new(tokio_stream::iter((1..=2).map(event)));
/// let client = TestClient::new(Router::new().route(get("/ticks", ticks)))?;
/// assert_eq!(client.get("/ticks").body(), "data: 1\n\ndata: 2\n\n");
/// # Ok::<(), windlass::StartError>(())
/// ```
pub struct Sse<S> {
    events: S,
    heartbeat: Option<Duration>,
}

impl<S> Sse<S> {
    /// Creates the response. It sends a comment after each 15 s of silence, so that proxies keep the
    /// connection.
    pub fn new<E>(events: S) -> Self
    where
        S: Stream<Item = Result<Event, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        Self { events, heartbeat: Some(HEARTBEAT) }
    }

    /// Sets the time of silence after which a comment is sent. `None` and zero send none.
    #[must_use]
    pub fn heartbeat(self, heartbeat: impl Into<Option<Duration>>) -> Self {
        Self { heartbeat: heartbeat.into().filter(|time| !time.is_zero()), ..self }
    }
}

impl<S, E> IntoResponse for Sse<S>
where
    S: Stream<Item = Result<Event, E>> + Send + 'static,
    E: Into<BoxError>,
{
    fn into_response(self) -> Response {
        let Self { events, heartbeat } = self;
        let source = EventSource {
            events: Box::pin(events),
            heartbeat,
            silence: None,
            has_started: false,
            is_draining: false,
        };
        stream::response(Body::source(source))
    }
}

impl<S> fmt::Debug for Sse<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sse").field("heartbeat", &self.heartbeat).finish_non_exhaustive()
    }
}

/// The body: the encoded events, and comments during silence.
struct EventSource<S> {
    events: Pin<Box<S>>,
    heartbeat: Option<Duration>,
    /// The timer of the current silence.
    silence: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// The first output has been returned.
    has_started: bool,
    is_draining: bool,
}

impl<S> EventSource<S> {
    /// Waits for the end of the time of silence. Never ready without a heartbeat.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(heartbeat) = self.heartbeat else { return Poll::Pending };
        let silence = self.silence.get_or_insert_with(|| Box::pin(sleep(heartbeat)));
        silence.as_mut().poll(cx)
    }
}

impl<S, E> Source for EventSource<S>
where
    S: Stream<Item = Result<Event, E>> + Send,
    E: Into<BoxError>,
{
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BoxError>>> {
        let this = &mut *self;
        if this.is_draining {
            return Poll::Ready(None);
        }
        let is_first = !std::mem::replace(&mut this.has_started, true);
        let comment = || Poll::Ready(Some(Ok(Frame::Data(Bytes::from_static(sse::COMMENT)))));
        match this.events.as_mut().poll_next(cx) {
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(Some(Ok(event))) => {
                this.silence = None;
                Poll::Ready(Some(Ok(Frame::Data(PreparedEvent::new(event).bytes().clone()))))
            }
            // A first output at once, so that proxies forward the head.
            Poll::Pending if is_first => comment(),
            Poll::Pending => match this.poll_silence(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(()) => {
                    this.silence = None;
                    comment()
                }
            },
        }
    }

    fn is_endless(&self) -> bool {
        true
    }

    fn drain(mut self: Pin<&mut Self>) {
        self.is_draining = true;
    }
}
