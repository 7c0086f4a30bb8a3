//! The response that carries a handler's event stream.

use std::{future::Future, sync::Arc};

use super::{
    Client, Settings,
    body::{HandlerStream, StartHandler},
    queue::Queue,
    recorder::Recorder,
};
use crate::{
    body::Body,
    pubsub::{
        broker::ClientAddress,
        stream::{self, HeartbeatBody},
    },
    request::Request,
    response::Response,
};

/// Answers a request with an event stream that `handler` writes.
///
/// The server calls the handler on the connection's shard after it has sent the response head, and polls its
/// future there. With a [`Replay`](super::Replay) in the settings, the stored events after the request's
/// `Last-Event-ID` come first.
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
    StreamSetup::new(request, &Arc::new(settings.clone())).respond(handler)
}

/// The parts of a new stream that depend on its request.
pub(super) struct StreamSetup {
    queue: Arc<Queue>,
    recorder: Option<Arc<Recorder>>,
    last_event_id: Option<Vec<u8>>,
    address: ClientAddress,
}

impl StreamSetup {
    pub(super) fn new(request: &Request, settings: &Arc<Settings>) -> Self {
        let recorder = settings.replay.as_ref().map(|replay| Arc::new(Recorder::new(replay, request)));
        let last_event_id = recorder.as_ref().and_then(|_| stream::last_event_id(request));
        let queue = Queue::new(settings.clone(), request.counters());
        Self { queue, recorder, last_event_id, address: ClientAddress::of(request) }
    }

    /// Creates the response. Its body starts the handler.
    pub(super) fn respond<F, Fut>(self, handler: F) -> Response
    where
        F: FnOnce(Client) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        let Self { queue, recorder, last_event_id, address } = self;
        let client = Client::new(queue.clone(), recorder.clone(), address);
        let start: StartHandler = Box::new(move |client| Box::pin(handler(client)));
        let heartbeat = queue.settings.heartbeat;
        let events = HandlerStream::new(queue, recorder, last_event_id.as_deref(), client, start);
        stream::response(Body::source(HeartbeatBody::new(events, heartbeat)))
    }
}
