//! A topic over a WebSocket: its events as text messages, and messages of the client as events.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderValue, Method};

use super::{Guarded, TopicUse, may};
use crate::{
    body::Offer,
    pubsub::broker::{Broker, Event, PublishError, Stream, Text, TopicName, last_event_id, text_frame},
    replay::ErrorKind,
    request::Request,
    response::Response,
    ws::{self, Code, Delivery, Message, Origins, Prepared, Settings, Socket},
};

/// Says whether a request opens a WebSocket, over HTTP/1.1 or HTTP/2.
pub(super) fn is_wanted(request: &Request) -> bool {
    let upgrades = |value: &str| value.split(',').any(|token| token.trim().eq_ignore_ascii_case("websocket"));
    *request.method() == Method::CONNECT || request.header("upgrade").is_some_and(upgrades)
}

/// Which pages may connect: those that may use the topics otherwise.
pub(super) fn origins(cors_origin: Option<&HeaderValue>) -> Origins {
    match cors_origin.and_then(|origin| origin.to_str().ok()) {
        None => Origins::Same,
        Some("*") => Origins::Any,
        Some(origin) => Origins::SameOr(vec![origin.to_owned()]),
    }
}

/// Answers a request that opens a WebSocket to a topic, which it may follow.
pub(super) fn join(guarded: &Arc<Guarded>, request: &Request, topic: TopicName) -> Response {
    let last = last_event_id(request);
    let stream = match guarded.broker.events::<Text>(&topic, last.as_deref(), request.peer()) {
        Ok(stream) => stream,
        Err(error) => return error.to_response(),
    };
    let publisher = may_publish(guarded, request, &topic).then(|| guarded.broker.clone());
    let settings = Settings::new().origins(origins(guarded.access.cors_origin.as_ref()));
    ws::upgrade(request, &settings, move |socket| follow(socket, stream, topic, publisher))
}

/// Says whether what the client sends is published: if that is wanted at all, and the client may.
fn may_publish(guarded: &Guarded, request: &Request, topic: &TopicName) -> bool {
    let token = guarded.access.publish_token.as_deref();
    guarded.access.ws_publish
        && (may(request, token, None) || may(request, token, Some("publish_token")))
        && guarded.checks(request, TopicUse::Publish(topic)).is_ok()
}

/// Gives a client the events, and publishes what it sends. Reading pauses while an event is on its way to the store.
async fn follow(mut socket: Socket, stream: Stream<Text>, topic: TopicName, publisher: Option<Broker>) {
    socket.attach(Follower(stream));
    while let Some(Ok(message)) = socket.recv().await {
        let ended = match (&publisher, message) {
            (None, _) => Some((Code::POLICY, "publishing is not allowed here")),
            (Some(_), Message::Binary(_)) => Some((Code::UNSUPPORTED, "an event is a text")),
            (Some(broker), Message::Text(text)) => {
                broker.publish(&topic, Event::new(text)).await.err().map(|error| refusal(&error))
            }
        };
        if let Some((code, reason)) = ended {
            // One that is closing already needs no other word.
            let _ = socket.close(code, reason);
            return;
        }
    }
}

fn refusal(error: &PublishError) -> (Code, &'static str) {
    match error {
        PublishError::Store(error) if error.kind() == ErrorKind::TooLarge => {
            (Code::TOO_BIG, "the event is too large")
        }
        PublishError::Store(error) if !error.is_rejection() => {
            (Code::INTERNAL, "the event could not be stored")
        }
        _ => (Code::TRY_AGAIN, "the topic is busy"),
    }
}

/// A topic's stream as a source of messages.
struct Follower(Stream<Text>);

impl ws::Source for Follower {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Delivery> {
        self.0.poll_piece(cx).map(|piece| match piece {
            Some(Ok(piece)) => Delivery::Message(Prepared::of(piece)),
            Some(Err(_)) => Delivery::Close(Code::INTERNAL, "the history cannot be read"),
            None if self.0.is_draining() => Delivery::Close(Code::GOING_AWAY, "the server is stopping"),
            None => Delivery::Close(Code::TRY_AGAIN, "too slow, or the topic was closed"),
        })
    }

    fn offer(&mut self, offer: &mut Offer) {
        self.0.accept(offer, text_frame);
    }
}
