//! Overflow callbacks: the server's pool runs them with the identity of the slow subscriber.

use std::sync::{Arc, Mutex};

use windlass::{
    actors::fanout::{Chooser, Overflow, Policy},
    broker::Subscriber,
};

use super::slow::{publish_beyond, serve, subscribe_without_reading};
use crate::common::{eventually, metric};

#[test]
fn a_callback_may_close_the_slow_subscriber() {
    let shown: Arc<Mutex<Vec<Subscriber>>> = Arc::default();
    let recorded = shown.clone();
    let chooser = Chooser::new(move |full| {
        recorded.lock().unwrap().push(full.identity::<Subscriber>().unwrap().clone());
        Overflow::Close
    });
    let (server, broker, topic) = serve(Policy::Ask(chooser));
    let client = subscribe_without_reading(&server, &broker, &topic);
    publish_beyond(&broker, &topic, |stats| stats.closed > 0);
    let stats = broker.stats(&topic).unwrap();
    assert_eq!((stats.closed, stats.subscribers, stats.asked), (1, 0, 1), "{stats:?}");
    let shown: Vec<_> = shown.lock().unwrap().iter().map(|who| (who.topics.to_string(), who.peer)).collect();
    assert_eq!(shown, [("t".to_owned(), Some(client.peer.local_address()))]);
    let samples =
        ["windlass_topic_overflow_callbacks_total{outcome=\"chosen\"}", "windlass_topic_subscribers"];
    assert_eq!(samples.map(|sample| metric(&server, sample)), [1.0, 0.0]);
}

#[test]
fn a_panicking_callback_keeps_the_slow_subscriber() {
    let (server, broker, topic) =
        serve(Policy::Ask(Chooser::new(|_| panic!("deliberate panic of the test"))));
    let _client = subscribe_without_reading(&server, &broker, &topic);
    publish_beyond(&broker, &topic, |stats| stats.ask_panics > 0);
    assert_eq!(broker.stats(&topic).unwrap().subscribers, 1);
    eventually("the panic is counted", || {
        metric(&server, "windlass_topic_overflow_callbacks_total{outcome=\"panicked\"}") > 0.0
    });
}
