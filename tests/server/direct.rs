//! Direct delivery over every protocol, with and without TLS: events keep their order, whichever way they
//! take.

#[path = "../support/random.rs"]
mod random;
mod subscriber;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use windlass::{
    ListenOptions, Router, Server, Tls, TopicAccess,
    actors::{
        Cores,
        fanout::{Overflow, TopicStats},
    },
    broker::{Broker, BrokerSettings, Event},
    topic_routes,
};

use self::{
    random::Random,
    subscriber::{Over, Subscriber},
};
use crate::{
    common::{TIMEOUT, address, base_builder, eventually},
    tls::{client::trusting, pair},
};

const CONNECTIONS: usize = 3;
const EVENTS: u64 = 300;

/// Window of an HTTP/2 stream. It is small, so that it is often used up.
const WINDOW_BYTES: u32 = 3000;

/// Returns the size of an event: mostly small, sometimes larger than a stream's window.
fn event_bytes(random: &mut Random) -> usize {
    match random.below(40) {
        0 => 3000 + random.below(20_000),
        _ => 10 + random.below(300),
    }
}

struct Served {
    _server: Server,
    broker: Broker,
    subscribers: Vec<Subscriber>,
}

impl Served {
    /// Starts a server of one shard and connects its subscribers.
    fn start(over: Over, is_tls: bool, change: impl FnOnce(&mut BrokerSettings)) -> Self {
        Self::with_window(over, is_tls, WINDOW_BYTES, change)
    }

    fn with_window(
        over: Over,
        is_tls: bool,
        window_bytes: u32,
        change: impl FnOnce(&mut BrokerSettings),
    ) -> Self {
        let mut settings = BrokerSettings::default();
        (settings.heartbeat, settings.policy.overflow) = (None, Overflow::Drop.into());
        change(&mut settings);
        let broker = Broker::new(settings).unwrap();
        let router = topic_routes(Router::new(), &broker, TopicAccess::default());
        let mut options = ListenOptions::default();
        options.send_buffer = Some(16 * 1024);
        let builder = base_builder().cores(Cores::Unpinned(1)).listen_options(options);
        let builder = builder.router(router).broker(&broker);
        let (chain, key) = pair("localhost");
        let listener = "127.0.0.1:0";
        let builder = if is_tls {
            builder.listen_tls(listener, Tls::from_pem(chain.as_bytes(), key.as_bytes()).unwrap())
        } else {
            builder.listen(listener)
        };
        let server = builder.start().unwrap();
        let trust = is_tls.then(|| Arc::new(trusting(&chain)));
        let connect = |_| Subscriber::connect(address(&server), trust.as_ref(), over, window_bytes);
        let subscribers = (0..CONNECTIONS).map(connect).collect();
        let served = Self { _server: server, broker, subscribers };
        eventually("all streams are subscribed", || {
            served.stats().subscribers == CONNECTIONS * over.streams()
        });
        served
    }

    fn stats(&self) -> TopicStats {
        self.broker.stats(&"t".parse().unwrap()).unwrap_or_default()
    }

    fn publish(&self, bytes: usize, waits: bool) {
        let event = Event::new("x".repeat(bytes));
        let published = pollster::block_on(self.broker.publish(&"t".parse().unwrap(), event)).unwrap();
        if waits {
            assert_eq!(pollster::block_on(published.delivered(TIMEOUT)).shards_pending, 0);
        }
    }

    /// Reads everything that was published so far.
    fn read_all(&mut self, events: u64) {
        let until = Instant::now() + TIMEOUT;
        for subscriber in &mut self.subscribers {
            while !subscriber.has_all(events) {
                assert!(Instant::now() < until, "events are missing");
                subscriber.read(16 * 1024);
                subscriber.grant(|| true);
            }
        }
    }
}

/// Publishes events of random sizes to subscribers that read, give credit and ping at random. Each checks
/// that it receives every event in order, or a gap in its place. Returns the counters and how many were lost.
fn run(over: Over, is_tls: bool, seed: u64, change: impl FnOnce(&mut BrokerSettings)) -> (TopicStats, u64) {
    let mut served = Served::start(over, is_tls, change);
    let mut random = Random::new(seed);
    for _ in 0..EVENTS {
        let waits = random.below(8) > 0;
        served.publish(event_bytes(&mut random), waits);
        for subscriber in &mut served.subscribers {
            match random.below(6) {
                0 => {}
                1 => subscriber.ping(),
                2 => subscriber.grant(|| random.below(2) == 0),
                _ => subscriber.read(event_bytes(&mut random)),
            }
        }
        if random.below(20) == 0 {
            std::thread::sleep(Duration::from_millis(1));
            served.subscribers.iter_mut().for_each(|subscriber| {
                subscriber.read(64 * 1024);
                subscriber.grant(|| true);
            });
        }
    }
    served.read_all(EVENTS);
    let stats = served.stats();
    let deliveries = EVENTS * (CONNECTIONS * over.streams()) as u64;
    let lost = served.subscribers.iter().map(Subscriber::lost).sum();
    assert_eq!((stats.delivered + stats.dropped, stats.dropped), (deliveries, lost));
    (stats, lost)
}

/// Runs with mailboxes that are large enough, and with tiny ones.
fn events_keep_their_order(over: Over) {
    for is_tls in [false, true] {
        for seed in [17, 40_961] {
            let (stats, lost) = run(over, is_tls, seed, |settings| {
                (settings.policy.mailbox_events, settings.policy.mailbox_bytes) = (100_000, usize::MAX);
            });
            assert!(stats.direct > 0 && stats.direct < stats.delivered && lost == 0, "{stats:?}");
            run(over, is_tls, seed + 1, |settings| settings.policy.mailbox_events = 2);
        }
    }
}

#[test]
fn events_keep_their_order_over_http1() {
    events_keep_their_order(Over::Http1);
}

#[test]
fn events_keep_their_order_over_http2() {
    events_keep_their_order(Over::Http2);
}

#[test]
fn events_keep_their_order_over_websockets() {
    events_keep_their_order(Over::WebSocket);
}

#[test]
fn events_keep_their_order_over_websockets_on_http2() {
    events_keep_their_order(Over::WebSocketOverHttp2);
}

/// All streams that only wait for events get each of them directly, except for the first few.
#[test]
fn idle_streams_of_every_protocol_get_their_events_directly() {
    for over in [Over::Http1, Over::Http2, Over::WebSocket, Over::WebSocketOverHttp2] {
        for is_tls in [false, true] {
            let mut served = Served::start(over, is_tls, |_| {});
            for number in 1..=30 {
                served.publish(20, true);
                served.read_all(number);
            }
            let stats = served.stats();
            let streams = (CONNECTIONS * over.streams()) as u64;
            assert!(stats.delivered - stats.direct <= 3 * streams, "{over:?}, TLS {is_tls}: {stats:?}");
        }
    }
}

/// A stream whose window is used up gets no event directly, and none is lost or out of order: neither if the
/// events come one by one, nor if a burst of them is written at once.
#[test]
fn a_short_window_shuts_the_outlet_until_it_is_opened() {
    let ways = [Over::Http2, Over::WebSocketOverHttp2].map(|over| [(over, false), (over, true)]);
    for (over, in_a_burst) in ways.into_iter().flatten() {
        let mut served = Served::start(over, false, |settings| settings.policy.mailbox_events = 1000);
        (0..19).for_each(|_| served.publish(500, !in_a_burst));
        served.publish(500, true);
        let shut = served.stats().direct;
        (0..20).for_each(|_| served.publish(500, true));
        assert_eq!(served.stats().direct, shut, "the window is used up, {over:?}, burst {in_a_burst}");
        served.read_all(40);
        for number in 41..=60 {
            served.publish(20, true);
            served.read_all(number);
        }
        let streams = (CONNECTIONS * over.streams()) as u64;
        assert!(served.stats().direct >= shut + 15 * streams, "{:?}", served.stats());
    }
}

/// The bounds of a mailbox hold for a subscriber that does not read, however large its windows are.
#[test]
fn a_subscriber_that_does_not_read_is_limited_by_its_mailbox() {
    for over in [Over::Http1, Over::Http2, Over::WebSocket, Over::WebSocketOverHttp2] {
        for is_tls in [false, true] {
            let set = |settings: &mut BrokerSettings| settings.policy.mailbox_events = 4;
            let served = Served::with_window(over, is_tls, 1 << 24, set);
            let (events, bytes) = (400, 8_000);
            for _ in 0..events {
                served.publish(bytes, true);
                // Each event finds the outlet empty.
                std::thread::sleep(Duration::from_millis(1));
            }
            let accepted = served.stats().delivered * bytes as u64 / CONNECTIONS as u64;
            assert!(accepted < 1_500_000, "{over:?}, TLS {is_tls}: {accepted} bytes a connection");
        }
    }
}
