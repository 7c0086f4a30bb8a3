//! A server on a free port, and a client that sends raw bytes to it.

pub(crate) mod bodies;
#[path = "../../support/eventually.rs"]
mod eventually;
mod hold;
pub(crate) mod logs;
mod peer;
mod reply;

use std::{net::SocketAddr, time::Duration};

use windlass::{Builder, EngineKind, Operations, Router, Server, Timeouts, actors::Cores};

pub(crate) use eventually::{TIMEOUT, eventually};
pub(crate) use hold::Hold;
pub(crate) use peer::{End, Peer};
pub(crate) use reply::Reply;

/// A timeout that no test reaches.
pub(crate) const ENDLESS: Duration = Duration::from_secs(1000);

/// Environment variable that names the engine for these tests; unset, each server chooses. Only tests read
/// it.
const ENGINE: &str = "WINDLASS_TEST_ENGINE";

/// Returns the engine of these tests.
pub(crate) fn engine() -> EngineKind {
    std::env::var(ENGINE).map_or_else(|_| EngineKind::default(), |name| name.parse().unwrap())
}

/// Returns the name of the engine that runs. These tests need a system where io_uring works; it is the
/// default where it is built.
pub(crate) fn engine_name() -> String {
    match engine() {
        EngineKind::Auto if cfg!(feature = "io-uring") => EngineKind::IoUring.to_string(),
        EngineKind::Auto => EngineKind::Epoll.to_string(),
        asked_for => asked_for.to_string(),
    }
}

/// Returns timeouts that no test reaches, with load shedding off. A test shortens only the one under test, so
/// that a busy machine fails no test.
pub(crate) fn endless() -> Timeouts {
    let mut timeouts = Timeouts::default();
    let endless = Some(ENDLESS);
    (timeouts.header, timeouts.tls_handshake, timeouts.body_idle) = (endless, endless, endless);
    (timeouts.keep_alive, timeouts.write_stall, timeouts.job) = (endless, endless, endless);
    (timeouts.ws_ping, timeouts.ws_pong) = (endless, endless);
    (timeouts.ws_close, timeouts.grace, timeouts.drain_stall) = (ENDLESS, ENDLESS, None);
    (timeouts.shed_async, timeouts.shed_all, timeouts.body_rate) = (None, None, 0);
    timeouts
}

/// Starts a server's settings with the engine of these tests and [`endless`] timeouts.
pub(crate) fn base_builder() -> Builder {
    Server::builder().engine(engine()).timeouts(endless())
}

/// Returns settings with a port of the system's choice, two unpinned shards, and metrics at `/metrics`.
pub(crate) fn builder(router: Router) -> Builder {
    base_builder()
        .listen("127.0.0.1:0")
        .cores(Cores::Unpinned(2))
        .operations(Operations::usual())
        .router(router)
}

/// Starts a server with these routes.
pub(crate) fn start(router: Router) -> Server {
    builder(router).start().unwrap()
}

/// Returns the server's address.
pub(crate) fn address(server: &Server) -> SocketAddr {
    server.tcp_address().unwrap()
}

/// Connects to the server.
pub(crate) fn connect(server: &Server) -> Peer {
    Peer::connect(address(server))
}

/// Returns `true` if a listening socket has this port, without connecting to it.
pub(crate) fn listens(address: &SocketAddr) -> bool {
    /// The state LISTEN in `/proc/net/tcp`.
    const LISTEN: &str = "0A";
    let port = format!(":{:04X}", address.port());
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    sockets.lines().any(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        fields.len() > 3 && fields[1].ends_with(&port) && fields[3] == LISTEN
    })
}

/// Reads one sample of the metrics page; 0 if it is missing.
pub(crate) fn metric(server: &Server, sample: &str) -> f64 {
    let page = connect(server).get("/metrics").text();
    let line = page.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}
