//! Clients that disconnect: the service's future or body is dropped.

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

/// Counts its live instances.
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

/// Mounts services that never finish, before the response or in its body. Returns the number of those alive.
fn start_endless_services() -> (Server, Arc<AtomicUsize>) {
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
    let silent_body = move || async move {
        let alive = Alive::new(&silent);
        let nothing = tokio_stream::pending::<Result<bytes::Bytes, Infallible>>().map(move |piece| {
            let _ = &alive;
            piece
        });
        let first = tokio_stream::iter([Ok(bytes::Bytes::from_static(b"hush"))]);
        axum::body::Body::from_stream(first.chain(nothing))
    };
    let silent_events = silent_body.clone();
    let app = axum::Router::new()
        .route("/wait", routing::get(wait))
        .route("/events", routing::get(events))
        .route("/silent", routing::get(silent_body))
        .route(
            "/silent-events",
            routing::get(|| async { ([("content-type", "text/event-stream")], silent_events().await) }),
        );
    (start(Router::new().mount("/", app)), alive)
}

#[test]
fn a_reset_drops_the_future_and_the_body() {
    let (server, alive) = start_endless_services();
    for (path, first_bytes) in [("/wait", None), ("/events", Some("\r\n\r\n")), ("/silent", Some("hush"))] {
        let mut peer = connect(&server);
        peer.request("GET", path);
        eventually("the service runs", || alive.load(Ordering::SeqCst) == 1);
        first_bytes.map(|bytes| peer.until(bytes.as_bytes()));
        peer.reset();
        eventually(path, || alive.load(Ordering::SeqCst) == 0);
    }
    eventually("no job runs any more", || server.pool().unwrap().stats().jobs.running == 0);
}

#[test]
fn a_fin_ends_event_streams_but_not_other_bodies() {
    let (server, alive) = start_endless_services();
    let (mut events, mut other) = (connect(&server), connect(&server));
    events.request("GET", "/silent-events");
    other.request("GET", "/silent");
    events.until(b"hush");
    other.until(b"hush");
    eventually("both bodies are alive", || alive.load(Ordering::SeqCst) == 2);
    events.finish();
    other.finish();
    eventually("the event stream has ended", || alive.load(Ordering::SeqCst) == 1);
    events.read_to_end();
    other.expect_silence(Duration::from_millis(100));
    assert_eq!(alive.load(Ordering::SeqCst), 1, "a FIN must not end a body that is not an event stream");
}

#[cfg(feature = "http2")]
#[test]
fn a_reset_stream_drops_the_future_and_the_body() {
    use crate::h2::client::{Client, request};
    let (server, alive) = start_endless_services();
    let mut client = Client::connect(&server);
    for path in ["/wait", "/events", "/silent"] {
        let (response, mut stream) =
            client.send.send_request(request(http::Method::GET, path), true).unwrap();
        let body = (path != "/wait").then(|| client.wait(response).unwrap().into_body());
        eventually("the service runs", || alive.load(Ordering::SeqCst) == 1);
        stream.send_reset(::h2::Reason::CANCEL);
        eventually(path, || alive.load(Ordering::SeqCst) == 0);
        drop(body);
    }
    assert_eq!(client.get("/nowhere").status, 404, "the connection must stay open");
}

#[test]
fn a_drain_cuts_an_endless_body_after_the_grace() {
    let (server, alive) = start_endless_services();
    let mut peer = connect(&server);
    peer.request("GET", "/events");
    peer.until(b"\r\n\r\n");
    let report = server.drain(Some(Duration::from_millis(100)));
    assert_eq!((report.drained, report.cut.get("reply_streaming")), (0, Some(&1)), "{report}");
    assert_eq!(alive.load(Ordering::SeqCst), 0);
    assert!(report.system.is_clean(), "{report}");
}
