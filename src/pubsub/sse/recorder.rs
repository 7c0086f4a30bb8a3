//! The store side of an event stream: appends what the handler sends, and reads what a client missed.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    Replay, SendError,
    queue::{Queue, Reservation},
};
use crate::{
    pubsub::{
        event::{NewEvent, ServerSent},
        stream::{History, ResumePoint},
    },
    replay::{self, Append, Appended, Durability, Filter, ReplayStore, StoreError},
    request::Request,
};

/// The stored history of one client.
pub(super) struct Recorder {
    store: Arc<dyn ReplayStore>,
    name: Bytes,
    durability: Durability,
}

impl Recorder {
    pub(super) fn new(replay: &Replay, request: &Request) -> Self {
        let Replay { store, name_of, durability } = replay;
        Self { store: store.clone(), name: name_of(request), durability: *durability }
    }

    /// Starts to read the events that a client missed. Returns `None` if the client sent an unknown id.
    pub(super) fn history(&self, resume: ResumePoint) -> Option<History<ServerSent>> {
        match resume {
            ResumePoint::Stored(start) => {
                Some(History::new(self.store.clone(), self.name.clone(), Filter::all(), start))
            }
            ResumePoint::Latest(limit) => {
                Some(History::latest(self.store.clone(), self.name.clone(), Filter::all(), limit))
            }
            ResumePoint::UnknownId => None,
        }
    }

    /// Appends an event, and waits until it is stored and queued for the client.
    ///
    /// Without a reservation the event is stored and not queued. Waits while the store's queue is full.
    pub(super) async fn append(
        &self,
        queue: &Arc<Queue>,
        reservation: Option<Reservation>,
        event: NewEvent,
    ) -> Result<(), SendError> {
        let plain = event.event();
        let mut append = Append::new(self.name.clone(), plain.data().clone()).durability(self.durability);
        append.name = plain.name().cloned();
        let (done, answer) = replay::completion();
        let pending = PendingSend { queue: queue.clone(), reservation, event, durability: self.durability };
        let mut stored: replay::Completion<Appended> =
            Box::new(move |outcome| done(Ok(pending.complete(outcome))));
        while let Err(refused) = self.store.append(append, stored) {
            (append, stored) = (refused.append, refused.done);
            let (ready, readiness) = replay::completion();
            self.store.when_ready(Box::new(move || ready(Ok(()))));
            // A closing store drops the callback. The next append then returns the error.
            drop(readiness.await);
        }
        answer.await.map_err(SendError::Store)?
    }
}

/// An event that the store has not acknowledged yet.
struct PendingSend {
    queue: Arc<Queue>,
    reservation: Option<Reservation>,
    event: NewEvent,
    durability: Durability,
}

impl PendingSend {
    /// Queues the event, or drops it if the store did not keep it as required. The store calls this in its
    /// own order.
    fn complete(self, outcome: Result<Appended, StoreError>) -> Result<(), SendError> {
        let Self { queue, reservation, event, durability } = self;
        let position = match outcome {
            Ok(appended) => Some(appended.position),
            Err(error) => {
                if !error.is_rejection() {
                    queue.count_store_error(&error);
                }
                if error.is_rejection() || durability == Durability::Fsynced {
                    return Err(SendError::Store(error));
                }
                None
            }
        };
        match (reservation, position) {
            (Some(reservation), position) => reservation.fill(event.encode(position)),
            (None, Some(position)) => queue.record_dropped(position),
            (None, None) => {}
        }
        Ok(())
    }
}
