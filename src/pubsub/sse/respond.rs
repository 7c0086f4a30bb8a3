//! The answer that is a handler's stream.

use std::{future::Future, net::SocketAddr, pin::Pin, sync::Arc};

use super::{Client, Settings, body::HandlerStream, queue::Queue, replay::Keeper};
use crate::{
    body::Body,
    pubsub::broker::{Lively, event_stream, last_event_id},
    request::Request,
    response::Response,
};

/// A handler's future.
pub(super) type Running = Pin<Box<dyn Future<Output = ()>>>;

/// Starts a handler where its connection lives.
pub(super) type Start = Box<dyn FnOnce(Client) -> Running + Send>;

/// Answers a request with an event stream that `handler` feeds.
///
/// The handler is called, and its future polled, on the connection's shard, once this answer's head is written: with what
/// `request` asks for by `Last-Event-ID` before it, where the settings have a [`Replay`](super::Replay).
///
/// ```
/// use windlass::{Request, Response, broker::Event, get, sse};
/// let route = get("/rooms/{room}", |request: Request| -> Response {
///     let room = request.param("room").unwrap_or_default().into_owned();
///     sse::respond(&request, &sse::Settings::new(), move |client: sse::Client| async move {
///         let _ = client.send(Event::new(format!("welcome to {room}"))).await;
///     })
/// });
/// ```
pub fn respond<F, Fut>(request: &Request, settings: &Settings, handler: F) -> Response
where
    F: FnOnce(Client) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    Opening::new(request, &Arc::new(settings.clone())).answer(handler)
}

/// A stream that is about to begin: what it takes from its request.
pub(crate) struct Opening {
    queue: Arc<Queue>,
    keeper: Option<Arc<Keeper>>,
    last: Option<Vec<u8>>,
    peer: Option<SocketAddr>,
}

impl Opening {
    pub(crate) fn new(request: &Request, settings: &Arc<Settings>) -> Self {
        let keeper = settings.replay.as_ref().map(|replay| Arc::new(replay.keeper(request)));
        let last = keeper.as_ref().and_then(|_| last_event_id(request));
        Self { queue: Queue::new(settings.clone(), request.counters()), keeper, last, peer: request.peer() }
    }

    /// Makes the answer that starts the handler.
    pub(crate) fn answer<F, Fut>(self, handler: F) -> Response
    where
        F: FnOnce(Client) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        let Self { queue, keeper, last, peer } = self;
        let client = Client::new(queue.clone(), keeper.clone(), peer);
        let start: Start = Box::new(move |client| Box::pin(handler(client)));
        let heartbeat = queue.settings.heartbeat;
        let stream = HandlerStream::new(queue, keeper, last.as_deref(), client, start);
        event_stream(Body::source(Lively::new(stream, heartbeat)))
    }
}
