//! Publishing: to the store, and from there to the subscribers.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::StatusCode;
use windlass_actors::fanout::{Delivered, Payload, Ticket};

use super::{Shared, entry::Entry};
use crate::{
    proto::sse,
    replay::{self, Answer, Append, Appended, ErrorKind, Position, StoreError},
    response::{Response, plain},
};

/// Something to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    name: Option<Bytes>,
    data: Bytes,
}

impl Event {
    /// Makes an event without a name. Line breaks in its data reach clients as LF.
    pub fn new(data: impl Into<Bytes>) -> Self {
        Self { name: None, data: data.into() }
    }

    /// Names the event: clients tell events apart by it.
    ///
    /// # Errors
    ///
    /// The name has a line break or a NUL.
    pub fn named(self, name: impl Into<Bytes>) -> Result<Self, sse::BadText> {
        let name = name.into();
        sse::check(&name)?;
        Ok(Self { name: Some(name), ..self })
    }
}

/// An event as all its subscribers get it: encoded once, shared by them.
#[derive(Clone, Debug)]
pub struct PreparedEvent {
    position: Position,
    name: Option<Bytes>,
    data: Bytes,
    sse: Bytes,
}

impl PreparedEvent {
    pub(super) fn new(position: Position, name: Option<Bytes>, data: Bytes) -> Self {
        let mut encoded = Vec::with_capacity(data.len() + name.as_ref().map_or(0, Bytes::len) + sse::ROOM);
        sse::event(&mut encoded, Some(&position), name.as_deref(), &data);
        Self { position, name, data, sse: encoded.into() }
    }

    /// Returns the event's position.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Returns the event's name.
    pub fn name(&self) -> Option<&Bytes> {
        self.name.as_ref()
    }

    /// Returns what was published.
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// Returns the event as a server-sent event.
    pub fn bytes(&self) -> &Bytes {
        &self.sse
    }

    /// Returns the length of [`bytes`](Self::bytes).
    pub fn len(&self) -> usize {
        self.sse.len()
    }

    /// Says whether there are no bytes; there always are.
    pub fn is_empty(&self) -> bool {
        self.sse.is_empty()
    }
}

impl Payload for PreparedEvent {
    fn weight(&self) -> usize {
        self.sse.len()
    }
}

/// Why an event was not published.
#[derive(Debug)]
#[non_exhaustive]
pub enum PublishError {
    /// The broker was given to no server, or that one has not started.
    NotStarted,
    /// There are as many topics as the settings allow, each with subscribers.
    TooManyTopics,
    /// The store has no room for it now: try again soon.
    Busy,
    /// The server ends.
    Closed,
    /// The store failed, or will not have it.
    Store(StoreError),
}

impl PublishError {
    /// Makes the answer to the request that asked for it.
    pub(crate) fn to_response(&self) -> Response {
        let busy = |text| plain(StatusCode::SERVICE_UNAVAILABLE, text).with_header(http::header::RETRY_AFTER, "1");
        match self {
            Self::NotStarted => busy("The server is starting.\n"),
            Self::TooManyTopics => plain(StatusCode::INSUFFICIENT_STORAGE, "There are too many topics.\n"),
            Self::Busy | Self::Closed => busy("The topic is busy.\n"),
            Self::Store(error) if error.kind() == ErrorKind::TooLarge => {
                plain(StatusCode::PAYLOAD_TOO_LARGE, "The event is larger than the store takes.\n")
            }
            Self::Store(error) if error.kind() == ErrorKind::TooManyTopics => {
                plain(StatusCode::INSUFFICIENT_STORAGE, "There are too many topics.\n")
            }
            Self::Store(error)
                if matches!(error.kind(), ErrorKind::Full | ErrorKind::Unavailable | ErrorKind::Closed) =>
            {
                busy("The event cannot be stored now.\n")
            }
            Self::Store(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "The event could not be stored.\n"),
        }
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted => f.write_str("the broker's server has not started"),
            Self::TooManyTopics => f.write_str("there are too many topics with subscribers"),
            Self::Busy => f.write_str("the store has no room for the event now"),
            Self::Closed => f.write_str("the server ends"),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for PublishError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        if let Self::Store(error) = self { Some(error) } else { None }
    }
}

/// An event that was published.
#[derive(Debug)]
pub struct Published {
    position: Position,
    /// Without one the topic was closed meanwhile, and nobody has opened it anew.
    ticket: Option<Ticket<PreparedEvent>>,
}

impl Published {
    /// Returns the event's position.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Returns how many subscribers the topic had.
    pub fn subscribers(&self) -> usize {
        self.ticket.as_ref().map_or(0, Ticket::subscribers)
    }

    /// Waits until every shard has handed the event out, for `timeout` at most, and tells what became of it.
    pub async fn delivered(&self, timeout: Duration) -> Delivered {
        match &self.ticket {
            Some(ticket) => ticket.delivered(timeout).await,
            None => Delivered::default(),
        }
    }
}

/// An event on its way: a future that gives its position. Dropping it changes nothing.
#[must_use = "it tells whether the event was published; drop it if that does not matter"]
pub struct Publish(State);

enum State {
    Failed(Option<PublishError>),
    Sent(Answer<Result<Published, PublishError>>),
}

impl Publish {
    pub(super) fn failed(error: PublishError) -> Self {
        Self(State::Failed(Some(error)))
    }
}

impl Future for Publish {
    type Output = Result<Published, PublishError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match &mut self.0 {
            State::Failed(error) => Err(error.take().unwrap_or(PublishError::Closed)),
            State::Sent(answer) => ready!(Pin::new(answer).poll(cx)).map_err(PublishError::Store).flatten(),
        })
    }
}

/// Appends an event to the store, which hands it on in its order.
pub(super) fn publish(shared: &Arc<Shared>, entry: Arc<Entry>, event: Event) -> Publish {
    let Event { name, data } = event;
    let mut append = Append::new(entry.key.clone(), data.clone()).durability(entry.policy.durability);
    append.name = name.clone();
    let (done, answer) = replay::pair();
    let handing = Arc::clone(shared);
    let stored = Box::new(move |outcome: Result<Appended, StoreError>| {
        let stored = outcome.map_err(PublishError::Store);
        done(Ok(stored.map(|appended| hand_on(&handing, &entry, PreparedEvent::new(appended.position, name, data)))));
    });
    match shared.store.append(append, stored) {
        Ok(()) => Publish(State::Sent(answer)),
        Err(_) => Publish::failed(PublishError::Busy),
    }
}

/// Gives a stored event to the topic's subscribers.
fn hand_on(shared: &Shared, entry: &Entry, event: PreparedEvent) -> Published {
    let position = event.position;
    entry.note(position);
    let publish = |entry: &Entry, event| entry.topic.publish_as(position.seq(), event).ok();
    let ticket = publish(entry, event.clone()).or_else(|| {
        // Closed meanwhile; who has opened it anew since is owed what comes after that.
        let opened = shared.topics().open.get(&entry.name).cloned()?;
        opened.note(position);
        publish(&opened, event)
    });
    Published { position, ticket }
}
