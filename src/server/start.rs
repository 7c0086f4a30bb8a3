//! Start of a server: bind the sockets, start the shards, spawn the actors, accept.

use std::{
    fmt, mem,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, OnceLock},
};

use windlass_actors::{Addr, Local, Placement, ShardSender, SpawnOptions, System};

#[cfg(feature = "tls")]
use super::tls;
use super::{
    Server,
    builder::Builder,
    countdown::Delay,
    engine::{self, ShardParts},
    error::StartError,
    fanout,
    listener::Listener,
    operations::Operations,
    pool::PoolStarter,
    stuck,
};
use crate::{
    conn::{Common, Env, ListenerEnv, Msg},
    limits::{Limits, Timeouts},
    metrics::Metrics,
    net::{Bound, EngineOptions, Listen, bind, inherit},
    request::Context,
    routing::{
        router::{RouteRegistry, Router, RouterActor, RouterMsg, SHARED_ROUTER},
        table::RouteSet,
    },
};

/// The parts of a server that exist before its shards.
pub(super) struct ServerParts {
    pub(super) metrics: Arc<Metrics>,
    pub(super) routes: Arc<RouteRegistry>,
    pub(super) common: Common,
}

impl Builder {
    /// Starts the server: binds the addresses, starts the shards and accepts connections.
    ///
    /// Returns when every shard is ready. Installs no signal handlers.
    ///
    /// # Errors
    ///
    /// The error names the failed step and its cause. Nothing is left running.
    pub fn start(mut self) -> Result<Server, StartError> {
        let shards = self
            .cores
            .shards()
            .map_err(|error| StartError::Shards(windlass_actors::error::StartError::Cores(error)))?;
        let senders = Arc::new(OnceLock::new());
        let ServerParts { metrics, routes, common } = self.prepare(shards, senders.clone())?;
        let listener_routers = common.listeners.iter().map(|listener| listener.router).collect();
        let mut bound = self.bind(shards)?;
        let retries = bound.iter().map(|bound| u64::from(bound.retries())).sum();
        metrics.bind_errors.add_many("EADDRINUSE", retries);
        #[cfg(feature = "tls")]
        let certificates = tls::certificates(&common.listeners, &metrics);
        let Timeouts { grace, drain_delay, drain_idle, .. } = common.timeouts;
        metrics.set_connection_limit(common.shard_connections * shards);
        let options = EngineOptions {
            max_connections: common.shard_connections,
            linger_bytes: common.limits.discard_bytes,
            ..EngineOptions::default()
        };
        let table = routes.clone();
        let parts = ShardParts {
            system: || self.system(),
            options,
            env: Arc::new(move |local: &Local| Env::new(&common, local.clone(), table.readers())),
        };
        let (system, inboxes) = engine::start(self.engine, &parts, &metrics)?;
        metrics.set_system(system.clone());
        let depths = inboxes.clone();
        metrics.set_inbox_depth(move |shard| depths.get(shard).map_or(0, ShardSender::depth));
        // Nobody else sets it.
        let _ = senders.set(inboxes.clone());
        let router = spawn_router(&system, &routes)?;
        let broker = fanout::start_broker(self.broker.take(), &system, &routes, &metrics)?;
        #[cfg(feature = "ws")]
        let hubs = fanout::start_hubs(mem::take(&mut self.hubs), &system, &routes, &metrics)?;
        self.set_up_actors(&system, &routes)?;
        start_listening(&mut bound, &inboxes);
        let stuck = stuck::Monitor::start(metrics.clone(), &self.timeouts);
        metrics.set_ready(true);
        Ok(Server {
            stuck: Mutex::new(stuck),
            metrics,
            system,
            inboxes,
            routes,
            router,
            listener_routers,
            bound: Mutex::new(bound),
            grace,
            drain_delay,
            drain_idle,
            delay: Delay::default(),
            drained: Mutex::default(),
            broker,
            #[cfg(feature = "ws")]
            hubs,
            #[cfg(feature = "tls")]
            certificates,
        })
    }

    /// Returns the settings of the server's shards.
    fn system(&self) -> windlass_actors::Builder {
        let builder = System::builder().name("windlass").cores(self.cores.clone()).registry(&self.registry);
        match self.on_shard_failure.clone() {
            Some(hook) => builder.on_failure(move |failure| (hook.0)(failure)),
            None => builder,
        }
    }

    /// Checks the settings and compiles the routes. Starts the pool if a route needs it.
    pub(super) fn prepare(
        &mut self,
        shards: usize,
        senders: Arc<OnceLock<Vec<ShardSender<Msg>>>>,
    ) -> Result<ServerParts, StartError> {
        self.limits.check().and_then(|()| self.pool.check()).map_err(StartError::Settings)?;
        let metrics = Metrics::new(shards, self.route_metrics);
        if let Some(lost) = self.lost_log_lines.take() {
            metrics.set_lost_log_lines(lost);
        }
        let (listeners, routers) = self.routers(&metrics);
        let context = |set: &RouteSet| Context {
            state: set.state.clone(),
            trusted: self.trusted.clone(),
            ..Context::default()
        };
        let contexts: Vec<_> = routers.iter().map(context).collect();
        let pool = PoolStarter::new(self.pool.clone(), shards);
        let routes =
            RouteRegistry::new(routers, metrics.clone(), move || pool.start()).map_err(StartError::Routes)?;
        let with_pool = |context: Context| Context { pool: routes.pool_place(), ..context };
        let common = Common {
            limits: self.limits.clone(),
            timeouts: self.timeouts.clone(),
            hooks: self.hooks.clone(),
            metrics: metrics.clone(),
            contexts: contexts.into_iter().map(with_pool).collect(),
            listeners,
            http2: self.http2,
            h2c_upgrade: self.h2c_upgrade,
            shard_connections: shard_connections(&self.limits, shards),
            senders,
        };
        Ok(ServerParts { metrics, routes, common })
    }

    /// Returns the settings of the listeners' connections, and the routes of each router. The first router is
    /// the shared one.
    fn routers(&mut self, metrics: &Arc<Metrics>) -> (Vec<ListenerEnv>, Vec<RouteSet>) {
        let with_operations = |router: Router, operations: &Operations| {
            let Router { mut routes } = router;
            routes.list.extend(operations.routes(metrics));
            routes
        };
        let mut routers = vec![with_operations(mem::take(&mut self.router), &self.operations)];
        let mut router_of = |listener: &mut Listener| {
            if !listener.has_routes() {
                return SHARED_ROUTER;
            }
            let router = listener.router.take().unwrap_or_default();
            routers.push(with_operations(router, &listener.operations));
            routers.len() - 1
        };
        let env = |listener: &mut Listener| {
            let router = router_of(listener);
            ListenerEnv { transport: listener.transport.clone(), router }
        };
        (self.listeners.iter_mut().map(env).collect(), routers)
    }

    /// Spawns the program's actors and adds their routes.
    pub(super) fn set_up_actors(
        &mut self,
        system: &System,
        routes: &RouteRegistry,
    ) -> Result<(), StartError> {
        self.actors.drain(..).try_for_each(|setup| setup.run(system, routes))
    }

    /// Returns a socket for each address: an inherited one, or a new one.
    fn bind(&mut self, shards: usize) -> Result<Vec<Bound>, StartError> {
        let invalid =
            |problem: &dyn fmt::Display| StartError::Settings(format!("invalid inherited socket: {problem}"));
        let with_address =
            |fd: OwnedFd| Listen::of(&fd).map(|address| (address, fd)).map_err(|error| invalid(&error));
        let mut inherited = self.inherited.drain(..).map(with_address).collect::<Result<Vec<_>, _>>()?;
        let addresses = self.listeners.iter().map(|listener| listener.listen.clone());
        let addresses = addresses.collect::<Result<Vec<_>, _>>().map_err(StartError::Listen)?;
        let bind_listener = |listen: &Listen| {
            let options = &self.listen_options.among(addresses.iter(), listen);
            let bound = match inherited.iter().position(|(address, _)| address == listen) {
                Some(index) => inherit(inherited.swap_remove(index).1, listen, shards, options),
                None => bind(listen, shards, options),
            };
            bound.map_err(StartError::Bind)
        };
        let bound = addresses.iter().map(bind_listener).collect::<Result<Vec<_>, _>>()?;
        match inherited.first() {
            Some((address, _)) => Err(invalid(&format_args!(
                "no listener has its address {address}: add one, or do not pass the socket"
            ))),
            None => Ok(bound),
        }
    }
}

/// Returns the maximum number of connections of each shard: its part of the limit, which by default is four
/// fifths of the process's limit of open files.
fn shard_connections(limits: &Limits, shards: usize) -> usize {
    let total = limits.connections.unwrap_or_else(|| {
        let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(1 << 20);
        usize::try_from(files / 5 * 4).unwrap_or(usize::MAX)
    });
    total.div_ceil(shards).max(1)
}

fn spawn_router(system: &System, routes: &Arc<RouteRegistry>) -> Result<Addr<RouterMsg>, StartError> {
    let routes = routes.clone();
    let factory = move || RouterActor::new(routes.clone());
    system
        .spawn(Placement::Shard(0), SpawnOptions::named("router"), factory)
        .map_err(|error| StartError::Router(error.to_string()))
}

/// Sends each shard its listening sockets.
fn start_listening(bound: &mut [Bound], inboxes: &[ShardSender<Msg>]) {
    let mut by_shard: Vec<Vec<socket2::Socket>> = inboxes.iter().map(|_| Vec::new()).collect();
    for bound in bound {
        for (sockets, socket) in by_shard.iter_mut().zip(bound.take_sockets()) {
            sockets.push(socket);
        }
    }
    for (inbox, sockets) in inboxes.iter().zip(by_shard) {
        // Fails only if the shard has ended, which the system reports.
        let _ = inbox.send_blocking(Msg::Listen(sockets));
    }
}
