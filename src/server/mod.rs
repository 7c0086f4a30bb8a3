//! A server: built, started, drained.

mod acting;
mod drain;
mod engine;
mod fanout;
mod live;
mod operations;
mod pool;
#[cfg(feature = "tls")]
mod secure;
mod shard;
mod test_client;

use std::{
    fmt, mem,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, OnceLock},
};

use windlass_actors::{Addr, Cores, Local, Placement, Pool, Registry, ShardSender, SpawnOptions, System};

#[cfg(feature = "ws")]
use crate::pubsub::hub::Hub;
use crate::{
    conn::{self, Common, Env, Msg},
    hooks::Hooks,
    limits::{Limits, Timeouts},
    metrics::{Collector, Metrics, Snapshot},
    net::{BindError, Bound, EngineOptions, Listen, ListenOptions, bind, inherit},
    pubsub::broker::Broker,
    request::{Context, TrustedProxies},
    routing::router::{RouteRegistry, Router, RouterActor, RouterError, RouterHandle, RouterMsg},
};

pub use drain::DrainReport;
pub use engine::EngineKind;
pub use operations::Operations;
pub use pool::PoolSettings;
pub use test_client::{TestClient, TestConnection, TestEnd, TestStream};

/// An address to listen on, and what comes first on its connections.
#[derive(Clone, Debug)]
struct Entrance {
    listen: Listen,
    first: conn::Transport,
}

/// Says how a server shall be.
///
/// ```no_run
/// use windlass::{Router, Server, get};
/// let router = Router::new().route(get("/", |_| "hello"));
/// let server = Server::builder().listen("127.0.0.1:8080".parse()?).router(router).start()?;
/// println!("serving on {:?}", server.addresses());
/// let report = server.drain(None);
/// println!("{report}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Builder {
    entrances: Vec<Entrance>,
    inherited: Vec<OwnedFd>,
    listen_options: ListenOptions,
    router: Router,
    limits: Limits,
    timeouts: Timeouts,
    hooks: Hooks,
    cores: Cores,
    trusted: TrustedProxies,
    pool: PoolSettings,
    metrics: bool,
    operations: Operations,
    engine: EngineKind,
    broker: Option<Broker>,
    registry: Registry,
    #[cfg(feature = "ws")]
    hubs: Vec<Hub>,
    http2: bool,
    acting: Vec<acting::Acting>,
}

impl Builder {
    fn new() -> Self {
        Self {
            entrances: Vec::new(),
            inherited: Vec::new(),
            listen_options: ListenOptions::default(),
            router: Router::new(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            hooks: Hooks::default(),
            cores: Cores::default(),
            trusted: TrustedProxies::default(),
            pool: PoolSettings::default(),
            metrics: true,
            operations: Operations::default(),
            engine: EngineKind::default(),
            broker: None,
            registry: Registry::new(),
            #[cfg(feature = "ws")]
            hubs: Vec::new(),
            http2: true,
            acting: Vec::new(),
        }
    }

    /// Listens on an address; call it again for more. Port 0 lets the system choose, the same for all shards.
    #[must_use]
    pub fn listen(mut self, listen: Listen) -> Self {
        self.entrances.push(Entrance { listen, first: conn::Transport::default() });
        self
    }

    /// Listens on an address where every connection starts with a PROXY preamble, version 1 or 2.
    ///
    /// The preamble is believed, so nobody but the proxy may reach the address.
    #[must_use]
    pub fn listen_proxied(mut self, listen: Listen) -> Self {
        self.entrances.push(Entrance { listen, first: conn::Transport { is_proxied: true, tls: None } });
        self
    }

    /// Gives a socket that listens already, as one that a service manager passed: it is used for the address it has, which
    /// is one of those to [listen](Self::listen) on, instead of binding that. Call it again for more.
    ///
    /// All shards accept from it. Its options stay as they are but for
    /// [`no_delay`](ListenOptions::no_delay) and [`send_buffer`](ListenOptions::send_buffer). [`Listen::of`] tells its
    /// address.
    #[must_use]
    pub fn inherit(mut self, socket: impl Into<OwnedFd>) -> Self {
        self.inherited.push(socket.into());
        self
    }

    /// Sets how the listening sockets are made.
    #[must_use]
    pub fn listen_options(self, listen_options: ListenOptions) -> Self {
        Self { listen_options, ..self }
    }

    /// Sets the routes.
    #[must_use]
    pub fn router(self, router: Router) -> Self {
        Self { router, ..self }
    }

    /// Sets the limits.
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

    /// Says how many shards there are and where they run. Default: one for each core this process may use.
    #[must_use]
    pub fn cores(self, cores: Cores) -> Self {
        Self { cores, ..self }
    }

    /// Chooses the engine. Default: [`EngineKind::Auto`].
    #[must_use]
    pub fn engine(self, engine: EngineKind) -> Self {
        Self { engine, ..self }
    }

    /// Says whether HTTP/2 is spoken with clients that begin with its preface, or ask for it in a TLS handshake. Default:
    /// yes, where the build has it (feature `http2`).
    #[must_use]
    pub fn http2(self, http2: bool) -> Self {
        Self { http2, ..self }
    }

    /// Says whose forwarding headers are believed. Default: nobody's.
    #[must_use]
    pub fn trusted_proxies(self, trusted: TrustedProxies) -> Self {
        Self { trusted, ..self }
    }

    /// Sets the sizes of the pool. It starts with the first async route; a server without one has none.
    #[must_use]
    pub fn pool(self, pool: PoolSettings) -> Self {
        Self { pool, ..self }
    }

    /// Switches per-route figures off. Connection figures stay: they cost next to nothing.
    #[must_use]
    pub fn without_route_metrics(self) -> Self {
        Self { metrics: false, ..self }
    }

    /// Serves metrics and health at paths of the server itself. Default: nowhere.
    #[must_use]
    pub fn operations(self, operations: Operations) -> Self {
        Self { operations, ..self }
    }

    /// Gives a broker the shards to work on. A broker works with the first server it is given to that starts.
    #[must_use]
    pub fn broker(self, broker: &Broker) -> Self {
        Self { broker: Some(broker.clone()), ..self }
    }

    /// Has the server's actors share a registry, so that handlers that were given it too find them by name. Default: one
    /// of its own.
    #[must_use]
    pub fn registry(self, registry: &Registry) -> Self {
        Self { registry: registry.clone(), ..self }
    }

    /// Gives a hub the shards to work on; call it again for more. A hub works with the first server it is given to that
    /// starts.
    #[cfg(feature = "ws")]
    #[must_use]
    pub fn hub(mut self, hub: &Hub) -> Self {
        self.hubs.push(hub.clone());
        self
    }

    /// Binds, starts the shards and accepts.
    ///
    /// Returns when every shard is ready. Takes no signal handlers.
    ///
    /// # Errors
    ///
    /// Names what was refused, by whom, and what to do. Nothing is left running.
    pub fn start(mut self) -> Result<Server, StartError> {
        let shards = self
            .cores
            .shards()
            .map_err(|e| StartError::Shards(windlass_actors::error::StartError::Cores(e)))?;
        let senders = Arc::new(OnceLock::new());
        let Ground { metrics, source, common } = self.ground(shards, senders.clone())?;
        let mut bound = self.bind(shards)?;
        let retries = bound.iter().map(|bound| u64::from(bound.retries())).sum();
        metrics.bind_errors.add_many("EADDRINUSE", retries);
        #[cfg(feature = "tls")]
        let pairs = secure::pairs(&common.transports, &metrics);
        let grace = common.timeouts.grace;
        metrics.set_connection_limit(common.shard_connections * shards);
        let engine_options = EngineOptions {
            max_connections: common.shard_connections,
            linger_bytes: common.limits.discard_bytes,
            ..EngineOptions::default()
        };
        let publisher = source.clone();
        let parts = engine::Parts {
            system: || System::builder().name("windlass").cores(self.cores.clone()).registry(&self.registry),
            options: engine_options,
            env: Arc::new(move |local: &Local| {
                Env::new(&common, local.clone(), publisher.publisher().reader())
            }),
        };
        let (system, inboxes) = engine::start(self.engine, &parts, &metrics)?;
        metrics.set_system(system.clone());
        let depths = inboxes.clone();
        metrics.set_inbox_depth(move |shard| depths.get(shard).map_or(0, ShardSender::depth));
        // Set once, here.
        let _ = senders.set(inboxes.clone());
        let router = spawn_router(&system, &source)?;
        let broker = fanout::start_broker(self.broker.take(), &system, &source, &metrics)?;
        #[cfg(feature = "ws")]
        let hubs = fanout::start_hubs(std::mem::take(&mut self.hubs), &system, &source, &metrics)?;
        self.act(&system, &source)?;
        open(&mut bound, &inboxes);
        metrics.set_ready(true);
        Ok(Server {
            metrics,
            system,
            inboxes,
            source,
            router,
            bound: Mutex::new(bound),
            grace,
            drained: Mutex::default(),
            broker,
            #[cfg(feature = "ws")]
            hubs,
            #[cfg(feature = "tls")]
            pairs,
        })
    }
}

/// What the shards of a server stand on.
struct Ground {
    metrics: Arc<Metrics>,
    source: Arc<RouteRegistry>,
    common: Common,
}

impl Builder {
    /// Binds every address that no inherited socket has.
    fn bind(&mut self, shards: usize) -> Result<Vec<Bound>, StartError> {
        let wrong = |what: &dyn fmt::Display| StartError::Settings(format!("an inherited socket: {what}"));
        let address =
            |fd: OwnedFd| Listen::of(&fd).map(|address| (address, fd)).map_err(|error| wrong(&error));
        let mut inherited = self.inherited.drain(..).map(address).collect::<Result<Vec<_>, _>>()?;
        let bind = |entrance: &Entrance| {
            let (listen, options) = (&entrance.listen, &self.listen_options);
            let bound = match inherited.iter().position(|(address, _)| address == listen) {
                Some(index) => inherit(inherited.swap_remove(index).1, listen, shards, options),
                None => bind(listen, shards, options),
            };
            bound.map_err(StartError::Bind)
        };
        let bound = self.entrances.iter().map(bind).collect::<Result<Vec<_>, _>>()?;
        match inherited.first() {
            Some((address, _)) => {
                Err(wrong(&format_args!("it listens on {address}, which is no address of the server")))
            }
            None => Ok(bound),
        }
    }

    /// Compiles the routes and brings together what the shards have in common.
    fn ground(
        &mut self,
        shards: usize,
        senders: Arc<OnceLock<Vec<ShardSender<Msg>>>>,
    ) -> Result<Ground, StartError> {
        self.limits.check().and_then(|()| self.pool.check()).map_err(StartError::Settings)?;
        let metrics = Metrics::new(shards, self.metrics);
        let Router { mut routes, state } = mem::take(&mut self.router);
        routes.list.extend(self.operations.routes(&metrics));
        let pool = pool::Starter::new(self.pool.clone(), shards);
        let source =
            RouteRegistry::new(routes, metrics.clone(), move || pool.start()).map_err(StartError::Routes)?;
        let common = Common {
            limits: self.limits.clone(),
            timeouts: self.timeouts.clone(),
            hooks: self.hooks.clone(),
            metrics: metrics.clone(),
            context: Context { state, trusted: self.trusted.clone(), ..Context::default() },
            transports: self.entrances.iter().map(|e| e.first.clone()).collect(),
            http2: self.http2,
            shard_connections: shard_connections(&self.limits, shards),
            senders,
        };
        Ok(Ground { metrics, source, common })
    }
}

/// Returns how many connections each shard may hold.
fn shard_connections(limits: &Limits, shards: usize) -> usize {
    let all = limits.connections.unwrap_or_else(|| {
        let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(1 << 20);
        usize::try_from(files / 5 * 4).unwrap_or(usize::MAX)
    });
    all.div_ceil(shards).max(1)
}

fn spawn_router(system: &System, source: &Arc<RouteRegistry>) -> Result<Addr<RouterMsg>, StartError> {
    let source = source.clone();
    let factory = move || RouterActor::new(source.clone());
    system
        .spawn(Placement::Shard(0), SpawnOptions::named("router"), factory)
        .map_err(|error| StartError::Router(error.to_string()))
}

/// Gives each shard its sockets.
fn open(bound: &mut [Bound], inboxes: &[ShardSender<Msg>]) {
    let mut by_shard: Vec<Vec<socket2::Socket>> = inboxes.iter().map(|_| Vec::new()).collect();
    for bound in bound {
        for (sockets, socket) in by_shard.iter_mut().zip(bound.take_sockets()) {
            sockets.push(socket);
        }
    }
    for (inbox, sockets) in inboxes.iter().zip(by_shard) {
        // A shard that has ended was reported by the system.
        let _ = inbox.send_blocking(Msg::Listen(sockets));
    }
}

/// A running server. Dropping it is a [`drain`](Self::drain) without grace: connections are cut, and the thread blocks until
/// all has ended, about 3 s at most. Not to be dropped on a shard's thread.
pub struct Server {
    metrics: Arc<Metrics>,
    system: System,
    inboxes: Vec<ShardSender<Msg>>,
    source: Arc<RouteRegistry>,
    router: Addr<RouterMsg>,
    bound: Mutex<Vec<Bound>>,
    grace: std::time::Duration,
    drained: Mutex<Option<DrainReport>>,
    broker: Option<Broker>,
    #[cfg(feature = "ws")]
    hubs: Vec<Hub>,
    /// Each pair of certificate and key in use, once.
    #[cfg(feature = "tls")]
    pairs: Vec<crate::tls::Tls>,
}

impl Server {
    /// Says how a server shall be.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Returns the addresses in use, in the order they were given; never port 0.
    pub fn addresses(&self) -> Vec<Listen> {
        let bound = self.bound.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        bound.iter().map(|bound| bound.address().clone()).collect()
    }

    /// Returns the first TCP address in use.
    pub fn tcp_address(&self) -> Option<std::net::SocketAddr> {
        self.addresses().into_iter().find_map(|listen| match listen {
            Listen::Tcp(address) => Some(address),
            Listen::Unix(_) => None,
        })
    }

    /// Returns the handle to change routes while serving.
    pub fn routes(&self) -> RouterHandle {
        RouterHandle::new(self.router.clone())
    }

    /// Returns the actor system, to spawn actors on the server's shards.
    pub fn system(&self) -> &System {
        &self.system
    }

    /// Returns the pool, once an async route was registered.
    pub fn pool(&self) -> Option<&Pool> {
        self.source.pool()
    }

    /// Returns what the server did so far.
    pub fn metrics(&self) -> Snapshot {
        self.metrics.snapshot()
    }

    /// Makes a collector for a `prometheus::Registry` of the program the server is embedded in.
    pub fn collector(&self) -> Collector {
        Collector::new(self.metrics.clone())
    }

    /// Says whether the server takes new work: started and not draining.
    pub fn is_ready(&self) -> bool {
        self.metrics.is_ready()
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("addresses", &self.addresses()).finish_non_exhaustive()
    }
}

/// Why a server did not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// A limit or a size makes no server; the text names it and what it may be.
    Settings(String),
    /// An address cannot be listened on.
    Bind(BindError),
    /// A route is invalid, or the pool it needs does not start.
    Routes(RouterError),
    /// Shards did not start.
    Shards(windlass_actors::error::StartError),
    /// The router actor did not start.
    Router(String),
    /// The actors of the broker, or of a hub, did not start.
    Broker(String),
    /// Making actors and their routes ([`Builder::with_actors`]) failed.
    Actors(crate::body::BoxError),
    /// The engine asked for cannot run.
    Engine {
        /// The engine.
        engine: EngineKind,
        /// What the system answered, or that the build lacks it.
        why: String,
    },
    /// This build has no engine: neither of the features `io-uring` and `epoll` is on.
    NoEngine,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(error) => error.fmt(f),
            Self::Routes(error) => error.fmt(f),
            Self::Shards(error) => write!(f, "{error}; 'windlass doctor' tells what the system refuses"),
            Self::Settings(error) => f.write_str(error),
            Self::Router(error) => write!(f, "the router actor did not start: {error}"),
            Self::Broker(error) => write!(f, "the actors of the broker or a hub did not start: {error}"),
            Self::Actors(error) => write!(f, "the program's actors did not start: {error}"),
            Self::Engine { engine, why } => write!(
                f,
                "the engine {engine} cannot run here: {why}; 'windlass doctor' tells what would help, the engine \
                 'auto' takes what there is"
            ),
            Self::NoEngine => {
                f.write_str("this build has no engine: build it with the feature io-uring or epoll")
            }
        }
    }
}

impl std::error::Error for StartError {}
