//! The server: configured with a builder, started, and drained.
//!
//! This module puts everything together, so it knows all other modules. It must not know the wire format of a
//! protocol, except in the test client, which reads responses.

mod actors;
mod builder;
mod countdown;
mod drain;
mod drain_report;
mod engine;
mod engine_kind;
mod error;
#[cfg(test)]
mod failing;
mod fanout;
#[cfg(test)]
mod full_inbox;
mod listener;
mod listening;
mod live;
mod operations;
mod pool;
mod running;
mod shard;
mod start;
#[cfg(feature = "signal")]
mod stop_signal;
mod stuck;
mod test_client;
#[cfg(feature = "tls")]
mod tls;

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use windlass_actors::{Addr, Pool, ShardSender, System};

#[cfg(feature = "ws")]
use crate::pubsub::hub::Hub;
use crate::{
    conn::Msg,
    metrics::{Collector, Metrics, Snapshot},
    net::{Bound, Listen},
    pubsub::broker::Broker,
    routing::router::{RouteRegistry, RouterHandle, RouterMsg, SHARED_ROUTER},
};

pub use builder::Builder;
pub use drain_report::DrainReport;
pub use engine_kind::EngineKind;
pub use error::StartError;
pub use listener::Listener;
pub use operations::Operations;
pub use pool::PoolSettings;
#[cfg(feature = "signal")]
pub use stop_signal::StopSignal;
#[cfg(feature = "ws")]
pub use test_client::TestSocket;
pub use test_client::{TestClient, TestConnection, TestEnd, TestStream};

/// A running server.
///
/// Dropping it is a [`drain`](Self::drain) without grace: connections are reset. The drop blocks for about 3
/// s at most, and must not happen on a shard's thread.
pub struct Server {
    metrics: Arc<Metrics>,
    system: System,
    inboxes: Vec<ShardSender<Msg>>,
    routes: Arc<RouteRegistry>,
    router: Addr<RouterMsg>,
    /// Index of each listener's router.
    listener_routers: Vec<usize>,
    bound: Mutex<Vec<Bound>>,
    /// Grace of a drain that is given none.
    grace: Duration,
    /// Time from the end of readiness to the start of a drain.
    drain_delay: Duration,
    /// Longest time for which a drain keeps idle connections and event streams open.
    drain_idle: Duration,
    /// The wait for `drain_delay`.
    delay: countdown::Delay,
    /// The report of the drain, once it is complete.
    drained: Mutex<Option<DrainReport>>,
    broker: Option<Broker>,
    stuck: Mutex<Option<stuck::Monitor>>,
    #[cfg(feature = "ws")]
    hubs: Vec<Hub>,
    /// Certificates of the listeners, each once.
    #[cfg(feature = "tls")]
    certificates: Vec<crate::tls::Tls>,
}

impl Server {
    /// Returns a builder with the default settings.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Returns the addresses that the server listens on, in the order of the builder's calls. Port 0 is
    /// replaced by the selected port.
    pub fn addresses(&self) -> Vec<Listen> {
        let bound = self.bound.lock().unwrap_or_else(PoisonError::into_inner);
        bound.iter().map(|bound| bound.address().clone()).collect()
    }

    /// Returns the first TCP address that the server listens on; `None` if there is none.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        self.addresses().into_iter().find_map(|listen| match listen {
            Listen::Tcp(address) => Some(address),
            Listen::Unix(_) | Listen::Abstract(_) => None,
        })
    }

    /// Returns a handle to change the routes of [`Builder::router`] while the server runs.
    pub fn routes(&self) -> RouterHandle {
        RouterHandle::new(self.router.clone(), SHARED_ROUTER)
    }

    /// Returns a handle to change the routes of a listener while the server runs. `listener` is its place in
    /// the order of the builder's calls, from 0 on. Returns `None` if there is no such listener.
    ///
    /// For a listener without routes of its own these are the routes of [`Builder::router`], which other
    /// listeners serve too.
    pub fn listener_routes(&self, listener: usize) -> Option<RouterHandle> {
        let router = self.listener_routers.get(listener)?;
        Some(RouterHandle::new(self.router.clone(), *router))
    }

    /// Returns the actor system, to spawn actors on the server's shards.
    pub fn system(&self) -> &System {
        &self.system
    }

    /// Returns the pool, or `None` if the server has had no async route yet.
    pub fn pool(&self) -> Option<&Pool> {
        self.routes.pool()
    }

    /// Returns the current values of the metrics.
    pub fn metrics(&self) -> Snapshot {
        self.metrics.snapshot()
    }

    /// Returns a collector for the program's own `prometheus::Registry`.
    pub fn collector(&self) -> Collector {
        Collector::new(self.metrics.clone())
    }

    /// Returns `true` if the server accepts new work: it has started and is not draining.
    pub fn is_ready(&self) -> bool {
        self.metrics.is_ready()
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("addresses", &self.addresses()).finish_non_exhaustive()
    }
}
