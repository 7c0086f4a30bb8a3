//! A policy that asks: the server's pool runs its callback, which is shown who is slow.

use std::sync::{Arc, Mutex};

use windlass::{
    actors::fanout::{Chooser, Overflow, Policy},
    broker::Subscriber,
};

use super::slow::{publish_beyond, serve, stalled};
use crate::common::{eventually, metric};

#[test]
fn a_callback_closes_the_slow_one_it_was_shown() {
    let seen: Arc<Mutex<Vec<Subscriber>>> = Arc::default();
    let noted = seen.clone();
    let chooser = Chooser::new(move |full| {
        noted.lock().unwrap().push(full.identity::<Subscriber>().unwrap().clone());
        Overflow::Close
    });
    let (server, broker, topic) = serve(Policy::Ask(chooser));
    let client = stalled(&server, &broker, &topic);
    publish_beyond(&broker, &topic, |stats| stats.closed > 0);
    let stats = broker.stats(&topic).unwrap();
    assert_eq!((stats.closed, stats.subscribers, stats.asked), (1, 0, 1), "{stats:?}");
    let seen: Vec<_> = seen.lock().unwrap().iter().map(|who| (who.topic.to_string(), who.peer)).collect();
    assert_eq!(seen, [("t".to_owned(), Some(client.peer.local_address()))]);
    let samples =
        ["windlass_topic_overflow_callbacks_total{outcome=\"chosen\"}", "windlass_topic_subscribers"];
    assert_eq!(samples.map(|sample| metric(&server, sample)), [1.0, 0.0]);
}

#[test]
fn a_callback_that_panics_keeps_the_slow_one_in_its_place() {
    let (server, broker, topic) = serve(Policy::Ask(Chooser::new(|_| panic!("expected by the test"))));
    let _client = stalled(&server, &broker, &topic);
    publish_beyond(&broker, &topic, |stats| stats.ask_panics > 0);
    assert_eq!(broker.stats(&topic).unwrap().subscribers, 1);
    eventually("it is counted", || {
        metric(&server, "windlass_topic_overflow_callbacks_total{outcome=\"panicked\"}") > 0.0
    });
}
