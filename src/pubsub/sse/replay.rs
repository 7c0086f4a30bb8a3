//! History of a handler's own stream: every event goes through a store.

use std::{fmt, sync::Arc};

use bytes::Bytes;

use super::{
    Closed,
    queue::{Place, Queue},
};
use crate::{
    pubsub::broker::{Form, From, History, ServerSent},
    replay::{self, Append, Appended, Durability, ReplayStore, StoreError},
    request::Request,
};

type Name = dyn Fn(&Request) -> Bytes + Send + Sync;

/// Where a handler's events are kept, and under which name.
///
/// A client that comes back with an id is given what was stored under the name after it, then the handler runs. Each of its
/// sends is appended once, and leaves with the id it got, in the store's order.
#[derive(Clone)]
pub struct Replay {
    store: Arc<dyn ReplayStore>,
    name: Arc<Name>,
    durability: Durability,
}

impl Replay {
    /// Keeps events in `store`, under the name that `name` finds for a request: clients with one name share a history.
    pub fn new<N: Into<Bytes>>(
        store: Arc<dyn ReplayStore>,
        name: impl Fn(&Request) -> N + Send + Sync + 'static,
    ) -> Self {
        Self { store, name: Arc::new(move |request| name(request).into()), durability: Durability::None }
    }

    /// Says how safe an event is before it leaves and its send returns. Default [`Durability::None`].
    #[must_use]
    pub fn durability(self, durability: Durability) -> Self {
        Self { durability, ..self }
    }

    /// Makes what keeps the events of one client.
    pub(super) fn keeper(&self, request: &Request) -> Keeper {
        Keeper { store: self.store.clone(), name: (self.name)(request), durability: self.durability }
    }
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay").field("durability", &self.durability).finish_non_exhaustive()
    }
}

/// Why an event was not sent.
#[derive(Debug)]
#[non_exhaustive]
pub enum SendError {
    /// The stream is closed.
    Closed,
    /// The store will not have the event, or failed to make it as safe as was asked for: it was not sent.
    Store(StoreError),
}

impl std::convert::From<Closed> for SendError {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => Closed.fmt(f),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        if let Self::Store(error) = self { Some(error) } else { None }
    }
}

/// Keeps the events of one client.
pub(super) struct Keeper {
    store: Arc<dyn ReplayStore>,
    name: Bytes,
    durability: Durability,
}

impl Keeper {
    /// Begins to read what a client missed.
    pub(super) fn history(&self, from: From) -> Option<History<ServerSent>> {
        match from {
            From::Store(start) => Some(History::new(self.store.clone(), self.name.clone(), start)),
            From::Unknown => None,
        }
    }

    /// Appends an event; it leaves, if it has a place, when the store has it.
    pub(super) async fn keep(
        &self,
        queue: &Arc<Queue>,
        place: Option<Place>,
        form: Form,
    ) -> Result<(), SendError> {
        let event = form.event();
        let mut append = Append::new(self.name.clone(), event.data().clone()).durability(self.durability);
        append.name = event.name().cloned();
        let (done, answer) = replay::completion();
        let (leaving, durability) = (Leaving { queue: queue.clone(), place, form }, self.durability);
        let mut stored: replay::Completion<Appended> =
            Box::new(move |outcome| done(Ok(leaving.stored(outcome, durability))));
        while let Err(refused) = self.store.append(append, stored) {
            (append, stored) = (refused.append, refused.done);
            let (ready, readiness) = replay::completion();
            self.store.when_ready(Box::new(move || ready(Ok(()))));
            // A store that dropped it unanswered is closing: the next append is told so.
            drop(readiness.await);
        }
        answer.await.map_err(SendError::Store)?
    }
}

/// An event on its way through the store.
struct Leaving {
    queue: Arc<Queue>,
    place: Option<Place>,
    form: Form,
}

impl Leaving {
    /// Queues the event, in the store's order.
    fn stored(self, outcome: Result<Appended, StoreError>, durability: Durability) -> Result<(), SendError> {
        let Self { queue, place, form } = self;
        let position = match outcome {
            Ok(appended) => Some(appended.position),
            Err(error) => {
                if !error.is_rejection() {
                    queue.store_failed(&error);
                }
                if error.is_rejection() || durability == Durability::Fsynced {
                    return Err(SendError::Store(error));
                }
                None
            }
        };
        match (place, position) {
            (Some(place), position) => place.fill(form.encode(position)),
            (None, Some(position)) => queue.lose(position),
            (None, None) => {}
        }
        Ok(())
    }
}
