//! The settings of a server before it starts.

use std::{fmt, os::fd::OwnedFd, sync::Arc};

use windlass_actors::{Cores, Registry, System, error::ShardFailure};

use super::{
    actors::ActorSetup, engine_kind::EngineKind, listener::Listener, operations::Operations,
    pool::PoolSettings,
};
#[cfg(feature = "ws")]
use crate::pubsub::hub::Hub;
use crate::{
    body::BoxError,
    hooks::Hooks,
    limits::{Limits, Timeouts},
    metrics::LostLogLines,
    net::ListenOptions,
    pubsub::broker::Broker,
    request::TrustedProxies,
    routing::router::{Group, Router},
};

/// Function that is called when a shard has failed.
#[derive(Clone)]
pub(super) struct FailureHook(pub(super) Arc<dyn Fn(&ShardFailure) + Send + Sync>);

impl fmt::Debug for FailureHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FailureHook")
    }
}

/// Configures and starts a [`Server`](crate::Server).
///
/// ```no_run
/// use windlass::{Router, Server, get};
/// let router = Router::new().route(get("/", || "hello"));
/// let server = Server::builder().listen("127.0.0.1:8080").router(router).start()?;
/// println!("serving on {:?}", server.addresses());
/// let report = server.drain(None);
/// println!("{report}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Builder {
    pub(super) listeners: Vec<Listener>,
    pub(super) inherited: Vec<OwnedFd>,
    pub(super) listen_options: ListenOptions,
    pub(super) router: Router,
    pub(super) limits: Limits,
    pub(super) timeouts: Timeouts,
    pub(super) hooks: Hooks,
    pub(super) cores: Cores,
    pub(super) trusted: TrustedProxies,
    pub(super) pool: PoolSettings,
    pub(super) route_metrics: bool,
    pub(super) operations: Operations,
    pub(super) engine: EngineKind,
    pub(super) broker: Option<Broker>,
    pub(super) registry: Registry,
    #[cfg(feature = "ws")]
    pub(super) hubs: Vec<Hub>,
    pub(super) http2: bool,
    pub(super) h2c_upgrade: bool,
    pub(super) lost_log_lines: Option<LostLogLines>,
    pub(super) actors: Vec<ActorSetup>,
    pub(super) on_shard_failure: Option<FailureHook>,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            listeners: Vec::new(),
            inherited: Vec::new(),
            listen_options: ListenOptions::default(),
            router: Router::new(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            hooks: Hooks::default(),
            cores: Cores::default(),
            trusted: TrustedProxies::default(),
            pool: PoolSettings::default(),
            route_metrics: true,
            operations: Operations::default(),
            engine: EngineKind::default(),
            broker: None,
            registry: Registry::new(),
            #[cfg(feature = "ws")]
            hubs: Vec::new(),
            http2: true,
            h2c_upgrade: false,
            lost_log_lines: None,
            actors: Vec::new(),
            on_shard_failure: None,
        }
    }

    /// Adds a listening socket that was created elsewhere, for example by a service manager.
    ///
    /// The server uses it instead of binding the address, which must be one of those to
    /// [listen](Self::listen) on. [`Listen::of`](crate::Listen::of) returns the address of a socket. All
    /// shards accept from the socket. Of the [listen options](Self::listen_options) only
    /// [`no_delay`](ListenOptions::no_delay) and [`send_buffer`](ListenOptions::send_buffer) apply.
    #[must_use]
    pub fn inherit(mut self, socket: impl Into<OwnedFd>) -> Self {
        self.inherited.push(socket.into());
        self
    }

    /// Sets the options of the listening sockets.
    #[must_use]
    pub fn listen_options(self, listen_options: ListenOptions) -> Self {
        Self { listen_options, ..self }
    }

    /// Sets the routes of all listeners that have none of [their own](Listener::router).
    #[must_use]
    pub fn router(self, router: Router) -> Self {
        Self { router, ..self }
    }

    /// Sets the limits on sizes and counts. For time limits see [`timeouts`](Self::timeouts).
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Sets the timeouts.
    #[must_use]
    pub fn timeouts(self, timeouts: Timeouts) -> Self {
        Self { timeouts, ..self }
    }

    /// Sets the lifecycle hooks.
    #[must_use]
    pub fn hooks(self, hooks: Hooks) -> Self {
        Self { hooks, ..self }
    }

    /// Sets the number of shards and their cores. Default: one shard on each core that the process may use.
    #[must_use]
    pub fn cores(self, cores: Cores) -> Self {
        Self { cores, ..self }
    }

    /// Sets the engine. Default: [`EngineKind::Auto`].
    #[must_use]
    pub fn engine(self, engine: EngineKind) -> Self {
        Self { engine, ..self }
    }

    /// Enables or disables HTTP/2. Default: enabled, in builds with the feature `http2`.
    ///
    /// A client selects HTTP/2 by its connection preface, or in the TLS handshake.
    #[must_use]
    pub fn http2(self, http2: bool) -> Self {
        Self { http2, ..self }
    }

    /// Lets HTTP/1.1 requests switch their connection to HTTP/2 with `Upgrade: h2c`. Default: no.
    ///
    /// Browsers and current clients do not use it, and RFC 9113 has removed it. Under TLS it is ignored.
    #[cfg(feature = "http2")]
    #[must_use]
    pub fn h2c_upgrade(self, h2c_upgrade: bool) -> Self {
        Self { h2c_upgrade, ..self }
    }

    /// Sets the proxies whose `Forwarded`, `X-Forwarded-For` and `X-Forwarded-Host` headers are trusted.
    /// Default: none.
    #[must_use]
    pub fn trusted_proxies(self, trusted: TrustedProxies) -> Self {
        Self { trusted, ..self }
    }

    /// Sets the sizes of the pool. The pool starts with the first async route or overflow callback. A server
    /// without them has none.
    #[must_use]
    pub fn pool(self, pool: PoolSettings) -> Self {
        Self { pool, ..self }
    }

    /// Disables the metrics of individual routes. The other metrics, whose cost is negligible, remain.
    #[must_use]
    pub fn without_route_metrics(self) -> Self {
        Self { route_metrics: false, ..self }
    }

    /// Adds paths for metrics and health checks to the routes of [`router`](Self::router). Default: none.
    /// For a port of their own see [`Listener::operations`].
    #[must_use]
    pub fn operations(self, operations: Operations) -> Self {
        Self { operations, ..self }
    }

    /// Adds a counter of log lines that the program has lost to the metrics. `read` returns their numbers by
    /// stream. It is called at every scrape.
    #[must_use]
    pub fn lost_log_lines(self, read: impl Fn() -> Vec<(&'static str, u64)> + Send + Sync + 'static) -> Self {
        Self { lost_log_lines: Some(LostLogLines::new(read)), ..self }
    }

    /// Sets the broker. A broker belongs to the first server that starts with it.
    #[must_use]
    pub fn broker(self, broker: &Broker) -> Self {
        Self { broker: Some(broker.clone()), ..self }
    }

    /// Adds a hub. A hub belongs to the first server that starts with it.
    #[cfg(feature = "ws")]
    #[must_use]
    pub fn hub(mut self, hub: &Hub) -> Self {
        self.hubs.push(hub.clone());
        self
    }

    /// Sets a function that is called when a shard has failed, on the thread of that shard. A shard fails
    /// through a fault of the server itself, or if the kernel refuses it a resource that it cannot do
    /// without.
    ///
    /// The other shards run on. The failure is logged, and [health](Operations::health) and readiness answer
    /// `503` from then on. The function should let the program [drain](crate::Server::drain) and end with an
    /// error, so that its supervisor starts it again.
    #[must_use]
    pub fn on_shard_failure(self, hook: impl Fn(&ShardFailure) + Send + Sync + 'static) -> Self {
        Self { on_shard_failure: Some(FailureHook(Arc::new(hook))), ..self }
    }

    /// Sets the registry of named actors. Give it to handlers too, so that they find actors by name. Default:
    /// a new one.
    #[must_use]
    pub fn registry(self, registry: &Registry) -> Self {
        Self { registry: registry.clone(), ..self }
    }

    /// Adds a closure that spawns actors on the server's shards and adds routes that use them.
    ///
    /// The server calls it once, on the thread that starts the server, after the shards have started and
    /// before it accepts connections. An error of the closure makes the start fail.
    ///
    /// ```
    /// use std::time::Duration;
    /// use windlass::{
    ///     HandlerError, Request, Server,
    ///     actors::{Actor, Context, Flow, Placement, Reply, SpawnOptions},
    ///     get,
    /// };
    ///
    /// struct Counter(u64);
    ///
    /// impl Actor for Counter {
    ///     type Msg = Reply<u64>;
    ///     async fn handle(&mut self, reply: Reply<u64>, _: &mut Context<Self::Msg>) -> Flow {
    ///         self.0 += 1;
    ///         reply.send(self.0);
    ///         Flow::Continue
    ///     }
    /// }
    ///
    /// let client = Server::builder()
    ///     .with_actors(|system, routes| {
    ///         let options = SpawnOptions::named("counter");
    ///         let counter = system.spawn(Placement::LeastLoaded, options, || Counter(0))?;
    ///         Ok(routes.route(get("/count", move |_: Request| {
    ///             let counter = counter.clone();
    ///             async move {
    ///                 let count = counter.ask(|reply| reply, Duration::from_secs(1)).await?;
    ///                 Ok::<_, HandlerError>(count.to_string())
    ///             }
    ///         })))
    ///     })
    ///     .test_client()?;
    /// assert_eq!(client.get("/count").body(), "1");
    /// # Ok::<(), windlass::StartError>(())
    /// ```
    #[must_use]
    pub fn with_actors(
        mut self,
        setup: impl FnOnce(&System, Group) -> Result<Group, BoxError> + Send + 'static,
    ) -> Self {
        self.actors.push(ActorSetup::new(setup));
        self
    }
}
