//! A topic over a WebSocket: events are text messages, and messages of the client are published.

use std::task::{Context, Poll};

use http::Method;
use windlass_actors::OutletKey;

use super::{TopicAccess, TopicService};
use crate::{
    body::OutletAnswer,
    identity::{Identity, Lease},
    proto::ws::Prepared as Frames,
    pubsub::{
        broker::{Broker, ClientAddress, Event, PublishError, TopicFilter, TopicName, TopicStream},
        event::{EventFormat, JsonText, JsonWithTopic},
        stream::ResumePoint,
    },
    replay::ErrorKind,
    request::Request,
    response::Response,
    ws::{self, Code, Delivery, Message, Prepared, Settings, Socket},
};

/// Returns `true` if a request opens a WebSocket, over HTTP/1.1 or HTTP/2.
pub(super) fn is_handshake(request: &Request) -> bool {
    let upgrades = |value: &str| value.split(',').any(|token| token.trim().eq_ignore_ascii_case("websocket"));
    *request.method() == Method::CONNECT || request.header("upgrade").is_some_and(upgrades)
}

/// Answers a request that opens a WebSocket to a topic. The caller has checked that it may subscribe.
pub(super) fn open(
    service: &TopicService,
    request: &Request,
    identity: Option<&Identity>,
    filter: &TopicFilter,
    resume: Option<ResumePoint>,
) -> Response {
    match filter.topic() {
        Some(_) => open_as::<JsonText>(service, request, identity, filter, resume),
        None => open_as::<JsonWithTopic>(service, request, identity, filter, resume),
    }
}

fn open_as<F: EventFormat<Output = Frames, Shared = Frames> + 'static>(
    service: &TopicService,
    request: &Request,
    identity: Option<&Identity>,
    filter: &TopicFilter,
    resume: Option<ResumePoint>,
) -> Response {
    let events = match service.broker.open_filtered::<F>(filter, resume, ClientAddress::of(request)) {
        Ok(events) => events,
        Err(error) => return error.to_response(),
    };
    // Messages are published to the topic of the socket, so a socket of several topics has none.
    let topic =
        filter.topic().filter(|topic| service.access.may_publish_over_socket(request, identity, topic));
    let publisher = topic.map(|topic| (service.broker.clone(), topic.clone()));
    let settings = settings(&service.access);
    let events = EventSource { events, lease: service.access.lease(request, identity) };
    ws::upgrade(request, &settings, move |socket| run(socket, events, publisher))
}

fn settings(access: &TopicAccess) -> Settings {
    let settings = Settings::new().origins(access.origins.clone());
    // The messages have one format, so the name of a subprotocol does not matter.
    match access.ws_subprotocols.as_slice() {
        [] => settings.any_subprotocol(),
        supported => settings.subprotocols(supported),
    }
}

/// Sends the topic's events, and publishes the client's messages one at a time. Closes the socket after a
/// message that cannot be published.
async fn run<F: EventFormat<Output = Frames, Shared = Frames> + 'static>(
    mut socket: Socket,
    events: EventSource<F>,
    publisher: Option<(Broker, TopicName)>,
) {
    socket.attach(events);
    while let Some(Ok(message)) = socket.recv().await {
        let failure = match (&publisher, message) {
            (None, _) => Some((Code::POLICY, "publishing is not allowed here")),
            (Some(_), Message::Binary(_)) => Some((Code::UNSUPPORTED, "an event must be a text message")),
            (Some((broker, topic)), Message::Text(text)) => {
                broker.publish(topic, Event::new(text)).await.err().map(|error| close_reason(&error))
            }
        };
        if let Some((code, reason)) = failure {
            // The socket may be closing already.
            let _ = socket.close(code, reason);
            return;
        }
    }
}

fn close_reason(error: &PublishError) -> (Code, &'static str) {
    match error {
        PublishError::Store(error) if error.kind() == ErrorKind::TooLarge => {
            (Code::TOO_BIG, "the event is too large")
        }
        PublishError::Store(error) if !error.is_rejection() => {
            (Code::INTERNAL, "the event could not be stored")
        }
        _ => (Code::TRY_AGAIN, "the event was not accepted, try again later"),
    }
}

/// The events of a topic as the message source of a socket.
struct EventSource<F> {
    events: TopicStream<F>,
    /// `None`: the socket is not bound to an identity.
    lease: Option<Lease>,
}

impl<F: EventFormat<Output = Frames, Shared = Frames>> ws::Source for EventSource<F> {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Delivery> {
        if let Some(Poll::Ready(end)) = self.lease.as_mut().map(|lease| lease.poll_end(cx)) {
            return Poll::Ready(Delivery::Close(Code::POLICY, end.close_reason()));
        }
        self.events.poll_next(cx).map(|next| match next {
            Some(Ok(message)) => Delivery::Message(Prepared::of(message)),
            Some(Err(_)) => Delivery::Close(Code::INTERNAL, "the history cannot be read"),
            None if self.events.is_draining() => Delivery::Close(Code::GOING_AWAY, "the server is stopping"),
            None => Delivery::Close(Code::TRY_AGAIN, "the client reads too slowly, or the topic was closed"),
        })
    }

    fn connect(&mut self, outlet: OutletKey) -> OutletAnswer<Frames> {
        self.events.connect(outlet)
    }
}
