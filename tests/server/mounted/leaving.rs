//! A client that leaves ends what a service does for it.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    response::sse::{Event, KeepAlive, Sse},
    routing,
};
use tokio_stream::StreamExt as _;
use windlass::{Router, Server};

use crate::common::{connect, eventually, start};

/// Counts its clones' lives.
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A server whose service waits for ever: before its response, or in its body. Returns how many do.
fn started() -> (Server, Arc<AtomicUsize>) {
    let alive = Arc::new(AtomicUsize::new(0));
    let (waiting, streaming, silent) = (alive.clone(), alive.clone(), alive.clone());
    let wait = move || async move {
        let _alive = Alive::new(&waiting);
        std::future::pending::<()>().await;
    };
    let events = move || async move {
        let alive = Alive::new(&streaming);
        let events = tokio_stream::pending::<Result<Event, Infallible>>().map(move |event| {
            let _ = &alive;
            event
        });
        Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_millis(20)))
    };
    let hush = move || async move {
        let alive = Alive::new(&silent);
        let nothing = tokio_stream::pending::<Result<bytes::Bytes, Infallible>>().map(move |piece| {
            let _ = &alive;
            piece
        });
        let first = tokio_stream::iter([Ok(bytes::Bytes::from_static(b"hush"))]);
        axum::body::Body::from_stream(first.chain(nothing))
    };
    let hushed_events = hush.clone();
    let app = axum::Router::new()
        .route("/wait", routing::get(wait))
        .route("/events", routing::get(events))
        .route("/silent", routing::get(hush))
        .route(
            "/silent-events",
            routing::get(|| async { ([("content-type", "text/event-stream")], hushed_events().await) }),
        );
    (start(Router::new().mount("/", app)), alive)
}

#[test]
fn a_reset_drops_the_future_and_the_body() {
    let (server, alive) = started();
    for (path, comes) in [("/wait", None), ("/events", Some("\r\n\r\n")), ("/silent", Some("hush"))] {
        let mut peer = connect(&server);
        peer.request("GET", path);
        eventually("it runs", || alive.load(Ordering::SeqCst) == 1);
        comes.map(|bytes| peer.until(bytes.as_bytes()));
        peer.reset();
        eventually(path, || alive.load(Ordering::SeqCst) == 0);
    }
    eventually("the places are free", || server.pool().unwrap().stats().jobs.running == 0);
}

#[test]
fn a_fin_ends_events_and_leaves_other_bodies() {
    let (server, alive) = started();
    let (mut events, mut other) = (connect(&server), connect(&server));
    events.request("GET", "/silent-events");
    other.request("GET", "/silent");
    events.until(b"hush");
    other.until(b"hush");
    eventually("both run", || alive.load(Ordering::SeqCst) == 2);
    events.finish();
    other.finish();
    eventually("the events end", || alive.load(Ordering::SeqCst) == 1);
    events.read_to_end();
    other.expect_silence(Duration::from_millis(100));
    assert_eq!(alive.load(Ordering::SeqCst), 1, "who half-closed may wait for the rest of an ordinary body");
}

#[cfg(feature = "http2")]
#[test]
fn a_reset_stream_drops_the_future_and_the_body() {
    use crate::h2::client::{Client, request};
    let (server, alive) = started();
    let mut client = Client::connect(&server);
    for path in ["/wait", "/events", "/silent"] {
        let (response, mut stream) =
            client.send.send_request(request(http::Method::GET, path), true).unwrap();
        let body = (path != "/wait").then(|| client.wait(response).unwrap().into_body());
        eventually("it runs", || alive.load(Ordering::SeqCst) == 1);
        stream.send_reset(::h2::Reason::CANCEL);
        eventually(path, || alive.load(Ordering::SeqCst) == 0);
        drop(body);
    }
    assert_eq!(client.get("/nowhere").status, 404, "the connection goes on");
}

#[test]
fn a_drain_waits_for_a_service_and_cuts_what_has_no_end() {
    let (server, alive) = started();
    let mut peer = connect(&server);
    peer.request("GET", "/events");
    peer.until(b"\r\n\r\n");
    let report = server.drain(Some(Duration::from_millis(100)));
    assert_eq!((report.drained, report.cut.get("reply_streaming")), (0, Some(&1)), "{report}");
    assert_eq!(alive.load(Ordering::SeqCst), 0);
    assert!(report.system.is_clean(), "{report}");
}
