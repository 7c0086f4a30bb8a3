//! Subscribers of one topic over their connections, without sockets. Each event reaches all of them before
//! the next one is published.

use windlass::{
    Router, Server, TestClient, TestConnection, Timeouts, TopicAccess,
    broker::{Broker, BrokerSettings, Event, TopicName},
    topic_routes,
};

use super::http2::frame;

/// Number of subscribers.
pub(crate) const SUBSCRIBERS: u64 = 100;

/// Protocol of the subscribers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    /// An event stream on an HTTP/1.1 connection of its own.
    Http1,
    /// An event stream on a stream of one HTTP/2 connection.
    Http2,
    /// A WebSocket on a connection of its own.
    WebSocket,
}

/// A shard with a topic and its subscribers.
pub(crate) struct Subscribed {
    broker: Broker,
    topic: TopicName,
    connections: Vec<TestConnection>,
    _client: TestClient,
}

impl Subscribed {
    /// Subscribes all subscribers.
    ///
    /// # Panics
    ///
    /// If that fails.
    pub(crate) fn start(over: Over) -> Self {
        let mut settings = BrokerSettings::default();
        settings.heartbeat = None;
        let broker = Broker::new(settings).expect("broker should start");
        let router = topic_routes(Router::new(), &broker, TopicAccess::default());
        // A tool that counts is slow, but nothing may be shed for it.
        let mut timeouts = Timeouts::default();
        (timeouts.shed_async, timeouts.shed_all) = (None, None);
        let builder = Server::builder().router(router).broker(&broker).timeouts(timeouts);
        let client = builder.test_client().expect("shard should start");
        // The number of turns for an event would depend on the time that they take.
        client.stop_clock();
        let topic = "t".parse().expect("name should be valid");
        let connections = if over == Over::Http2 { 1 } else { SUBSCRIBERS };
        let connections = (0..connections).map(|_| subscribe(&client, over)).collect();
        let mut this = Self { broker, topic, connections, _client: client };
        let subscribers = this.broker.stats(&this.topic).map(|stats| stats.subscribers as u64);
        assert_eq!(subscribers, Some(SUBSCRIBERS));
        // Everything reaches its working size.
        (0..10).for_each(|_| this.publish());
        this
    }

    /// Delivers `deliveries` events, rounded up to a multiple of [`SUBSCRIBERS`].
    pub(crate) fn deliver(&mut self, deliveries: u64) {
        (0..deliveries.div_ceil(SUBSCRIBERS)).for_each(|_| self.publish());
    }

    fn publish(&mut self) {
        let published = pollster::block_on(self.broker.publish(&self.topic, Event::new("0123456789abcdef")));
        assert!(published.is_ok());
        for connection in &mut self.connections {
            assert!(connection.received().len() > 16, "each connection should receive the event");
        }
    }
}

fn subscribe(client: &TestClient, over: Over) -> TestConnection {
    let mut connection = client.connect();
    match over {
        Over::Http1 => {
            connection.send("GET /topics/t HTTP/1.1\r\nHost: t\r\n\r\n");
            connection.until("\r\n\r\n");
        }
        Over::WebSocket => {
            connection.send(
                "GET /topics/t HTTP/1.1\r\nHost: t\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            );
            connection.until("\r\n\r\n");
        }
        Over::Http2 => {
            let mut input = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
            // The largest windows.
            frame(&mut input, 4, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]);
            frame(&mut input, 8, 0, 0, &[0x7f, 0xff, 0, 0]);
            for stream in 0..SUBSCRIBERS as u32 {
                // GET, http, and literals for the path and the authority.
                let mut block = vec![0x82, 0x86];
                block.extend(b"\x04\x09/topics/t");
                block.extend(b"\x01\x01t");
                frame(&mut input, 1, 5, 2 * stream + 1, &block);
            }
            connection.send(input);
            connection.received();
        }
    }
    connection
}
