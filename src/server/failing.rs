//! Tests of a server of which a shard fails.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::mpsc,
    time::{Duration, Instant},
};

use windlass_actors::Cores;

use crate::{
    conn::Msg,
    routing::router::Router,
    server::{EngineKind, Operations, Server},
};

const LONG: Duration = Duration::from_secs(20);

/// Returns the status of a response, or `None` if the shard that got the connection is gone.
fn status(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").ok()?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).ok()?;
    Some(reply.get(9..12)?.to_owned())
}

fn a_failed_shard_is_reported(engine: EngineKind) {
    let (failed, failures) = mpsc::channel();
    let server = Server::builder()
        .engine(engine)
        .cores(Cores::Unpinned(2))
        .listen("127.0.0.1:0")
        .router(Router::new())
        .operations(Operations::usual())
        .on_shard_failure(move |failure| failed.send(failure.shard).unwrap())
        .start()
        .unwrap();
    let address = server.tcp_address().unwrap();
    assert_eq!(status(address, "/healthz").as_deref(), Some("200"));
    assert!(server.inboxes[1].try_send(Msg::Panic).is_ok());
    assert_eq!(failures.recv_timeout(LONG), Ok(1));
    let deadline = Instant::now() + LONG;
    for path in ["/healthz", "/readyz"] {
        while status(address, path).as_deref() != Some("503") {
            assert!(Instant::now() < deadline, "{path} does not report the failed shard");
        }
    }
    let report = server.drain(None);
    assert!(report.duration < LONG, "{report}");
    assert_eq!(report.system.failures.len(), 1, "{report}");
    assert!(report.cut.is_empty(), "{report}");
}

#[cfg(feature = "io-uring")]
#[test]
fn a_failed_shard_is_reported_on_io_uring() {
    a_failed_shard_is_reported(EngineKind::IoUring);
}

#[cfg(feature = "epoll")]
#[test]
fn a_failed_shard_is_reported_on_epoll() {
    a_failed_shard_is_reported(EngineKind::Epoll);
}
