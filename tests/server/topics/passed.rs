//! Events that reach a stream past its body are the stream's in every other respect.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use windlass::{
    Hooks, Router, Server, TopicAccess,
    broker::{Broker, BrokerSettings, Event, TopicName},
    topic_routes,
};

use super::client::{Client, Received};
use crate::common::{builder, eventually};

/// Serves a broker with such a heartbeat; the counter is told the body bytes of each stream that ended.
fn serve(heartbeat: Duration) -> (Server, Broker, TopicName, Arc<AtomicU64>) {
    let mut settings = BrokerSettings::default();
    settings.heartbeat = Some(heartbeat);
    let broker = Broker::new(settings).unwrap();
    let ended = Arc::new(AtomicU64::new(0));
    let tell = ended.clone();
    let router = topic_routes(Router::new(), &broker, TopicAccess::default());
    let server = builder(router)
        .hooks(Hooks::default().on_end(move |end| tell.store(end.body_bytes, Ordering::SeqCst)))
        .broker(&broker)
        .start()
        .unwrap();
    (server, broker, "t".parse().unwrap(), ended)
}

fn publish(broker: &Broker, topic: &TopicName, data: String) {
    pollster::block_on(broker.publish(topic, Event::new(data))).unwrap();
}

#[test]
fn they_are_counted_as_bytes_of_its_body() {
    let (server, broker, topic, ended) = serve(Duration::from_secs(15));
    let mut client = Client::subscribe(&server, "/topics/t", None);
    eventually("it is subscribed", || broker.stats(&topic).is_some_and(|stats| stats.subscribers == 1));
    let mut bytes = 0;
    for number in 0..50 {
        publish(&broker, &topic, format!("event {number}"));
        // The next one finds the stream at rest again.
        let Received::Event { id, data, .. } = client.next() else { panic!("no event") };
        assert_eq!(data, format!("event {number}"));
        bytes += format!("id: {id}\ndata: {data}\n\n").len() as u64;
    }
    drop(client);
    eventually("its end was told", || ended.load(Ordering::SeqCst) > 0);
    assert_eq!(ended.load(Ordering::SeqCst), bytes);
}

#[test]
fn they_are_no_silence() {
    const HEARTBEAT: Duration = Duration::from_millis(500);
    let (server, broker, topic, _) = serve(HEARTBEAT);
    // A machine that stalls for so long makes a silence: then it is tried again.
    let heard_none = (0..10).any(|_| {
        let mut client = Client::subscribe(&server, "/topics/t", None);
        eventually("it is subscribed", || broker.stats(&topic).is_some_and(|stats| stats.subscribers > 0));
        let began = Instant::now();
        let mut comments = 0;
        while began.elapsed() < HEARTBEAT * 3 {
            publish(&broker, &topic, "x".to_owned());
            while client.next_with_comments() == Received::Comment {
                comments += 1;
            }
            thread::sleep(HEARTBEAT / 20);
        }
        comments == 0
    });
    assert!(heard_none, "a stream with events was taken for a silent one");
}
