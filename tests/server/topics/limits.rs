//! Limits of open topics and of subscriptions. Subscribers take no place from topics with events.

use windlass::{
    Operations, Router, TopicAccess,
    broker::{Broker, BrokerSettings},
    topic_routes,
};

use super::{
    client::{Client, Received},
    publish, with,
};
use crate::common::{builder, connect, eventually, metric};

/// Returns `true` if the topic is open.
fn is_open(broker: &Broker, topic: &str) -> bool {
    broker.stats(&topic.parse().unwrap()).is_some()
}

#[test]
fn subscribers_of_many_topics_take_no_place_from_topics_with_events() {
    let (server, broker) = with(|settings| settings.topics = 2);
    publish(&server, "/topics/a", "1");
    publish(&server, "/topics/b", "1");
    let clients: Vec<_> =
        (0..10).map(|n| Client::subscribe(&server, &format!("/topics/s/{n}"), None)).collect();
    eventually("all clients are subscribed", || metric(&server, "windlass_topic_subscribers") == 10.0);
    assert!(is_open(&broker, "a") && is_open(&broker, "b"));
    drop(clients);
    eventually("their topics are forgotten", || broker.topics_stats().len() == 2);
    assert!(is_open(&broker, "a") && is_open(&broker, "b"));
    assert_eq!(metric(&server, "windlass_topics_forgotten_total{cause=\"full\"}"), 0.0);
}

#[test]
fn a_new_topic_replaces_the_least_recently_used_one_and_never_fails() {
    let (server, broker) = with(|settings| settings.topics = 2);
    publish(&server, "/topics/a", "1");
    publish(&server, "/topics/b", "1");
    publish(&server, "/topics/a", "2");
    publish(&server, "/topics/c", "1");
    assert!(is_open(&broker, "a") && !is_open(&broker, "b") && is_open(&broker, "c"));
    assert_eq!(metric(&server, "windlass_topics_forgotten_total{cause=\"full\"}"), 1.0);
    assert_eq!(metric(&server, "windlass_topic_events_total"), 4.0, "counts stay");
    // A topic with a subscriber is not forgotten, and a new one is opened all the same.
    let mut clients: Vec<_> = ["a", "c"]
        .map(|topic| Client::subscribe(&server, &format!("/topics/{topic}"), Some("earliest")))
        .into();
    for client in &mut clients {
        assert!(matches!(client.next(), Received::Event { .. }));
    }
    for topic in ["d", "e", "f"] {
        publish(&server, &format!("/topics/{topic}"), "1");
    }
    assert!(is_open(&broker, "a") && is_open(&broker, "c"));
    let id = publish(&server, "/topics/c", "2");
    assert_eq!(clients[1].next(), Received::event(&id, "message", "2"));
    // A forgotten topic keeps its history.
    let mut late = Client::subscribe(&server, "/topics/b", Some("earliest"));
    assert!(matches!(late.next(), Received::Event { data, .. } if data == "1"));
}

#[test]
fn an_idle_topic_is_forgotten_after_its_time() {
    let (server, broker) = with(|settings| settings.topic_idle = Some(std::time::Duration::from_millis(1)));
    publish(&server, "/topics/a", "1");
    let _client = Client::subscribe(&server, "/topics/kept", None);
    publish(&server, "/topics/kept", "1");
    eventually("the topic is forgotten", || {
        metric(&server, "windlass_topics_forgotten_total{cause=\"idle\"}") == 1.0
    });
    assert!(!is_open(&broker, "a") && is_open(&broker, "kept"));
}

#[test]
fn a_client_has_a_limit_of_subscriptions_and_all_have_one() {
    let (server, broker) = with(|settings| {
        (settings.subscriptions, settings.client_subscriptions) = (3, 2);
    });
    let mut clients: Vec<_> = (0..2).map(|_| Client::subscribe(&server, "/topics/t", None)).collect();
    let reply = connect(&server).get("/topics/other");
    assert_eq!((reply.status, reply.header("retry-after")), (429, Some("10")), "{}", reply.text());
    assert!(!is_open(&broker, "other"));
    let refused = |limit| format!("windlass_topic_subscriptions_refused_total{{limit=\"{limit}\"}}");
    assert_eq!(metric(&server, &refused("client")), 1.0);
    // An ended subscription gives its place back.
    clients.pop();
    eventually("the place is free", || metric(&server, "windlass_topic_subscriptions") == 1.0);
    let _again = Client::subscribe(&server, "/topics/t", None);
    publish(&server, "/topics/t", "events are published all the same");
}

#[test]
fn subscriptions_beyond_the_common_limit_are_refused_for_now() {
    let mut settings = BrokerSettings::default();
    settings.subscriptions = 0;
    let broker = Broker::new(settings).unwrap();
    let router = topic_routes(Router::new(), &broker, TopicAccess::default());
    let server = builder(router).operations(Operations::usual()).broker(&broker).start().unwrap();
    let reply = connect(&server).get("/topics/t");
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")), "{}", reply.text());
    assert_eq!(metric(&server, "windlass_topic_subscriptions_refused_total{limit=\"total\"}"), 1.0);
}

#[cfg(feature = "http2")]
#[test]
fn streams_of_one_http2_connection_count_for_its_client() {
    use crate::h2::client::{Client, request};
    let (server, _) = with(|settings| settings.client_subscriptions = 3);
    let mut client = Client::connect(&server);
    let statuses: Vec<_> = (0..5)
        .map(|n| {
            let get = request(windlass::http::Method::GET, &format!("/topics/{n}"));
            let (response, mut body) = client.open(get);
            body.send_data(bytes::Bytes::new(), true).unwrap();
            let response = client.wait(response).unwrap();
            (response.status().as_u16(), response.into_body())
        })
        .collect();
    assert_eq!(statuses.iter().map(|(status, _)| *status).collect::<Vec<_>>(), [200, 200, 200, 429, 429]);
}
