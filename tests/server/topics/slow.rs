//! Subscribers that do not read, under each overflow policy; delivered and dropped must add up.

use std::time::{Duration, Instant};

use windlass::{
    ListenOptions, PoolSettings, Router, Server, TopicAccess,
    actors::fanout::{Overflow, Policy, TopicStats},
    broker::{Broker, BrokerSettings, Event, TopicName},
    topic_routes,
};

use super::{
    client::{Client, Received},
    seq,
};
use crate::common::{TIMEOUT, builder, connect, eventually};

const MAILBOX_EVENTS: usize = 16;

/// Serves a broker with this policy on connections with small, fixed send buffers.
pub(super) fn serve(policy: impl Into<Policy>) -> (Server, Broker, TopicName) {
    serve_with(policy, Duration::from_secs(15))
}

fn serve_with(policy: impl Into<Policy>, heartbeat: Duration) -> (Server, Broker, TopicName) {
    let mut settings = BrokerSettings::default();
    settings.heartbeat = Some(heartbeat);
    settings.policy.overflow = policy.into();
    settings.policy.mailbox_events = MAILBOX_EVENTS;
    let broker = Broker::new(settings).unwrap();
    let mut options = ListenOptions::default();
    options.send_buffer = Some(16 * 1024);
    let router = topic_routes(Router::new(), &broker, TopicAccess::default());
    // Callbacks must run even while other threads use the processor.
    let mut pool = PoolSettings::default();
    pool.blocking_idle = false;
    let server = builder(router).listen_options(options).pool(pool).broker(&broker).start().unwrap();
    (server, broker, "t".parse().unwrap())
}

/// Subscribes without reading.
pub(super) fn subscribe_without_reading(server: &Server, broker: &Broker, topic: &TopicName) -> Client {
    let peer = connect(server);
    peer.set_receive_buffer(8 * 1024);
    let client = Client::from_peer(peer, "/topics/t", None);
    eventually("the client is subscribed", || {
        broker.stats(topic).is_some_and(|stats| stats.subscribers == 1)
    });
    client
}

/// Publishes until the condition holds, and 50 more events. Returns the number of events.
pub(super) fn publish_beyond(broker: &Broker, topic: &TopicName, done: impl Fn(&TopicStats) -> bool) -> u64 {
    let data = "x".repeat(4000);
    let until = Instant::now() + TIMEOUT;
    let mut published = 0;
    while !done(&broker.stats(topic).unwrap()) {
        assert!(Instant::now() < until, "the mailbox did not fill up in time: {:?}", broker.stats(topic));
        publish(broker, topic, &data);
        published += 1;
    }
    for _ in 0..50 {
        publish(broker, topic, &data);
    }
    published + 50
}

fn publish(broker: &Broker, topic: &TopicName, data: &str) {
    let published = pollster::block_on(broker.publish(topic, Event::new(data.to_owned()))).unwrap();
    let delivered = pollster::block_on(published.delivered(TIMEOUT));
    assert_eq!(delivered.shards_pending, 0);
}

#[test]
fn drop_loses_events_of_the_slow_subscriber_and_reports_gaps() {
    let (server, broker, topic) = serve(Overflow::Drop);
    let mut client = subscribe_without_reading(&server, &broker, &topic);
    let published = publish_beyond(&broker, &topic, |stats| stats.dropped > 200);
    let stats = broker.stats(&topic).unwrap();
    assert_eq!(stats.delivered + stats.dropped, published);
    assert!(stats.lagging == 1 && stats.lag_events == MAILBOX_EVENTS, "{stats:?}");

    // The client reads again. Each number must occur once, as an event or in a gap, and the gaps must match
    // the drops.
    let (mut received, mut missed, mut last, mut published_last) = (0, 0, 0, false);
    loop {
        let Received::Event { id, name, data } = client.next() else { panic!("the stream ended early") };
        if name == "gap" {
            let ends: Vec<u64> = data.split('"').filter(|part| part.contains('-')).map(seq).collect();
            assert_eq!((ends[0], ends[1]), (last + 1, seq(&id)));
            missed += seq(&id) - last;
        } else {
            assert_eq!(seq(&id), last + 1);
            received += 1;
        }
        last = seq(&id);
        if data == "after" {
            break;
        }
        if received == stats.delivered && !published_last {
            published_last = true;
            publish(&broker, &topic, "after");
        }
    }
    let now = broker.stats(&topic).unwrap();
    assert_eq!(
        (received, missed),
        (now.delivered, now.dropped),
        "received and missed must match delivered and dropped"
    );
}

#[test]
fn a_slow_subscriber_that_caught_up_receives_heartbeats_again() {
    let (server, broker, topic) = serve_with(Overflow::Drop, Duration::from_millis(50));
    let mut client = subscribe_without_reading(&server, &broker, &topic);
    // While the mailbox is full, a heartbeat becomes due that cannot be sent.
    let began = Instant::now();
    while broker.stats(&topic).unwrap().dropped == 0 || began.elapsed() < Duration::from_millis(150) {
        publish(&broker, &topic, &"x".repeat(4000));
    }
    let mut left = broker.stats(&topic).unwrap().delivered;
    let is_gap = |received: &Received| matches!(received, Received::Event { name, .. } if name == "gap");
    while left > 0 {
        let received = client.next();
        assert!(matches!(received, Received::Event { .. }));
        left -= u64::from(!is_gap(&received));
    }
    let received = std::iter::repeat_with(|| client.next_with_comments()).find(|received| !is_gap(received));
    assert_eq!(received, Some(Received::Comment));
}

#[test]
fn remove_ends_the_subscription_and_keeps_the_connection() {
    let (server, broker, topic) = serve(Overflow::Remove);
    let mut client = subscribe_without_reading(&server, &broker, &topic);
    publish_beyond(&broker, &topic, |stats| stats.removed > 0);
    let stats = broker.stats(&topic).unwrap();
    assert_eq!((stats.removed, stats.subscribers, stats.dropped), (1, 0, 0));
    for expected in 1..=stats.delivered {
        let Received::Event { id, name, .. } = client.next() else { panic!("the stream ended early") };
        assert_eq!((name.as_str(), seq(&id)), ("message", expected));
    }
    let Received::Event { name, .. } = client.next() else { panic!("the stream ended early") };
    assert_eq!(name, "gap");
    assert!(!client.peer.is_readable(), "the connection must stay open without further events");
    let report = server.drain(None);
    assert_eq!((report.cut_total(), report.duration < Duration::from_millis(1500)), (0, true), "{report}");
    assert!(client.retry_at_end().is_some(), "the stream must end with a retry hint");
}

#[test]
fn close_ends_the_stream_of_the_slow_subscriber() {
    let (server, broker, topic) = serve(Overflow::Close);
    let mut client = subscribe_without_reading(&server, &broker, &topic);
    publish_beyond(&broker, &topic, |stats| stats.closed > 0);
    let stats = broker.stats(&topic).unwrap();
    assert_eq!((stats.closed, stats.subscribers, stats.dropped), (1, 0, 0));
    for expected in 1..=stats.delivered {
        let Received::Event { id, .. } = client.next() else { panic!("the stream ended early") };
        assert_eq!(seq(&id), expected);
    }
    let Received::Event { name, .. } = client.next() else { panic!("the stream ended early") };
    assert_eq!(name, "gap");
    assert_eq!(client.next(), Received::End);
}

#[test]
fn a_slow_subscriber_does_not_affect_others() {
    let (server, broker, topic) = serve(Overflow::Drop);
    let _stalled = subscribe_without_reading(&server, &broker, &topic);
    let mut quick: Vec<_> = (0..20).map(|_| Client::subscribe(&server, "/topics/t", None)).collect();
    eventually("all clients are subscribed", || {
        broker.stats(&topic).is_some_and(|stats| stats.subscribers == 21)
    });
    let data = "x".repeat(4000);
    for expected in 1..=200 {
        publish(&broker, &topic, &data);
        for client in &mut quick {
            let Received::Event { id, name, .. } = client.next() else { panic!("the stream ended early") };
            assert_eq!((name.as_str(), seq(&id)), ("message", expected));
        }
    }
    assert!(broker.stats(&topic).unwrap().dropped > 0, "the stalled subscriber must have lost events");
}
