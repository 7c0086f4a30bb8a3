//! Event streams over TLS, behind proxies.

use std::future::pending;

use windlass::{
    Router, TopicAccess,
    broker::{Broker, BrokerSettings},
    event_stream, topic_routes,
};

use super::TlsServer;

const PATHS: [&str; 2] = ["/topics/quiet", "/quiet"];

fn start() -> TlsServer {
    let mut settings = BrokerSettings::default();
    settings.heartbeat = None;
    let broker = Broker::new(settings).unwrap();
    let router = topic_routes(Router::new(), &broker, TopicAccess::default());
    let router = router.route(event_stream("/quiet", |_, _| pending::<()>()));
    TlsServer::with(|builder| builder.router(router).broker(&broker))
}

#[test]
fn a_stream_starts_with_a_comment_and_may_not_be_transformed() {
    let served = start();
    for path in PATHS {
        let mut client = served.client();
        client.request("GET", path);
        let head = String::from_utf8(client.until(b"\r\n\r\n")).unwrap();
        assert!(head.contains("cache-control: no-store, no-transform\r\n"), "{path}: {head}");
        assert!(head.contains("x-accel-buffering: no\r\n"), "{path}: {head}");
        assert_eq!(client.until(b"\n\n\r\n"), b"3\r\n:\n\n\r\n", "{path}");
    }
}

#[cfg(feature = "http2")]
#[test]
fn a_stream_over_http2_starts_with_a_comment_and_may_not_be_transformed() {
    let served = start();
    for path in PATHS {
        let mut client = super::http2::connect_offering(&served, &["h2"]);
        client.send(super::http2::first_request(path));
        client.until(b"no-store, no-transform");
        client.until(b":\n\n");
    }
}
