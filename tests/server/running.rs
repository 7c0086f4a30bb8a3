//! Serving until a stop is requested: by a signal, by a future, and the drain as a future.

use std::{sync::Arc, thread, time::Duration};

use tokio::sync::Semaphore;
use windlass::{Request, Router, Server, get};

use crate::common::{Peer, connect, eventually, start};

/// Routes with a handler that waits for a permit.
fn held(permits: &Arc<Semaphore>) -> Router {
    let permits = permits.clone();
    let wait = move |_: Request| {
        let permits = permits.clone();
        async move { permits.acquire().await.map_or("closed", |_| "released") }
    };
    Router::new().route(get("/held", wait).run_async()).route(get("/", || "hello"))
}

fn open(server: &Server) -> Peer {
    let mut peer = connect(server);
    peer.request("GET", "/held");
    eventually("the handler runs", || server.pool().unwrap().stats().jobs.running == 1);
    peer
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

#[test]
fn run_until_drains_when_its_future_completes() {
    let permits = Arc::new(Semaphore::new(0));
    let server = start(held(&permits));
    let mut peer = open(&server);
    let address = crate::common::address(&server);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = thread::spawn(move || runtime().block_on(server.run_until(async { drop(stopped.await) })));
    assert_eq!(Peer::connect(address).get("/").text(), "hello");
    stop.send(()).unwrap();
    eventually("the listener is closed", || !crate::common::listens(&address));
    permits.add_permits(1);
    let reply = peer.reply();
    assert_eq!((reply.text().as_str(), reply.closes()), ("released", true));
    let report = serving.join().unwrap();
    assert_eq!((report.cut_total(), report.system.is_clean()), (0, true), "{report}");
}

#[test]
fn a_drain_whose_future_is_dropped_goes_on() {
    let server = start(Router::new().route(get("/", || "hello")));
    let address = crate::common::address(&server);
    drop(server.drain_async(Some(Duration::from_secs(5))));
    eventually("the listener is closed", || !crate::common::listens(&address));
    let server = start(Router::new());
    let report = runtime().block_on(server.drain_async(None));
    assert!(report.system.is_clean(), "{report}");
}

#[cfg(feature = "signal")]
#[test]
fn a_signal_drains_and_a_second_one_cuts() {
    use signal_hook::{consts::SIGTERM, low_level::raise};
    use windlass::StopSignal;

    let mut signal = StopSignal::new().unwrap();
    let permits = Arc::new(Semaphore::new(0));
    let server = start(held(&permits));
    let (address, peer) = (crate::common::address(&server), open(&server));
    raise(SIGTERM).unwrap();
    runtime().block_on(signal.received());
    let serving = thread::spawn(move || server.run(signal));
    eventually("the listener is closed", || !crate::common::listens(&address));
    // The grace of these tests has no end.
    raise(SIGTERM).unwrap();
    let report = serving.join().unwrap();
    assert_eq!(report.cut_total(), 1, "{report}");
    permits.add_permits(1);
    drop(peer);
}
