//! Topics over HTTP: publishing, subscribing, replay of missed events, access control, and draining.

mod callbacks;
pub(crate) mod client;
mod cors;
mod direct;
mod failing;
mod filters;
mod limits;
mod names;
#[cfg(feature = "http2")]
mod over_h2;
mod resuming;
mod slow;
#[cfg(feature = "ws")]
mod sockets;

use std::{
    cell::RefCell,
    net::SocketAddr,
    time::{Duration, Instant},
};

use windlass::{
    Operations, Origins, Router, Server, TopicAccess, TopicAction, TopicCheck,
    actors::Cores,
    broker::{Broker, BrokerSettings, Event},
    topic_routes,
};

use crate::common::{Hold, Peer, TIMEOUT, builder, connect, eventually};
use client::{Client, Received};

fn serve(broker: &Broker, access: TopicAccess) -> Server {
    builder(topic_routes(Router::new(), broker, access))
        .operations(Operations::usual())
        .broker(broker)
        .start()
        .unwrap()
}

fn with(change: impl FnOnce(&mut BrokerSettings)) -> (Server, Broker) {
    let mut settings = BrokerSettings::default();
    change(&mut settings);
    let broker = Broker::new(settings).unwrap();
    (serve(&broker, TopicAccess::default()), broker)
}

/// Publishes an event and returns its id.
fn publish(server: &Server, path: &str, data: impl AsRef<[u8]>) -> String {
    let reply = connect(server).post(path, data);
    assert_eq!(reply.status, 202, "{}", reply.text());
    let text = reply.text();
    let id = text.strip_prefix(r#"{"id":""#).and_then(|rest| rest.split('"').next());
    id.unwrap_or_else(|| panic!("{text}")).to_owned()
}

fn seq(id: &str) -> u64 {
    id.split_once('-').unwrap().1.parse().unwrap()
}

#[test]
fn an_event_reaches_every_subscriber_of_its_topic_and_no_other() {
    let (server, broker) = with(|_| {});
    let mut clients: Vec<_> =
        (0..4).map(|_| Client::subscribe(&server, "/topics/news/local", None)).collect();
    let mut other = Client::subscribe(&server, "/topics/sport", None);
    let topic = "news/local".parse().unwrap();
    eventually("all clients are subscribed", || {
        broker.stats(&topic).is_some_and(|stats| stats.subscribers == 4)
    });
    let first = publish(&server, "/topics/news/local", "one\ntwo\r\nthree");
    let second = publish(&server, "/topics/news/local?event=tick", "");
    assert_eq!(seq(&second), seq(&first) + 1);
    for client in &mut clients {
        assert_eq!(client.next(), Received::event(&first, "message", "one\ntwo\nthree"));
        assert_eq!(client.next(), Received::event(&second, "tick", ""));
    }
    let id = publish(&server, "/topics/sport", "goal");
    assert_eq!(other.next(), Received::event(&id, "message", "goal"));
}

#[test]
fn the_head_of_a_stream_is_sent_before_any_event() {
    let (server, _) = with(|settings| settings.retry = Some(Duration::from_secs(3)));
    let mut peer = connect(&server);
    peer.request("GET", "/topics/quiet");
    let head = String::from_utf8(peer.until(b"\r\n\r\n")).unwrap().to_lowercase();
    assert!(head.starts_with("http/1.1 200"), "{head}");
    for line in ["content-type: text/event-stream", "cache-control: no-store", "x-accel-buffering: no"] {
        assert!(head.contains(line), "{line} is missing: {head}");
    }
    peer.until(b"retry: 3000\n\n");
}

#[test]
fn a_stream_without_events_sends_heartbeat_comments() {
    let (server, _) = with(|settings| settings.heartbeat = Some(Duration::from_millis(100)));
    let began = Instant::now();
    let mut client = Client::subscribe(&server, "/topics/quiet", None);
    // The first comment starts the stream.
    for _ in 0..4 {
        assert_eq!(client.next_with_comments(), Received::Comment);
    }
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
    publish(&server, "/topics/quiet", "x");
    assert!(matches!(client.next(), Received::Event { .. }));
    assert_eq!(client.next_with_comments(), Received::Comment);
}

#[test]
fn a_returning_subscriber_receives_missed_events_and_then_live_ones() {
    let (server, _) = with(|_| {});
    let ids: Vec<_> =
        (0..1000).map(|n| publish_reusing_connection(&server, "/topics/t", &format!("{n}"))).collect();
    for (last, from) in
        [(Some(ids[9].clone()), 10), (Some("earliest".to_owned()), 0), (Some(ids[999].clone()), 1000)]
    {
        let mut client = Client::subscribe(&server, "/topics/t", last.as_deref());
        for (n, id) in ids.iter().enumerate().skip(from) {
            assert_eq!(client.next(), Received::event(id, "message", &n.to_string()));
        }
        drop(client);
    }
    let mut client = Client::subscribe(&server, &format!("/topics/t?last_event_id={}", ids[997]), None);
    assert_eq!(client.next(), Received::event(&ids[998], "message", "998"));
    assert_eq!(client.next(), Received::event(&ids[999], "message", "999"));
    let id = publish(&server, "/topics/t", "live");
    assert_eq!(client.next(), Received::event(&id, "message", "live"));
}

/// Publishes on a connection that is reused for later events.
fn publish_reusing_connection(server: &Server, path: &str, data: &str) -> String {
    thread_local! {
        static PUBLISHER: RefCell<Option<(SocketAddr, Peer)>> = const { RefCell::new(None) };
    }
    PUBLISHER.with_borrow_mut(|publisher| {
        let address = crate::common::address(server);
        if publisher.as_ref().is_none_or(|(known, _)| *known != address) {
            *publisher = Some((address, connect(server)));
        }
        let text = publisher.as_mut().unwrap().1.post(path, data).text();
        text.split('"').nth(3).unwrap_or_else(|| panic!("{text}")).to_owned()
    })
}

#[test]
fn expired_events_are_reported_as_a_gap() {
    let (server, _) = with(|settings| settings.retention.events = 5);
    let ids: Vec<_> =
        (0..20).map(|n| publish_reusing_connection(&server, "/topics/t", &n.to_string())).collect();
    let mut client = Client::subscribe(&server, "/topics/t", Some(&ids[2]));
    let gap = format!(r#"{{"from":"{}","to":"{}"}}"#, ids[3], ids[14]);
    assert_eq!(client.next(), Received::event(&ids[14], "gap", &gap));
    for (n, id) in ids.iter().enumerate().skip(15) {
        assert_eq!(client.next(), Received::event(id, "message", &n.to_string()));
    }
}

#[test]
fn an_unknown_id_is_reported_as_a_reset_and_the_stream_continues() {
    let (server, _) = with(|_| {});
    let known = publish(&server, "/topics/t", "old");
    let beyond = format!("{}-99", known.split_once('-').unwrap().0);
    for (last, why) in [
        ("0123456789abcdef-1", "unknown_epoch"),
        (beyond.as_str(), "beyond_end"),
        ("no id of ours", "unknown_id"),
    ] {
        let mut client = Client::subscribe(&server, "/topics/t", Some(last));
        let Received::Event { name, data, .. } = client.next() else {
            panic!("expected a gap event for {last}")
        };
        assert_eq!((name.as_str(), data.as_str()), ("gap", format!(r#"{{"reset":"{why}"}}"#).as_str()));
        let id = publish(&server, "/topics/t", "new");
        assert_eq!(client.next(), Received::event(&id, "message", "new"));
    }
}

#[test]
fn subscribing_during_publishing_misses_and_repeats_nothing() {
    let (server, _) = with(|settings| {
        settings.retention.events = 100_000;
        // The client may be slower than the publisher.
        settings.policy.mailbox_events = 100_000;
        settings.policy.mailbox_bytes = usize::MAX;
    });
    let stop = std::sync::atomic::AtomicBool::new(false);
    let stopping = StopAtEnd(&stop);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut peer = connect(&server);
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                assert_eq!(peer.post("/topics/t", "x").status, 202);
            }
        });
        let mut last = publish(&server, "/topics/t", "first");
        for round in 0..40 {
            let mut client = Client::subscribe(&server, "/topics/t", Some(&last));
            for _ in 0..50 + round * 10 {
                let Received::Event { id, name, .. } = client.next() else {
                    panic!("the stream ended early")
                };
                assert_eq!((name.as_str(), seq(&id)), ("message", seq(&last) + 1));
                last = id;
            }
        }
        drop(stopping);
    });
}

/// Stops the publisher on drop, so that it also stops if the test fails.
struct StopAtEnd<'a>(&'a std::sync::atomic::AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

#[test]
fn invalid_topics_and_events_are_refused() {
    let (server, _) = with(|_| {});
    let mut peer = connect(&server);
    assert_eq!(peer.post("/topics/a%20b", "x").status, 400);
    assert_eq!(peer.post("/topics/a//b", "x").status, 400);
    assert_eq!(peer.post("/topics/t?event=a%0Ab", "x").status, 400);
    assert_eq!(peer.post("/topics/t", [0xff, 0xfe]).status, 400);
    assert_eq!(peer.get("/topics/%2e%2e").status, 400);
}

#[test]
fn tokens_and_origins_restrict_access() {
    let broker = Broker::new(BrokerSettings::default()).unwrap();
    let mut access = TopicAccess::default();
    access.publish_token = Some("p-secret".to_owned());
    access.subscribe_token = Some("s-secret".to_owned());
    access.origins = Origins::SameOr(vec!["https://app.example".to_owned()]);
    let server = serve(&broker, access);
    let mut peer = connect(&server);
    for token in ["", "Authorization: Bearer s-secret\r\n", "Authorization: Bearer p-secretx\r\n"] {
        peer.send(format!("POST /topics/t HTTP/1.1\r\nHost: t\r\n{token}Content-Length: 1\r\n\r\nx"));
        let reply = peer.reply();
        assert_eq!((reply.status, reply.header("www-authenticate")), (401, Some("Bearer")), "{token}");
    }
    peer.send(
        "POST /topics/t HTTP/1.1\r\nHost: t\r\nAuthorization: bearer p-secret\r\nContent-Length: 1\r\n\r\nx",
    );
    assert_eq!(peer.reply().status, 202);
    assert_eq!(peer.get("/topics").status, 401);
    assert_eq!(peer.get("/topics/t?access_token=p-secret").status, 401);
    let list = peer.get("/topics?access_token=s-secret");
    let id = r#""topic":"t","subscribers":0,"last":""#;
    assert!(list.text().contains(id) && list.text().contains(r#"-1","published":1"#), "{}", list.text());
    let mut client = Client::subscribe(&server, "/topics/t?access_token=s-secret", Some("earliest"));
    assert!(matches!(client.next(), Received::Event { .. }));
}

#[test]
fn a_custom_check_decides_access() {
    let broker = Broker::new(BrokerSettings::default()).unwrap();
    let mut access = TopicAccess::default();
    access.check = Some(TopicCheck::new(|request, requested_use| match requested_use {
        TopicAction::Publish(topic) => request.header("x-user") == topic.as_str().split('/').next(),
        TopicAction::Subscribe(topic) => topic.as_str() != "secret",
        _ => false,
    }));
    let server = serve(&broker, access);
    let mut peer = connect(&server);
    let mut publish = |topic: &str| {
        peer.send(format!(
            "POST /topics/{topic} HTTP/1.1\r\nHost: t\r\nX-User: ann\r\nContent-Length: 1\r\n\r\nx"
        ));
        peer.reply().status
    };
    assert_eq!([publish("ann/log"), publish("bob/log")], [202, 403]);
    assert_eq!([peer.get("/topics/secret").status, peer.get("/topics").status], [403, 403]);
    let mut client = Client::subscribe(&server, "/topics/ann/log", Some("earliest"));
    assert!(matches!(client.next(), Received::Event { .. }));
}

#[test]
fn pages_of_other_origins_may_publish_only_if_allowed() {
    let (own, _) = with(|_| {});
    let mut access = TopicAccess::default();
    access.origins = Origins::SameOr(vec!["https://app.example".to_owned()]);
    let one = serve(&Broker::new(BrokerSettings::default()).unwrap(), access.clone());
    access.origins = Origins::Any;
    let all = serve(&Broker::new(BrokerSettings::default()).unwrap(), access);
    for (server, origin, status) in [
        (&own, "http://t.example:8080", 202),
        (&own, "https://evil.example", 403),
        (&own, "null", 403),
        (&one, "http://t.example:8080", 202),
        (&one, "https://app.example", 202),
        (&one, "https://evil.example", 403),
        (&all, "https://evil.example", 202),
    ] {
        let mut peer = connect(server);
        let fields = format!("Host: t.example:8080\r\nOrigin: {origin}\r\nContent-Type: text/plain");
        peer.send(format!("POST /topics/t HTTP/1.1\r\n{fields}\r\nContent-Length: 1\r\n\r\nx"));
        assert_eq!(peer.reply().status, status, "{origin}");
    }
}

#[test]
fn draining_a_second_server_of_a_broker_does_not_affect_the_first() {
    let (first, broker) = with(|_| {});
    let second = serve(&broker, TopicAccess::default());
    let mut client = Client::subscribe(&first, "/topics/t", None);
    second.drain(None);
    drop(second);
    let id = publish(&first, "/topics/t", "still");
    assert_eq!(client.next(), Received::event(&id, "message", "still"));
}

#[test]
fn a_stuck_shard_with_subscribers_does_not_delay_a_drain() {
    let hold = Hold::new();
    let broker = Broker::new(BrokerSettings::default()).unwrap();
    let router = topic_routes(Router::new().route(hold.route()), &broker, TopicAccess::default());
    let server = builder(router).cores(Cores::Unpinned(1)).broker(&broker).start().unwrap();
    let topic = "t".parse().unwrap();
    let _client = Client::subscribe(&server, "/topics/t", None);
    eventually("the client is subscribed", || {
        broker.stats(&topic).is_some_and(|stats| stats.subscribers == 1)
    });
    let _holder = hold.block(&server);
    // More events than the relay of one shard buffers.
    for _ in 0..5000 {
        pollster::block_on(broker.publish(&topic, Event::new("x"))).unwrap();
    }
    let report = server.drain(Some(Duration::from_millis(100)));
    assert!(report.shards_stuck == 1 && report.cut_total() == 0 && report.duration < TIMEOUT, "{report}");
}

#[test]
fn a_closed_topic_may_be_reopened_and_keeps_its_counters() {
    let (server, broker) = with(|_| {});
    let topic = "t".parse().unwrap();
    let mut client = Client::subscribe(&server, "/topics/t", None);
    let first = publish(&server, "/topics/t", "one");
    assert!(matches!(client.next(), Received::Event { .. }));
    let figures = |server: &Server| {
        let text = connect(server).get("/metrics").text();
        let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        [line("windlass_topic_events_total"), line("windlass_topic_deliveries_total")]
    };
    let before = figures(&server);
    pollster::block_on(broker.close(&topic));
    assert_eq!(client.next(), Received::End);
    assert_eq!(figures(&server), before);
    let mut client = Client::subscribe(&server, "/topics/t", Some(&first));
    assert_eq!(
        broker.last(&topic).map(|last| last.to_string()),
        Some(first),
        "the last position must survive the close"
    );
    let id = publish(&server, "/topics/t", "two");
    assert_eq!(client.next(), Received::event(&id, "message", "two"));
}

#[test]
fn a_drain_ends_streams_with_different_retry_hints() {
    let (server, _) = with(|_| {});
    let clients: Vec<_> = (0..20).map(|_| Client::subscribe(&server, "/topics/t", None)).collect();
    eventually("all clients are connected", || server.metrics().connections >= 20);
    let began = Instant::now();
    let report = server.drain(None);
    assert!(began.elapsed() < TIMEOUT, "{report}");
    assert_eq!(report.cut_total(), 0, "{report}");
    let mut times = std::collections::HashSet::new();
    for mut client in clients {
        times.insert(client.retry_at_end());
    }
    assert!(times.len() > 10, "{times:?}");
}

#[test]
fn a_disconnected_subscriber_is_removed() {
    let (server, broker) = with(|_| {});
    let topic = "t".parse().unwrap();
    let clients: Vec<_> = (0..10).map(|_| Client::subscribe(&server, "/topics/t", None)).collect();
    eventually("all clients are subscribed", || {
        broker.stats(&topic).is_some_and(|stats| stats.subscribers == 10)
    });
    drop(clients);
    eventually("no subscriber is left", || broker.stats(&topic).is_none_or(|stats| stats.subscribers == 0));
}
