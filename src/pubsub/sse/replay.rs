//! The replay setting of an event stream.

use std::{fmt, sync::Arc};

use bytes::Bytes;

use crate::{
    replay::{Durability, ReplayStore},
    request::Request,
};

type NameOf = dyn Fn(&Request) -> Bytes + Send + Sync;

/// The store of an event stream, and the name of its history.
///
/// A client that reconnects with an event id first receives the events stored after it. Then the handler
/// runs. Every event that the handler sends is appended to the store. It leaves with its position as id, in
/// the store's order.
#[derive(Clone)]
pub struct Replay {
    pub(super) store: Arc<dyn ReplayStore>,
    pub(super) name_of: Arc<NameOf>,
    pub(super) durability: Durability,
}

impl Replay {
    /// Stores events in `store`. `name_of` returns the name of a request's history. Requests with the same
    /// name share one history.
    pub fn new<N: Into<Bytes>>(
        store: Arc<dyn ReplayStore>,
        name_of: impl Fn(&Request) -> N + Send + Sync + 'static,
    ) -> Self {
        Self {
            store,
            name_of: Arc::new(move |request| name_of(request).into()),
            durability: Durability::None,
        }
    }

    /// Sets the required durability of an event before it is sent and `send` returns. Default
    /// [`Durability::None`].
    #[must_use]
    pub fn durability(self, durability: Durability) -> Self {
        Self { durability, ..self }
    }
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay").field("durability", &self.durability).finish_non_exhaustive()
    }
}
