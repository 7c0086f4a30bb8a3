//! Requests to a router without a server: no socket, no thread, the same connections.

mod connection;

use std::{
    cell::RefCell,
    rc::Rc,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Method, Request, Response, header};
use windlass_actors::{System, Undelivered, manual::ManualSystem};

pub use connection::{TestConnection, TestEnd};

use super::{Builder, Ground, Server, StartError, fanout};
use crate::{
    conn::{Connections, Env},
    metrics::{Metrics, Snapshot},
    net::memory::{Connector, Memory, PeerPipe},
    proto::h1::{self, ReplyHead, Step},
    routing::router::{RouteRegistry, Router},
    server::shard::Shard,
};

/// How long a reply, or the next piece of it, may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Turns of the shard after which it must have nothing more to do at one instant.
const TURNS: usize = 100_000;

/// Sends requests to a [`Router`] within the calling thread: for tests of handlers, middleware and routes.
///
/// What it sends goes through the same connections as a server's, HTTP/1.1 byte by byte; there is just no
/// socket beneath them and no thread around them. Only async routes start threads: those of the pool. Time is
/// the machine's, unless a test [stops the clock](Self::stop_clock) and [moves it](Self::advance).
///
/// ```
/// use windlass::{Request, Router, TestClient, get, http::StatusCode};
///
/// let router = Router::new().route(get("/hello/{name}", |request: Request| {
///     format!("Hello, {}!", request.param("name").unwrap_or_default())
/// }));
/// let client = TestClient::new(router)?;
/// let reply = client.get("/hello/you");
/// assert_eq!((reply.status(), reply.body().as_ref()), (StatusCode::OK, &b"Hello, you!"[..]));
/// assert_eq!(client.get("/nowhere").status(), StatusCode::NOT_FOUND);
/// # Ok::<(), windlass::StartError>(())
/// ```
///
/// Limits, hooks, a broker and all else come from a server's builder: [`Builder::test_client`]. Clones are
/// one client.
///
/// # Panics
///
/// Its calls panic, and so fail their test, when a reply does not come within 10 s, or is not what a server
/// may send.
#[derive(Clone)]
pub struct TestClient(Rc<RefCell<Stage>>);

/// What the client's requests are served by.
struct Stage {
    system: ManualSystem<Shard<Memory<Connections>>>,
    connector: Connector,
    source: Arc<RouteRegistry>,
    metrics: Arc<Metrics>,
    /// A connection that may serve another request.
    kept: Option<PeerPipe>,
}

impl TestClient {
    /// Makes a client of these routes.
    ///
    /// # Errors
    ///
    /// A route is invalid, or the pool it needs does not start.
    pub fn new(router: Router) -> Result<Self, StartError> {
        Server::builder().router(router).test_client()
    }

    /// Sends a GET and returns the whole reply.
    #[track_caller]
    pub fn get(&self, path: &str) -> Response<Bytes> {
        self.call(request(Method::GET, path, Bytes::new()))
    }

    /// Sends a POST with this body and returns the whole reply.
    #[track_caller]
    pub fn post(&self, path: &str, body: impl Into<Bytes>) -> Response<Bytes> {
        self.call(request(Method::POST, path, body.into()))
    }

    /// Sends a request and returns the whole reply.
    ///
    /// `Host` and `Content-Length` are added unless the request has them.
    #[track_caller]
    pub fn call<B: Into<Bytes>>(&self, request: Request<B>) -> Response<Bytes> {
        let mut stream = self.open(request);
        let mut body = Vec::new();
        while let Some(piece) = stream.next() {
            body.extend_from_slice(&piece);
        }
        if stream.keep_alive {
            self.0.borrow_mut().kept = stream.pipe.take();
        }
        let head = std::mem::take(&mut stream.head);
        head.map(|()| body.into())
    }

    /// Sends a request and returns as soon as the reply's head is there: for replies that go on, such as
    /// events.
    #[track_caller]
    pub fn open<B: Into<Bytes>>(&self, request: Request<B>) -> TestStream {
        let is_head = *request.method() == Method::HEAD;
        let kept = self.0.borrow_mut().kept.take().filter(|pipe| pipe.borrow().end.is_none());
        let pipe = kept.unwrap_or_else(|| self.0.borrow().connector.connect());
        write(&mut pipe.borrow_mut().input, request);
        self.0.borrow().connector.wake();
        let head = self.wait("a reply", || take_head(&pipe, is_head));
        TestStream {
            client: self.clone(),
            body: head.framing.map(|framing| h1::Body::new(framing, &h1::Limits::default())),
            keep_alive: head.keep_alive,
            head: head.response,
            pipe: Some(pipe),
        }
    }

    /// Opens a connection on which bytes are sent as they are.
    pub fn connect(&self) -> TestConnection {
        let pipe = self.0.borrow().connector.connect();
        self.run_due();
        TestConnection::new(self.clone(), pipe)
    }

    /// Stops the clock of the shard: from here on, time passes only by [`advance`](Self::advance).
    ///
    /// Timers of the server, of its handlers and of its actors follow this clock. Jobs of the pool run on
    /// threads of their own, by the clock of the machine.
    pub fn stop_clock(&self) {
        self.0.borrow_mut().system.stop_clock();
    }

    /// Moves the clock of the shard forward and runs everything that falls due on the way, each at its own
    /// time. Stops the clock if it runs.
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
    /// Called from within a handler, or the shard never comes to rest.
    #[track_caller]
    pub fn advance(&self, by: Duration) {
        self.stop_clock();
        self.run_due();
        let end = self.0.borrow().system.now() + by;
        loop {
            let (now, due) = {
                let stage = self.0.borrow();
                (stage.system.now(), stage.system.next_due())
            };
            let next = due.map_or(end, |due| due.min(end)).max(now);
            self.0.borrow_mut().system.advance(next - now);
            self.run_due();
            if next == end {
                return;
            }
        }
    }

    /// Returns the system whose only shard is served here, to spawn actors on it. They run while a call of
    /// the client waits for its reply.
    pub fn system(&self) -> System {
        self.0.borrow().system.system().clone()
    }

    /// Returns what was done so far.
    pub fn metrics(&self) -> Snapshot {
        self.0.borrow().metrics.snapshot()
    }

    /// Runs the shard until something is there.
    #[track_caller]
    fn wait<T>(&self, what: &str, mut found: impl FnMut() -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = found() {
                return found;
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{what} did not come within {PATIENCE:?}");
            self.step(left);
        }
    }

    /// Resets a connection, and runs one step in which the server learns of it. A shard that is at work takes
    /// it itself.
    fn reset(&self, pipe: &PeerPipe) {
        pipe.borrow_mut().reset = true;
        if let Ok(mut stage) = self.0.try_borrow_mut() {
            stage.connector.wake();
            let now = stage.system.now();
            let _ = stage.system.step(now);
        }
    }

    /// Runs the shard once; it waits for something to do for `longest` at most.
    #[track_caller]
    fn step(&self, longest: Duration) {
        let mut stage = self.0.borrow_mut();
        let latest = stage.system.now() + longest;
        let step = stage.system.step(latest);
        assert!(step.is_ok(), "the shard failed: {step:?}");
    }

    /// Runs the shard until nothing more is due now.
    #[track_caller]
    fn run_due(&self) {
        for _ in 0..TURNS {
            let due = self.0.borrow().system.next_due();
            if due.is_none_or(|due| due > self.0.borrow().system.now()) {
                return;
            }
            self.step(Duration::ZERO);
        }
        panic!("the shard does not come to rest within {TURNS} turns");
    }
}

impl std::fmt::Debug for TestClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestClient").finish_non_exhaustive()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(pool) = self.source.pool() {
            pool.stop(Undelivered::Discard, Duration::ZERO);
        }
    }
}

/// A reply whose head is there. Dropped before its end, the connection is reset.
pub struct TestStream {
    client: TestClient,
    head: Response<()>,
    /// None: the end of the connection ends it.
    body: Option<h1::Body>,
    keep_alive: bool,
    /// None: the connection was given back.
    pipe: Option<PeerPipe>,
}

impl TestStream {
    /// Returns status and headers.
    pub fn head(&self) -> &Response<()> {
        &self.head
    }

    /// Waits for the next bytes of the body; `None` at its end.
    ///
    /// # Panics
    ///
    /// The body is cut short, or nothing comes within 10 s.
    #[track_caller]
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator would hide that it waits, and that it panics"
    )]
    pub fn next(&mut self) -> Option<Bytes> {
        let Self { client, body, pipe, .. } = self;
        let pipe = pipe.as_ref()?;
        client.wait("more of the body", || next_piece(body.as_mut(), pipe))
    }

    /// Waits until the body has shown this text; returns it and what stood before it since the last call.
    ///
    /// # Panics
    ///
    /// The body ends without it, or it does not come within 10 s.
    #[track_caller]
    pub fn until(&mut self, text: &str) -> String {
        let mut seen = String::new();
        while !seen.contains(text) {
            let piece = self.next();
            let Some(piece) = piece else { panic!("the body ended without {text:?}: {seen:?}") };
            seen += &String::from_utf8_lossy(&piece);
        }
        seen
    }
}

impl std::fmt::Debug for TestStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestStream").field("head", &self.head).finish_non_exhaustive()
    }
}

impl Drop for TestStream {
    fn drop(&mut self) {
        let Some(pipe) = &self.pipe else { return };
        pipe.borrow_mut().reset = true;
        // One step, in which the server learns of it. A client that is at work will take it itself.
        if let Ok(mut stage) = self.client.0.try_borrow_mut() {
            stage.connector.wake();
            let _ = stage.system.step(Instant::now());
        }
    }
}

fn request(method: Method, path: &str, body: Bytes) -> Request<Bytes> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().unwrap_or_else(|error| panic!("{path} is no request target: {error}"));
    request
}

/// Writes a request as it goes over the wire.
fn write<B: Into<Bytes>>(out: &mut Vec<u8>, request: Request<B>) {
    let (parts, body) = request.into_parts();
    let body = body.into();
    let target = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    out.extend_from_slice(format!("{} {target} HTTP/1.1\r\n", parts.method).as_bytes());
    if !parts.headers.contains_key(header::HOST) {
        let host = parts.uri.authority().map_or("test", http::uri::Authority::as_str);
        out.extend_from_slice(format!("host: {host}\r\n").as_bytes());
    }
    if !parts.headers.contains_key(header::CONTENT_LENGTH) && !body.is_empty() {
        out.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
    }
    for (name, value) in &parts.headers {
        out.extend_from_slice(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(&body);
}

/// Takes the head of the final reply, over interim ones.
#[track_caller]
fn take_head(pipe: &PeerPipe, is_head: bool) -> Option<ReplyHead> {
    loop {
        let mut pipe = pipe.borrow_mut();
        match h1::parse_reply(&pipe.output, is_head) {
            Err(error) => panic!("this is no response: {error}: {}", pipe.output.escape_ascii()),
            Ok(None) => {
                assert!(
                    pipe.end.is_none(),
                    "the connection ended without a reply: {}",
                    pipe.output.escape_ascii()
                );
                return None;
            }
            Ok(Some(head)) => {
                pipe.output.drain(..head.len);
                if !head.response.status().is_informational() {
                    return Some(head);
                }
            }
        }
    }
}

/// Takes the next piece of a body, `Some(None)` at its end; `None` if the server has to go on first.
#[track_caller]
fn next_piece(body: Option<&mut h1::Body>, pipe: &PeerPipe) -> Option<Option<Bytes>> {
    let mut pipe = pipe.borrow_mut();
    let Some(body) = body else {
        if !pipe.output.is_empty() {
            return Some(Some(std::mem::take(&mut pipe.output).into()));
        }
        return pipe.end.map(|_| None);
    };
    match body.decode(&pipe.output) {
        Err(error) => panic!("the body is broken: {error}: {}", pipe.output.escape_ascii()),
        Ok(Step::Done { consumed }) => {
            pipe.output.drain(..consumed);
            Some(None)
        }
        Ok(Step::Data { consumed, data }) => {
            let piece = Bytes::copy_from_slice(&pipe.output[data]);
            pipe.output.drain(..consumed);
            Some(Some(piece))
        }
        Ok(Step::NeedMore) => {
            pipe.output.clear();
            assert!(pipe.end.is_none(), "the body was cut short");
            None
        }
    }
}

impl Builder {
    /// Makes a client that is served as a server built so would serve it, without sockets and shards: see
    /// [`TestClient`]. Addresses, cores and engine do not matter.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start), for limits, routes and the pool.
    pub fn test_client(mut self) -> Result<TestClient, StartError> {
        let Ground { metrics, source, common } = self.ground(1, Arc::new(OnceLock::new()))?;
        let connector = Connector::default();
        let reader = source.publisher().reader();
        let system = ManualSystem::new(self.registry.clone(), |local, inbox| {
            // Set once, here.
            let _ = common.senders.set(vec![inbox.clone()]);
            let engine = Memory::with_connector(connector.clone(), local.doorbell())?;
            Ok(Shard::new(engine, Env::new(&common, local.clone(), reader), local.clone()))
        });
        let system = system.map_err(StartError::Shards)?;
        metrics.set_system(system.system().clone());
        fanout::start_broker(self.broker.take(), system.system(), &source, &metrics)?;
        #[cfg(feature = "ws")]
        fanout::start_hubs(std::mem::take(&mut self.hubs), system.system(), &source, &metrics)?;
        self.act(system.system(), &source)?;
        metrics.set_ready(true);
        let stage = Stage { system, connector, source, metrics, kept: None };
        Ok(TestClient(Rc::new(RefCell::new(stage))))
    }
}
