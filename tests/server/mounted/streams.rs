//! Streamed bodies of mounted services: echo while receiving, event streams with keep-alive, and trailers.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::Body,
    response::sse::{Event, KeepAlive, Sse},
    routing,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream};
use windlass::Router;

use crate::common::{connect, start};

fn sum(value: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(HeaderName::from_static("x-sum"), HeaderValue::from_static(value))])
}

/// Echoes the body and its trailers as they arrive.
async fn echo(body: Body) -> Body {
    body
}

/// Counts the bytes of the body and answers with the count and the trailer.
async fn count(body: Body) -> String {
    use http_body_util::BodyExt as _;
    let collected = body.collect().await.unwrap();
    let trailers =
        collected.trailers().map_or("none".to_owned(), |t| t["x-sum"].to_str().unwrap().to_owned());
    format!("{} bytes, trailer {trailers}", collected.to_bytes().len())
}

fn ticks() -> impl Stream<Item = Result<Event, Infallible>> {
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    tokio::spawn(async move {
        for tick in 0..3 {
            if sender.send(Event::default().event("tick").data(tick.to_string())).await.is_err() {
                return;
            }
        }
        // No further event follows while the client stays.
        sender.closed().await;
    });
    ReceiverStream::new(receiver).map(Ok)
}

async fn events() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    Sse::new(ticks()).keep_alive(KeepAlive::new().interval(Duration::from_millis(50)).text("still here"))
}

async fn large() -> Body {
    let chunks = (0..64u8).map(|n| Ok::<_, Infallible>(Bytes::from(vec![n; 32 * 1024])));
    Body::from_stream(tokio_stream::iter(chunks))
}

async fn broken() -> Body {
    let chunks =
        [Ok(Bytes::from_static(b"a part")), Err(std::io::Error::other("deliberate error of the test"))];
    Body::from_stream(tokio_stream::iter(chunks))
}

async fn with_trailers() -> http::Response<Body> {
    use http_body_util::BodyExt as _;
    let body = http_body_util::Full::new(Bytes::from_static(b"content"));
    let body =
        body.map_err(|never| match never {}).with_trailers(async { Some(Ok::<_, Infallible>(sum("7"))) });
    http::Response::new(Body::from_stream(tokio_stream::iter::<[Result<Bytes, Infallible>; 0]>([])))
        .map(|_| Body::new(body))
}

fn router() -> Router {
    let app = axum::Router::new()
        .route("/echo", routing::post(echo))
        .route("/count", routing::post(count))
        .route("/events", routing::get(events))
        .route("/large", routing::get(large))
        .route("/broken", routing::get(broken))
        .route("/trailed", routing::get(with_trailers));
    Router::new().mount("/", app)
}

#[test]
fn a_body_may_be_echoed_while_it_arrives() {
    let server = start(router());
    let mut peer = connect(&server);
    peer.send("POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
    peer.until(b"5\r\nfirst\r\n");
    peer.send("6\r\nsecond\r\n");
    peer.until(b"6\r\nsecond\r\n");
    peer.send("0\r\nx-sum: 3\r\n\r\n");
    peer.until(b"0\r\nx-sum: 3\r\n\r\n");
}

#[test]
fn trailers_are_received_and_sent() {
    let server = start(router());
    let mut peer = connect(&server);
    peer.send(
        "POST /count HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n\
         3\r\nabc\r\n0\r\nx-sum: 6\r\n\r\n",
    );
    assert_eq!(peer.reply().text(), "3 bytes, trailer 6");
    let mut dripped = connect(&server);
    for byte in b"POST /count HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc" {
        dripped.send([*byte]);
    }
    assert_eq!(dripped.reply().text(), "3 bytes, trailer none");
    // The body has a known length, so HTTP/1.1 sends no trailers.
    assert_eq!(connect(&server).get("/trailed").text(), "content");
}

#[test]
fn large_bodies_arrive_complete() {
    let server = start(router());
    let reply = connect(&server).get("/large");
    assert_eq!(reply.body.len(), 2 << 20);
    assert!(
        reply.body.chunks(32 * 1024).enumerate().all(|(n, chunk)| chunk.iter().all(|b| usize::from(*b) == n))
    );
    assert_eq!(connect(&server).post("/count", vec![1; 3 << 20]).text(), "3145728 bytes, trailer none");
}

#[test]
fn a_failing_body_is_cut_and_looks_incomplete() {
    let server = start(router());
    let mut peer = connect(&server);
    peer.request("GET", "/broken");
    let rest = String::from_utf8(peer.read_to_end()).unwrap();
    assert!(rest.contains("a part") && !rest.ends_with("0\r\n\r\n"), "{rest}");
}

#[test]
fn an_event_stream_sends_its_keep_alive() {
    let server = start(router());
    let mut peer = connect(&server);
    peer.request("GET", "/events");
    let head = String::from_utf8(peer.until(b"\r\n\r\n")).unwrap();
    assert!(head.contains("content-type: text/event-stream\r\n"), "{head}");
    peer.until(b"event: tick\ndata: 0\n\n");
    peer.until(b"event: tick\ndata: 2\n\n");
    peer.until(b": still here\n\n");
    peer.until(b": still here\n\n");
}

#[cfg(feature = "http2")]
mod over_h2 {
    use http::Method;

    use super::*;
    use crate::h2::client::{Client, request};

    #[test]
    fn a_body_may_be_echoed_while_it_arrives() {
        let server = start(router());
        let mut client = Client::connect(&server);
        let (response, mut sending) = client.open(request(Method::POST, "/echo"));
        sending.send_data(Bytes::from_static(b"first"), false).unwrap();
        let mut body = client.wait(response).unwrap().into_body();
        assert_eq!(client.wait(body.data()).unwrap().unwrap(), "first");
        sending.send_data(Bytes::from_static(b"second"), false).unwrap();
        assert_eq!(client.wait(body.data()).unwrap().unwrap(), "second");
        sending.send_trailers(sum("9")).unwrap();
        assert!(client.wait(body.data()).is_none());
        assert_eq!(client.wait(body.trailers()).unwrap(), Some(sum("9")));
    }

    #[test]
    fn trailers_and_large_bodies_arrive_complete() {
        let server = start(router());
        let mut client = Client::connect(&server);
        let with_trailers = client.get("/trailed");
        assert_eq!((with_trailers.text(), with_trailers.trailers.as_ref()), ("content", Some(&sum("7"))));
        assert_eq!(client.get("/large").body.len(), 2 << 20);
        assert_eq!(client.call(Method::POST, "/count", vec![1; 60_000]).text(), "60000 bytes, trailer none");
    }

    #[test]
    fn an_event_stream_sends_its_keep_alive() {
        let server = start(router());
        let mut client = Client::connect(&server);
        let (response, _) = client.send.send_request(request(Method::GET, "/events"), true).unwrap();
        let mut body = client.wait(response).unwrap().into_body();
        let mut all = String::new();
        while !(all.contains("data: 2") && all.contains(": still here")) {
            all += std::str::from_utf8(&client.wait(body.data()).unwrap().unwrap()).unwrap();
        }
    }
}
