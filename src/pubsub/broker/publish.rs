//! Publishing: to the store, and from there to the subscribers.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::StatusCode;
use windlass_actors::fanout::{DeliveryReport, Receipt};

use super::{
    Shared,
    entry::Entry,
    event::{Form, Stamped},
};
use crate::{
    replay::{self, Append, Appended, Durability, ErrorKind, Position, StoreError, StoreFuture},
    response::{Response, plain},
};

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
        let busy =
            |text| plain(StatusCode::SERVICE_UNAVAILABLE, text).with_header(http::header::RETRY_AFTER, "1");
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
    position: Option<Position>,
    /// Without one the topic was closed meanwhile, and nobody has opened it anew.
    receipt: Option<Receipt<Stamped>>,
}

impl Published {
    /// Returns the event's position. `None`: the store failed, and the topic promises nothing of it; whoever was there has
    /// the event, nobody can ask for it later.
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    /// Returns how many subscribers the topic had.
    pub fn subscribers(&self) -> usize {
        self.receipt.as_ref().map_or(0, Receipt::subscribers)
    }

    /// Waits until every shard has handed the event out, for `timeout` at most, and tells what became of it.
    pub async fn delivered(&self, timeout: Duration) -> DeliveryReport {
        match &self.receipt {
            Some(receipt) => receipt.delivery_report(timeout).await,
            None => DeliveryReport::default(),
        }
    }
}

/// An event on its way: a future that gives its position. Dropping it changes nothing.
#[must_use = "it tells whether the event was published; drop it if that does not matter"]
pub struct Publish(State);

enum State {
    Failed(Option<PublishError>),
    Sent(StoreFuture<Result<Published, PublishError>>),
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
pub(super) fn publish(shared: &Arc<Shared>, entry: Arc<Entry>, form: Form) -> Publish {
    let event = form.event();
    let mut append = Append::new(entry.key.clone(), event.data.clone()).durability(entry.policy.durability);
    append.name = event.name.clone();
    let (done, answer) = replay::completion();
    let publishing = Arc::clone(shared);
    let stored = Box::new(move |outcome: Result<Appended, StoreError>| {
        done(Ok(publishing
            .kept(&entry, outcome)
            .map(|position| hand_on(&publishing, &entry, form.stamp(position)))));
    });
    match shared.store.append(append, stored) {
        Ok(()) => Publish(State::Sent(answer)),
        Err(_) => Publish::failed(PublishError::Busy),
    }
}

impl Shared {
    /// Says at which position the store has an event; none where it failed and the topic promises nothing of it.
    fn kept(
        &self,
        entry: &Entry,
        outcome: Result<Appended, StoreError>,
    ) -> Result<Option<Position>, PublishError> {
        let error = match outcome {
            Ok(appended) => return Ok(Some(appended.position)),
            Err(error) => error,
        };
        if error.is_rejection() {
            return Err(PublishError::Store(error));
        }
        self.store_failed(&error);
        if entry.policy.durability == Durability::Fsynced {
            Err(PublishError::Store(error))
        } else {
            Ok(None)
        }
    }
}

/// Gives an event to the topic's subscribers.
fn hand_on(shared: &Shared, entry: &Entry, event: Stamped) -> Published {
    let position = event.position;
    let receipt = publish_on(entry, event.clone()).or_else(|| {
        // Closed meanwhile; who has opened it anew since is owed what comes after that.
        let opened = shared.topics().open.get(&entry.name).cloned()?;
        publish_on(&opened, event)
    });
    Published { position, receipt }
}

fn publish_on(entry: &Entry, event: Stamped) -> Option<Receipt<Stamped>> {
    match event.position {
        Some(position) => {
            entry.note(position);
            entry.topic.publish_with_seq(position.seq(), event).ok()
        }
        None => entry.topic.publish_unnumbered(event).ok(),
    }
}
