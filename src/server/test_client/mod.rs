//! A client that calls a router in the same thread, through the same connections as a server but without
//! sockets.

mod connection;
mod http;
#[cfg(feature = "json")]
mod json;
#[cfg(test)]
mod pauses;
mod requests;
#[cfg(feature = "ws")]
mod socket;
mod stream;

use std::{
    cell::RefCell,
    fmt,
    rc::Rc,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use ::http::{Method, Request, Response};
use bytes::Bytes;
use windlass_actors::{System, Undelivered, manual::ManualSystem};

use self::http::{take_head, write_request};
use super::{Server, builder::Builder, error::StartError, fanout, shard::Shard, start::ServerParts};
use crate::{
    conn::{Connections, Env},
    metrics::{Metrics, Snapshot},
    net::memory::{Connector, Memory, PeerPipe},
    routing::router::{RouteRegistry, Router},
};

pub use connection::{TestConnection, TestEnd};
#[cfg(feature = "ws")]
pub use socket::TestSocket;
pub use stream::TestStream;

/// Longest wait for a response, or for the next part of it.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum number of turns of the event loop until a shard has nothing left to do at the current time.
const MAX_TURNS: usize = 100_000;

/// A client for tests of handlers, middleware and routes. It needs no server.
///
/// Requests go through the same connections as on a server, as HTTP/1.1, but without sockets. The calling
/// thread runs the connections and the inline handlers. Only async routes start threads: those of the pool.
///
/// Time is that of the machine, unless a test [stops the clock](Self::stop_clock) and [advances
/// it](Self::advance).
///
/// ```
/// use windlass::{Request, Router, TestClient, get, http::StatusCode};
///
/// let router = Router::new().route(get("/hello/{name}", |request: Request| {
///     format!("Hello, {}!", request.param("name").unwrap_or_default())
/// }));
/// let client = TestClient::new(router)?;
/// let response = client.get("/hello/you");
/// assert_eq!((response.status(), response.body().as_ref()), (StatusCode::OK, &b"Hello, you!"[..]));
/// assert_eq!(client.get("/nowhere").status(), StatusCode::NOT_FOUND);
/// # Ok::<(), windlass::StartError>(())
/// ```
///
/// [`Builder::test_client`] creates a client with limits, hooks, a broker and all other settings of a server.
/// Clones share one client.
///
/// # Panics
///
/// The methods that wait for a response panic if it is invalid, or if it does not arrive within 10 s.
#[derive(Clone)]
pub struct TestClient(Rc<RefCell<Inner>>);

struct Inner {
    system: ManualSystem<Shard<Memory<Connections>>>,
    connector: Connector,
    routes: Arc<RouteRegistry>,
    metrics: Arc<Metrics>,
    /// Open connection that can serve another request, if there is one.
    idle: Option<PeerPipe>,
}

impl TestClient {
    /// Creates a client for these routes.
    ///
    /// # Errors
    ///
    /// A route is invalid, or the pool that it needs failed to start.
    pub fn new(router: Router) -> Result<Self, StartError> {
        Server::builder().router(router).test_client()
    }

    /// Sends a request and returns the complete response. Adds `Host` and `Content-Length` if they are
    /// missing.
    #[track_caller]
    pub fn call<B: Into<Bytes>>(&self, request: Request<B>) -> Response<Bytes> {
        let (response, idle) = self.open(request).into_response();
        if idle.is_some() {
            self.0.borrow_mut().idle = idle;
        }
        response
    }

    /// Sends a request and returns when the response head arrives. For endless responses, such as event
    /// streams.
    #[track_caller]
    pub fn open<B: Into<Bytes>>(&self, request: Request<B>) -> TestStream {
        let is_head = *request.method() == Method::HEAD;
        let idle = self.0.borrow_mut().idle.take().filter(|pipe| pipe.borrow().end.is_none());
        let pipe = idle.unwrap_or_else(|| self.0.borrow().connector.connect());
        write_request(&mut pipe.borrow_mut().input, request);
        self.wake();
        let head = self.wait("a response", || take_head(&pipe, is_head));
        TestStream::new(self.clone(), head, pipe)
    }

    /// Opens a connection that sends raw bytes.
    pub fn connect(&self) -> TestConnection {
        let pipe = self.0.borrow().connector.connect();
        self.run_due();
        TestConnection::new(self.clone(), pipe)
    }

    /// Stops the clock. Time then passes only in [`advance`](Self::advance).
    ///
    /// The timers of the server, of handlers and of actors follow this clock. Jobs of the pool run on threads
    /// of their own and follow the clock of the machine.
    pub fn stop_clock(&self) {
        self.0.borrow_mut().system.stop_clock();
    }

    /// Advances the clock. Everything that becomes due runs at its own time. Stops the clock if it is
    /// running.
    ///
    /// ```
    /// use std::time::Duration;
    /// use windlass::{Router, Server, TestClient, Timeouts};
    ///
    /// let mut timeouts = Timeouts::default();
    /// timeouts.header = Some(Duration::from_secs(10));
    /// let client = Server::builder().router(Router::new()).timeouts(timeouts).test_client()?;
    /// let mut slow = client.connect();
    /// client.stop_clock();
    /// slow.send("GET / HTT");
    /// client.advance(Duration::from_secs(9));
    /// assert!(slow.received().is_empty());
    /// client.advance(Duration::from_secs(1));
    /// assert!(slow.received().starts_with(b"HTTP/1.1 408 "));
    /// # Ok::<(), windlass::StartError>(())
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if it is called in a handler, or if the server never becomes idle.
    #[track_caller]
    pub fn advance(&self, by: Duration) {
        self.stop_clock();
        self.run_due();
        let end = self.0.borrow().system.now() + by;
        loop {
            let (now, due) = {
                let inner = self.0.borrow();
                (inner.system.now(), inner.system.next_due())
            };
            let next = due.map_or(end, |due| due.min(end)).max(now);
            self.0.borrow_mut().system.advance(next - now);
            self.run_due();
            if next == end {
                return;
            }
        }
    }

    /// Returns the actor system, which has one shard. Its actors run while a method of the client waits for a
    /// response.
    pub fn system(&self) -> System {
        self.0.borrow().system.system().clone()
    }

    /// Returns the current values of the metrics.
    pub fn metrics(&self) -> Snapshot {
        self.0.borrow().metrics.snapshot()
    }

    /// Runs the shard until `find` returns a value. Panics after [`RESPONSE_TIMEOUT`]; `what` names the
    /// value.
    #[track_caller]
    fn wait<T>(&self, what: &str, mut find: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + RESPONSE_TIMEOUT;
        loop {
            if let Some(found) = find() {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{what} did not arrive within {RESPONSE_TIMEOUT:?}");
            self.step(left);
        }
    }

    /// Wakes the engine after a change of a connection.
    fn wake(&self) {
        self.0.borrow().connector.wake();
    }

    /// Resets a connection, and runs one step in which the server sees it. A step that is running already
    /// sees it too.
    fn reset(&self, pipe: &PeerPipe) {
        pipe.borrow_mut().reset = true;
        if let Ok(mut inner) = self.0.try_borrow_mut() {
            inner.connector.wake();
            let now = inner.system.now();
            let _ = inner.system.step(now);
        }
    }

    /// Runs one step of the shard, which waits at most this long for an event. Panics if the shard fails.
    #[track_caller]
    fn step(&self, max_wait: Duration) {
        let mut inner = self.0.borrow_mut();
        let latest = inner.system.now() + max_wait;
        let step = inner.system.step(latest);
        assert!(step.is_ok(), "the shard failed: {step:?}");
    }

    /// Runs the shard until nothing is due at the current time. Panics after [`MAX_TURNS`] turns.
    #[track_caller]
    fn run_due(&self) {
        for _ in 0..MAX_TURNS {
            let due = self.0.borrow().system.next_due();
            if due.is_none_or(|due| due > self.0.borrow().system.now()) {
                return;
            }
            self.step(Duration::ZERO);
        }
        panic!("the shard is not idle after {MAX_TURNS} turns");
    }
}

impl fmt::Debug for TestClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestClient").finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(pool) = self.routes.pool() {
            pool.stop(Undelivered::Discard, Duration::ZERO);
        }
    }
}

#[track_caller]
fn request(method: Method, path: &str, body: Bytes) -> Request<Bytes> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() =
        path.parse().unwrap_or_else(|error| panic!("invalid request target {path}: {error}"));
    request
}

impl Builder {
    /// Creates a test client with these settings, instead of a server. See [`TestClient`].
    ///
    /// Addresses, cores and the engine are ignored.
    ///
    /// # Errors
    ///
    /// A limit, a route or a pool setting is invalid, or an actor failed to start.
    pub fn test_client(mut self) -> Result<TestClient, StartError> {
        let ServerParts { metrics, routes, common } = self.prepare(1, Arc::new(OnceLock::new()))?;
        let connector = Connector::default();
        let readers = routes.readers();
        let system = ManualSystem::new(self.registry.clone(), |local, inbox| {
            // Nobody else sets it.
            let _ = common.senders.set(vec![inbox.clone()]);
            let engine = Memory::with_connector(connector.clone(), local.doorbell())?;
            Ok(Shard::new(engine, Env::new(&common, local.clone(), readers), local.clone()))
        });
        let system = system.map_err(StartError::Shards)?;
        metrics.set_system(system.system().clone());
        fanout::start_broker(self.broker.take(), system.system(), &routes, &metrics)?;
        #[cfg(feature = "ws")]
        fanout::start_hubs(std::mem::take(&mut self.hubs), system.system(), &routes, &metrics)?;
        self.set_up_actors(system.system(), &routes)?;
        metrics.set_ready(true);
        let inner = Inner { system, connector, routes, metrics, idle: None };
        Ok(TestClient(Rc::new(RefCell::new(inner))))
    }
}
