//! Timers and deadlines with a clock that the test controls, so that the expiry of each is exact.
//!
//! The connections are those of a server that runs on the test client. `timeouts` tests timers on sockets.

use std::time::Duration;

use windlass::{
    Operations, Request, Router, Server, TestClient, TestConnection, TestEnd, Timeouts, TopicAccess,
    actors::clock,
    broker::{Broker, BrokerSettings, Event},
    get, post, static_route, topic_routes,
};

use crate::common::{Reply, endless};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Returns the test client of a server with these timeouts. Its clock is stopped.
fn client(router: Router, set: impl FnOnce(&mut Timeouts)) -> TestClient {
    let mut timeouts = endless();
    set(&mut timeouts);
    let server = Server::builder().operations(Operations::usual()).router(router).timeouts(timeouts);
    let client = server.test_client().unwrap();
    client.stop_clock();
    client
}

async fn count(mut request: Request) -> String {
    match request.take_body().collect(usize::MAX).await {
        Ok(bytes) => bytes.len().to_string(),
        Err(error) => error.to_string(),
    }
}

fn routes() -> Router {
    Router::new()
        .route(static_route("/static", "static"))
        .route(get("/never", async |_: Request| std::future::pending::<()>().await).run_async())
        .route(get("/large", |_: Request| vec![b'x'; 1 << 20]))
        .route(post("/whole", count))
        .route(post("/streamed", count).streamed())
}

/// Returns the only reply received.
#[track_caller]
fn reply(peer: &mut TestConnection) -> Reply {
    let bytes = peer.received();
    let (reply, used) = Reply::parse(&bytes, "GET", peer.end().is_some())
        .unwrap_or_else(|| panic!("incomplete reply: {}", bytes.escape_ascii()));
    assert_eq!(used, bytes.len());
    reply
}

/// Sends a GET request and returns its reply.
#[track_caller]
fn ask(peer: &mut TestConnection, path: &str) -> Reply {
    peer.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
    reply(peer)
}

/// Advances the clock by `time` and asserts that nothing reaches the peer until one millisecond before that.
#[track_caller]
fn silent_for(client: &TestClient, peer: &mut TestConnection, time: Duration) {
    client.advance(time - MS);
    let received = peer.received();
    assert!(received.is_empty() && peer.end().is_none(), "{:?} {}", peer.end(), received.escape_ascii());
    client.advance(MS);
}

#[track_caller]
fn assert_408(peer: &mut TestConnection) {
    let reply = reply(peer);
    assert_eq!((reply.status, reply.closes(), peer.end()), (408, true, Some(TestEnd::Fin)));
}

#[test]
fn the_header_timeout_starts_with_the_first_byte_and_is_not_extended() {
    let client = client(routes(), |t| t.header = Some(SECOND * 10));
    for sent in ["G", "GET / HTTP/1.1\r\nHost: t\r\n", "\r\nGET"] {
        let mut peer = client.connect();
        client.advance(SECOND * 100);
        peer.send(sent);
        silent_for(&client, &mut peer, SECOND * 10);
        assert_408(&mut peer);
    }
    let mut dripping = client.connect();
    dripping.send("GET / HTTP/1.1\r\nHost: t\r\nX: ");
    for _ in 0..9 {
        client.advance(SECOND);
        dripping.send("x");
    }
    silent_for(&client, &mut dripping, SECOND);
    assert_408(&mut dripping);
    let mut second = client.connect();
    assert_eq!(ask(&mut second, "/static").text(), "static");
    client.advance(SECOND * 100);
    second.send("GET /static HTTP/1.1\r\n");
    silent_for(&client, &mut second, SECOND * 10);
    assert_408(&mut second);
}

#[test]
fn an_idle_connection_is_closed_after_the_keep_alive_timeout() {
    let client = client(routes(), |t| t.keep_alive = Some(SECOND * 60));
    let mut fresh = client.connect();
    silent_for(&client, &mut fresh, SECOND * 60);
    assert_eq!(fresh.end(), Some(TestEnd::Fin));
    let mut used = client.connect();
    for _ in 0..3 {
        client.advance(SECOND * 59);
        assert!(!ask(&mut used, "/static").closes());
    }
    silent_for(&client, &mut used, SECOND * 60);
    assert_eq!(used.end(), Some(TestEnd::Fin));
    let mut stray = client.connect();
    assert_eq!(ask(&mut stray, "/static").text(), "static");
    client.advance(SECOND * 30);
    stray.send("\r\n");
    client.advance(SECOND * 30);
    assert!(
        stray.received().is_empty() && stray.end() == Some(TestEnd::Fin),
        "an empty line should not restart the timeout"
    );
}

#[test]
fn a_connection_whose_reply_is_not_sent_counts_as_active() {
    let client = client(routes(), |_| {});
    let active = || {
        let page = client.get("/metrics").into_body();
        std::str::from_utf8(&page)
            .unwrap()
            .lines()
            .any(|line| line == "windlass_connections{shard=\"0\",state=\"active\"} 1")
    };
    let mut idle = client.connect();
    assert_eq!(ask(&mut idle, "/static").text(), "static");
    let mut peer = client.connect();
    peer.read_only(Some(1000));
    peer.send("GET /large HTTP/1.1\r\nHost: t\r\n\r\n");
    client.advance(SECOND);
    assert!(active(), "the peer has read 1000 bytes of a mebibyte");
    peer.read_only(None);
    assert_eq!(reply(&mut peer).body.len(), 1 << 20);
    assert!(!active());
}

#[test]
fn the_keep_alive_timeout_starts_after_a_long_download() {
    let client = client(routes(), |t| t.keep_alive = Some(SECOND * 60));
    let mut peer = client.connect();
    peer.read_only(Some(1000));
    peer.send("GET /large HTTP/1.1\r\nHost: t\r\n\r\n");
    client.advance(SECOND * 300);
    peer.read_only(None);
    assert_eq!(reply(&mut peer).body.len(), 1 << 20);
    silent_for(&client, &mut peer, SECOND * 60);
    assert_eq!(peer.end(), Some(TestEnd::Fin));
}

#[test]
fn each_byte_of_a_body_restarts_the_idle_timeout() {
    let client = client(routes(), |t| t.body_idle = Some(SECOND * 30));
    for path in ["/whole", "/streamed"] {
        for head in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
            let mut peer = client.connect();
            peer.send(format!("POST {path} HTTP/1.1\r\nHost: t\r\n{head}\r\n\r\n"));
            for byte in b"64\r\nabcde" {
                client.advance(SECOND * 29);
                peer.send([*byte]);
            }
            silent_for(&client, &mut peer, SECOND * 30);
            let reply = reply(&mut peer);
            match path {
                "/whole" => assert_eq!(reply.status, 408),
                _ => assert!(reply.text().contains("too slowly"), "{}", reply.text()),
            }
            assert!(peer.end().is_some());
        }
    }
}

#[test]
fn a_body_below_the_minimum_rate_is_refused_after_the_grace_period() {
    let client = client(routes(), |t| (t.body_rate, t.body_grace) = (1000, SECOND * 10));
    let mut peer = client.connect();
    peer.send("POST /whole HTTP/1.1\r\nHost: t\r\nContent-Length: 1000000\r\n\r\n");
    for _ in 0..9 {
        client.advance(SECOND);
        peer.send([b'x'; 900]);
    }
    silent_for(&client, &mut peer, SECOND);
    assert_408(&mut peer);
}

#[test]
fn a_body_above_the_minimum_rate_has_no_total_timeout() {
    let set = |t: &mut Timeouts| {
        (t.body_rate, t.body_grace, t.body_idle) = (1000, SECOND, Some(SECOND * 5));
    };
    let client = client(routes(), set);
    let mut peer = client.connect();
    peer.send("POST /whole HTTP/1.1\r\nHost: t\r\nContent-Length: 1000000\r\n\r\n");
    for _ in 0..100 {
        peer.send([b'x'; 2000]);
        client.advance(SECOND);
        assert_eq!(peer.end(), None);
    }
    // The body is ahead of the minimum rate, so only the idle timeout applies. One of its five seconds has
    // passed.
    silent_for(&client, &mut peer, SECOND * 4);
    assert_408(&mut peer);
}

#[test]
fn a_slow_handler_does_not_count_as_a_slow_body() {
    let handler = async |request: Request| {
        windlass::sleep(SECOND * 90).await;
        count(request).await
    };
    let set = |t: &mut Timeouts| {
        (t.body_idle, t.body_rate, t.body_grace) = (Some(SECOND * 30), 1000, SECOND);
    };
    let client = client(Router::new().route(post("/", handler).streamed()), set);
    let mut peer = client.connect();
    peer.send(format!("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n", 1 << 20));
    peer.send(vec![b'x'; 1 << 20]);
    silent_for(&client, &mut peer, SECOND * 90);
    assert_eq!(reply(&mut peer).text(), (1 << 20).to_string());
}

#[test]
fn only_a_reader_without_progress_is_reset() {
    let client = client(routes(), |t| t.write_stall = Some(SECOND * 30));
    let mut peer = client.connect();
    peer.read_only(Some(0));
    peer.send("GET /large HTTP/1.1\r\nHost: t\r\n\r\n");
    for _ in 0..20 {
        client.advance(SECOND * 29);
        peer.read_only(Some(1000));
        assert_eq!((peer.received().len(), peer.end()), (1000, None));
    }
    silent_for(&client, &mut peer, SECOND * 30);
    assert_eq!(peer.end(), Some(TestEnd::Reset), "a truncated reply should end with a reset");
}

#[test]
fn a_connection_beyond_its_maximum_age_closes_after_the_next_reply() {
    const MINUTE: Duration = Duration::from_secs(60);
    let client = client(routes(), |t| t.age = Some(MINUTE * 60));
    let mut peer = client.connect();
    let mut minutes = 0;
    while !ask(&mut peer, "/static").closes() {
        client.advance(MINUTE);
        minutes += 1;
    }
    // Jitter of a tenth spreads the ends of connections.
    assert!((54..=61).contains(&minutes), "{minutes}");
    assert_eq!(peer.end(), Some(TestEnd::Fin));
}

#[test]
fn a_job_timeout_returns_503_and_keeps_the_connection() {
    let client = client(routes(), |t| t.job = Some(SECOND * 30));
    let mut peer = client.connect();
    peer.send("GET /never HTTP/1.1\r\nHost: t\r\n\r\n");
    silent_for(&client, &mut peer, SECOND * 30);
    assert_eq!(reply(&mut peer).status, 503);
    assert_eq!(ask(&mut peer, "/static").text(), "static");
}

#[test]
fn live_metrics_are_sent_at_once_then_every_second_and_shared() {
    let client = client(routes(), |_| {});
    let mut watchers: Vec<_> = (0..8).map(|_| client.connect()).collect();
    let figures = |peer: &mut TestConnection| {
        let text = String::from_utf8(peer.received()).unwrap();
        let (_, figures) = text.split_once("data: ").unwrap_or_else(|| panic!("missing event data: {text}"));
        figures.lines().next().unwrap().to_owned()
    };
    watchers.iter_mut().for_each(|peer| peer.send("GET /metrics/live HTTP/1.1\r\nHost: t\r\n\r\n"));
    let mut last = figures(&mut watchers[0]);
    assert!(watchers[1..].iter_mut().all(|peer| figures(peer) == last));
    for _ in 0..3 {
        silent_for(&client, &mut watchers[0], SECOND);
        let next = figures(&mut watchers[0]);
        assert_ne!(next, last, "each event should have new figures");
        assert!(
            watchers[1..].iter_mut().all(|peer| figures(peer) == next),
            "all watchers should receive the same figures"
        );
        last = next;
    }
}

#[test]
fn comments_are_sent_to_idle_streams_only() {
    const HEARTBEAT: Duration = Duration::from_secs(15);
    let mut settings = BrokerSettings::default();
    settings.heartbeat = Some(HEARTBEAT);
    let broker = Broker::new(settings).unwrap();
    let router = topic_routes(Router::new(), &broker, TopicAccess::default());
    let client = Server::builder().router(router).broker(&broker).timeouts(endless()).test_client().unwrap();
    client.stop_clock();
    let mut peer = client.connect();
    peer.send("GET /topics/t HTTP/1.1\r\nHost: t\r\n\r\n");
    assert!(peer.received().starts_with(b"HTTP/1.1 200 "));
    let topic = "t".parse().unwrap();
    for number in 0..50 {
        client.advance(HEARTBEAT / 2);
        pollster::block_on(broker.publish(&topic, Event::new(format!("event {number}")))).unwrap();
        client.advance(Duration::ZERO);
        let text = String::from_utf8(peer.received()).unwrap();
        assert!(text.contains(&format!("data: event {number}\n")) && !text.contains(":\n"), "{text}");
    }
    for _ in 0..3 {
        silent_for(&client, &mut peer, HEARTBEAT);
        let text = String::from_utf8(peer.received()).unwrap();
        assert!(text.contains(":\n\n") && !text.contains("data"), "{text}");
    }
}

#[cfg(feature = "ws")]
mod ws {
    use windlass::{
        websocket, websocket_with,
        ws::{Settings, Socket},
    };

    use super::*;
    use crate::ws::peer::{PING, PONG, TEXT, echo, frame, opening};

    const PING_AFTER: Duration = Duration::from_secs(30);
    const PONG_WITHIN: Duration = Duration::from_secs(10);

    fn open(client: &TestClient) -> TestConnection {
        let mut peer = client.connect();
        peer.send(opening("/ws", ""));
        assert!(peer.until("\r\n\r\n").starts_with(b"HTTP/1.1 101 "));
        peer
    }

    #[test]
    fn an_idle_client_is_pinged_and_reset_without_a_pong() {
        let set = |t: &mut Timeouts| (t.ws_ping, t.ws_pong) = (Some(PING_AFTER), Some(PONG_WITHIN));
        let client = client(Router::new().route(websocket("/ws", echo)), set);
        let mut peer = open(&client);
        for _ in 0..3 {
            silent_for(&client, &mut peer, PING_AFTER);
            assert_eq!(peer.received(), [PING, 0]);
            client.advance(PONG_WITHIN - MS);
            peer.send(frame(PONG, ""));
        }
        client.advance(PING_AFTER - MS);
        peer.send(frame(TEXT, "alive"));
        assert_eq!(peer.received(), [&[TEXT, 5][..], b"alive"].concat());
        silent_for(&client, &mut peer, PING_AFTER);
        assert_eq!(peer.received(), [PING, 0]);
        silent_for(&client, &mut peer, PONG_WITHIN);
        assert_eq!(peer.end(), Some(TestEnd::Reset));
    }

    #[test]
    fn a_handler_that_does_not_read_causes_no_pong_timeout() {
        let settings = Settings::new().ping(Some(PING_AFTER)).pong(Some(PONG_WITHIN));
        let router = Router::new().route(websocket_with("/ws", settings, async |mut socket: Socket| {
            windlass::sleep(PING_AFTER * 6).await;
            while let Some(Ok(message)) = socket.recv().await {
                let _ = socket.send(message).await;
            }
        }));
        let client = client(router, |_| {});
        let mut peer = open(&client);
        peer.send([frame(TEXT, "one"), frame(TEXT, "two")].concat());
        client.advance(PING_AFTER * 6);
        let sent = peer.received();
        assert!(sent.ends_with(&[&[TEXT, 3][..], b"one", &[TEXT, 3], b"two"].concat()), "{sent:?}");
        assert_eq!(peer.end(), None);
    }
}

/// Sends pipelined requests to `path` and returns the statuses of their replies in order.
fn statuses(client: &TestClient, path: &str, requests: usize) -> Vec<u16> {
    let mut peer = client.connect();
    peer.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n").repeat(requests));
    replies(&mut peer)
}

fn replies(peer: &mut TestConnection) -> Vec<u16> {
    let (bytes, mut at, mut statuses) = (peer.received(), 0, Vec::new());
    while at < bytes.len() {
        let (reply, used) = Reply::parse(&bytes[at..], "GET", false).unwrap();
        statuses.push(reply.status);
        at += used;
    }
    statuses
}

fn slow_routes() -> Router {
    routes()
        .route(get("/hold", |_: Request| clock::advance(MS * 20)))
        .route(get("/slow", |_: Request| clock::advance(MS * 700)))
}

#[test]
fn a_standing_queue_is_shed_until_it_is_gone() {
    let client = client(slow_routes(), |t| t.shed_all = Some(MS * 100));
    let held = statuses(&client, "/hold", 200);
    assert_eq!(held.len(), 200);
    assert!(held[..10].iter().all(|status| *status == 204 || *status == 200), "{held:?}");
    assert!(held.contains(&503), "{held:?}");
    client.advance(SECOND);
    for _ in 0..50 {
        assert!(statuses(&client, "/static", 64).iter().all(|status| *status == 200));
        client.advance(MS);
    }
}

#[test]
fn one_slow_handler_does_not_trigger_shedding() {
    let shed = |t: &mut Timeouts| (t.shed_async, t.shed_all) = (Some(MS * 50), Some(MS * 200));
    let client = client(slow_routes(), shed);
    for round in 0..10 {
        let mut peer = client.connect();
        let pipelined = "GET /static HTTP/1.1\r\nHost: t\r\n\r\n".repeat(100);
        peer.send(format!("GET /slow HTTP/1.1\r\nHost: t\r\n\r\n{pipelined}"));
        let statuses = replies(&mut peer);
        assert_eq!((statuses.len(), statuses.contains(&503)), (101, false), "round {round}");
        client.advance(SECOND);
    }
}
