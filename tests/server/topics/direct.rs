//! Direct delivery: events that reach an idle stream without passing its body still count as part of the
//! stream.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use windlass::{
    Hooks, Router, Server, TopicAccess,
    broker::{Broker, BrokerSettings, Event, TopicName},
    topic_routes,
};

use super::client::{Client, Received};
use crate::common::{builder, eventually};

/// Serves a broker with this heartbeat. The counter receives the body bytes of each stream that ends.
fn serve(heartbeat: Duration) -> (Server, Broker, TopicName, Arc<AtomicU64>) {
    let mut settings = BrokerSettings::default();
    settings.heartbeat = Some(heartbeat);
    let broker = Broker::new(settings).unwrap();
    let ended = Arc::new(AtomicU64::new(0));
    let body_bytes = ended.clone();
    let router = topic_routes(Router::new(), &broker, TopicAccess::default());
    let server = builder(router)
        .hooks(Hooks::default().on_end(move |end| body_bytes.store(end.body_bytes, Ordering::SeqCst)))
        .broker(&broker)
        .start()
        .unwrap();
    (server, broker, "t".parse().unwrap(), ended)
}

fn publish(broker: &Broker, topic: &TopicName, data: String) {
    pollster::block_on(broker.publish(topic, Event::new(data))).unwrap();
}

#[test]
fn directly_delivered_events_count_as_body_bytes() {
    let (server, broker, topic, ended) = serve(Duration::from_secs(15));
    let mut client = Client::subscribe(&server, "/topics/t", None);
    eventually("the client is subscribed", || {
        broker.stats(&topic).is_some_and(|stats| stats.subscribers == 1)
    });
    let mut bytes = ":\n\n".len() as u64;
    for number in 0..50 {
        publish(&broker, &topic, format!("event {number}"));
        // The next event finds the stream idle again.
        let Received::Event { id, data, .. } = client.next() else { panic!("expected an event") };
        assert_eq!(data, format!("event {number}"));
        bytes += format!("id: {id}\ndata: {data}\n\n").len() as u64;
    }
    drop(client);
    eventually("the end hook was called", || ended.load(Ordering::SeqCst) > 0);
    assert_eq!(ended.load(Ordering::SeqCst), bytes);
}
