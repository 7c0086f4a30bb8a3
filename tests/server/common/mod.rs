//! A server on a free port and a peer that speaks bytes to it.

pub(crate) mod bodies;
mod hold;
mod peer;
mod reply;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use windlass::{Builder, EngineKind, Operations, Router, Server, Timeouts, actors::Cores};

pub(crate) use hold::Hold;
pub(crate) use peer::{End, Peer};
pub(crate) use reply::Reply;

/// How long a test waits for what must happen; far beyond what it takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Names the engine that all these tests shall run on; unset, each server chooses. Only tests read it.
const ENGINE: &str = "WINDLASS_TEST_ENGINE";

/// Returns the engine these tests run on.
pub(crate) fn engine() -> EngineKind {
    std::env::var(ENGINE).map_or_else(|_| EngineKind::default(), |name| name.parse().unwrap())
}

/// Returns the name of the engine that runs: where these tests run io_uring works, and is the default if it is built.
pub(crate) fn engine_name() -> String {
    match engine() {
        EngineKind::Auto if cfg!(feature = "io-uring") => EngineKind::IoUring.to_string(),
        EngineKind::Auto => EngineKind::Epoll.to_string(),
        asked_for => asked_for.to_string(),
    }
}

/// Begins a server on the engine these tests run on. It sheds nothing: a machine that gives a shard no time is not what is
/// tested.
pub(crate) fn bare() -> Builder {
    let mut timeouts = Timeouts::default();
    (timeouts.shed_async, timeouts.shed_all) = (None, None);
    Server::builder().engine(engine()).timeouts(timeouts)
}

/// Says how the servers of these tests are: two shards wherever the kernel puts them, metrics at `/metrics`.
pub(crate) fn builder(router: Router) -> Builder {
    bare()
        .listen("127.0.0.1:0".parse().unwrap())
        .cores(Cores::Unpinned(2))
        .operations(Operations::usual())
        .router(router)
}

/// Starts a server with these routes.
pub(crate) fn start(router: Router) -> Server {
    builder(router).start().unwrap()
}

/// Returns where it listens.
pub(crate) fn address(server: &Server) -> SocketAddr {
    server.tcp_address().unwrap()
}

/// Connects to a server.
pub(crate) fn connect(server: &Server) -> Peer {
    Peer::connect(address(server))
}

/// Waits until something holds.
#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Says whether a shard still has its listening socket, without making it accept anything.
pub(crate) fn listens(address: &SocketAddr) -> bool {
    /// The state LISTEN.
    const LISTEN: &str = "0A";
    let port = format!(":{:04X}", address.port());
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    sockets.lines().any(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        fields.len() > 3 && fields[1].ends_with(&port) && fields[3] == LISTEN
    })
}

/// Reads one sample of the metrics page, 0 if it is not there.
pub(crate) fn metric(server: &Server, sample: &str) -> f64 {
    let page = connect(server).get("/metrics").text();
    let line = page.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}
