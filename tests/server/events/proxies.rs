//! Event streams behind proxies: none is cached, compressed or held back until its first event.

use std::future::pending;

use windlass::{
    Request, Router, Server, TopicAccess,
    broker::{Broker, BrokerSettings, Event},
    event_stream, get,
    http::header,
    sse::{Client, Settings, respond},
    topic_routes,
};

use crate::{
    common::{builder, connect},
    topics::client::{Client as Subscriber, Received},
};

/// Paths of all kinds of event streams. None has an event to send at first, except the live metrics.
const STREAMS: [&str; 5] = ["/topics/quiet", "/quiet", "/respond", "/respond-async", "/metrics/live"];

/// Serves [`STREAMS`], without heartbeats.
fn serve() -> Server {
    let mut settings = BrokerSettings::default();
    settings.heartbeat = None;
    let broker = Broker::new(settings).unwrap();
    let silent = || Settings::new().heartbeat(None);
    let answer = move |request: Request| respond(&request, &silent(), |_: Client| pending());
    let router = topic_routes(Router::new(), &broker, TopicAccess::default())
        .route(event_stream("/quiet", |_, _| pending::<()>()))
        .route(get("/respond", answer))
        .route(get("/respond-async", answer).run_async());
    builder(router).broker(&broker).start().unwrap()
}

#[test]
fn a_proxy_may_not_cache_transform_or_buffer_a_stream_and_gets_its_first_byte_at_once() {
    let server = serve();
    for path in STREAMS {
        let mut peer = connect(&server);
        peer.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\nAccept-Encoding: gzip, br\r\n\r\n"));
        let head = String::from_utf8(peer.until(b"\r\n\r\n")).unwrap().to_lowercase();
        for line in [
            "content-type: text/event-stream\r\n",
            "cache-control: no-store, no-transform\r\n",
            "x-accel-buffering: no\r\n",
        ] {
            assert!(head.contains(line), "{path}: {line} is missing: {head}");
        }
        assert!(!head.contains("content-encoding"), "{path}: {head}");
        peer.exactly(1);
    }
}

#[test]
fn a_stream_without_events_starts_with_a_comment() {
    let server = serve();
    for path in ["/topics/quiet", "/quiet", "/respond", "/respond-async"] {
        let mut client = Subscriber::subscribe(&server, path, None);
        assert_eq!(client.next_with_comments(), Received::Comment, "{path}");
    }
    // A client of HTTP/1.0 gets it without chunks.
    let mut peer = connect(&server);
    peer.send("GET /topics/quiet HTTP/1.0\r\n\r\n");
    peer.until(b"\r\n\r\n:\n\n");
}

#[test]
fn a_stream_that_ends_at_once_is_complete() {
    let route = event_stream("/none", |_, client: Client| async move { client.close() });
    let server = builder(Router::new().route(route)).start().unwrap();
    assert_eq!(Subscriber::subscribe(&server, "/none", None).next(), Received::End);
    let reply = connect(&server).get("/none");
    assert_eq!((reply.status, reply.text().as_str()), (200, ":\n\n"));
    let mut peer = connect(&server);
    peer.request("HEAD", "/none");
    assert_eq!(peer.reply_to("HEAD").header("cache-control"), Some("no-store, no-transform"));
}

#[test]
fn a_subscriber_that_has_its_first_byte_misses_no_event() {
    let broker = Broker::new(BrokerSettings::default()).unwrap();
    let router = topic_routes(Router::new(), &broker, TopicAccess::default());
    let server = builder(router).broker(&broker).start().unwrap();
    for n in 0..50 {
        let mut client = Subscriber::subscribe(&server, "/topics/t", None);
        assert_eq!(client.next_with_comments(), Received::Comment);
        pollster::block_on(broker.publish(&"t".parse().unwrap(), Event::new(n.to_string()))).unwrap();
        let Received::Event { data, .. } = client.next() else { panic!("expected an event") };
        assert_eq!(data, n.to_string());
    }
}

#[test]
fn the_cache_control_of_a_handler_replaces_that_of_the_stream() {
    let answer = |request: Request| {
        let response = respond(&request, &Settings::new(), |_: Client| pending());
        response.with_header(header::CACHE_CONTROL, "no-cache")
    };
    let server = builder(Router::new().route(get("/own", answer))).start().unwrap();
    let mut peer = connect(&server);
    peer.request("GET", "/own");
    let head = String::from_utf8(peer.until(b"\r\n\r\n")).unwrap().to_lowercase();
    assert!(head.contains("cache-control: no-cache\r\n") && !head.contains("no-store"), "{head}");
    assert_eq!(peer.exactly(1), b"3", "the size of the first chunk");
}

#[cfg(feature = "http2")]
#[test]
fn streams_over_http2_do_the_same() {
    use crate::h2::client::{Client, request};
    use windlass::http::Method;

    let server = serve();
    let mut client = Client::connect(&server);
    for path in STREAMS {
        let (response, mut body) = client.open(request(Method::GET, path));
        body.send_data(bytes::Bytes::new(), true).unwrap();
        let mut response = client.wait(response).unwrap();
        assert_eq!(response.headers()["cache-control"], "no-store, no-transform", "{path}");
        assert_eq!(response.headers()["x-accel-buffering"], "no", "{path}");
        let first = client.wait(response.body_mut().data()).unwrap().unwrap();
        assert!(!first.is_empty(), "{path}");
        if path != "/metrics/live" {
            assert_eq!(first, ":\n\n", "{path}");
        }
    }
}
