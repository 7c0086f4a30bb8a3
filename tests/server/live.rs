//! The figures of the moment as a stream: what they tell, that watchers share them, and that nobody makes them for nobody.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use windlass::{Operations, Request, Router, Server, get, static_route, topic_routes};

use crate::{
    common::{builder, connect, eventually, metric, start},
    topics::client::{Client, Received},
};

async fn later(_: Request) -> &'static str {
    tokio::time::sleep(Duration::from_millis(20)).await;
    "async"
}

fn routes() -> Router {
    Router::new().route(static_route("/static", "static")).route(get("/async", later).run_async())
}

fn watch(server: &Server) -> Client {
    Client::subscribe(server, "/metrics/live", None)
}

#[track_caller]
fn figures(watcher: &mut Client) -> (String, Value) {
    match watcher.next() {
        Received::Event { data, .. } => (data.clone(), serde_json::from_str(&data).unwrap()),
        other => panic!("{other:?}"),
    }
}

fn total(figures: &Value, key: &str) -> u64 {
    figures["shards"].as_array().unwrap().iter().map(|shard| shard[key].as_u64().unwrap()).sum()
}

#[test]
fn the_first_figures_come_at_once_and_the_next_a_second_later() {
    let server = start(routes());
    let began = Instant::now();
    let mut watcher = watch(&server);
    let first = figures(&mut watcher).1;
    assert!(began.elapsed() < Duration::from_millis(900), "{:?}", began.elapsed());
    for _ in 0..10 {
        connect(&server).get("/static");
        connect(&server).get("/async");
    }
    let next = figures(&mut watcher).1;
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    assert!(next["uptime_ms"].as_u64() > first["uptime_ms"].as_u64());
    assert_eq!(total(&next, "requests") - total(&first, "requests"), 20);
    assert_eq!((total(&first, "promoted"), total(&next, "promoted")), (0, 10));
    assert!(total(&next, "connections") >= 1 && total(&next, "sent_bytes") > total(&first, "sent_bytes"));
    let buckets = |figures: &Value| figures["latency"]["counts"].as_array().unwrap().clone();
    assert_eq!(buckets(&next).len(), next["latency"]["bounds_us"].as_array().unwrap().len() + 1);
    let above =
        |figures: &Value, from: usize| buckets(figures)[from..].iter().filter_map(Value::as_u64).sum::<u64>();
    assert_eq!(next["latency"]["bounds_us"][6], 10_000);
    assert_eq!((above(&first, 7), above(&next, 7)), (0, 10), "the async ones took more than 10 ms");
    assert_eq!(above(&next, 0) - above(&first, 0), 20);
    assert_eq!((&next["ready"], &next["topics"]), (&json!(true), &Value::Null), "there is no broker");
    assert_eq!(next["pool"], json!({ "queued": 0, "running": 0 }));
}

#[test]
fn the_figures_of_topics_are_those_of_the_broker() {
    let broker = windlass::broker::Broker::new(Default::default()).unwrap();
    let server =
        builder(topic_routes(Router::new(), &broker, Default::default())).broker(&broker).start().unwrap();
    let _subscribers: Vec<_> = (0..3).map(|_| Client::subscribe(&server, "/topics/a", None)).collect();
    eventually("three subscribe", || {
        broker.stats(&"a".parse().unwrap()).is_some_and(|stats| stats.subscribers == 3)
    });
    assert_eq!(connect(&server).post("/topics/a", "event").status, 202);
    let mut watcher = watch(&server);
    eventually("they are told", || {
        let topics = figures(&mut watcher).1["topics"].take();
        topics
            == json!({ "topics": 1, "subscribers": 3, "published": 1, "delivered": 3, "dropped": 0, "ended": 0 })
    });
}

#[test]
fn watchers_share_what_is_made_twice_a_second_at_most() {
    let server = start(routes());
    let mut watchers: Vec<_> = (0..8).map(|_| watch(&server)).collect();
    let mut seen: Vec<String> = Vec::new();
    let began = Instant::now();
    for _ in 0..3 {
        seen.extend(watchers.iter_mut().map(|watcher| figures(watcher).0));
    }
    let made = seen.iter().collect::<std::collections::BTreeSet<_>>().len();
    // Two shards may find them too old at the same time.
    let most = 2 * (2 * began.elapsed().as_secs() as usize + 3);
    assert!(made <= most && made < seen.len(), "{made} for {} watchers' events", seen.len());
    for (index, first) in seen[..8].iter().enumerate() {
        assert_ne!(*first, seen[8 + index], "the same figures twice for one watcher");
    }
}

#[test]
fn nothing_runs_once_nobody_watches() {
    let server = start(routes());
    let guests = || {
        metric(&server, "windlass_shard_guests{shard=\"0\"}")
            + metric(&server, "windlass_shard_guests{shard=\"1\"}")
    };
    // The router starts at its shard's first turns, perhaps after the first requests.
    eventually("the router lives", || guests() >= 1.0);
    let before = guests();
    let mut watchers: Vec<_> = (0..4).map(|_| watch(&server)).collect();
    watchers.iter_mut().for_each(|watcher| drop(figures(watcher)));
    assert!(guests() >= before + 4.0, "each has a future on its shard");
    drop(watchers);
    eventually("they are gone", || guests() <= before);
}

#[test]
fn they_are_served_where_the_operations_say_and_nowhere_else() {
    let mut elsewhere = Operations::usual();
    elsewhere.live = Some("/figures".to_owned());
    let server = builder(routes()).operations(elsewhere).start().unwrap();
    figures(&mut Client::subscribe(&server, "/figures", None));
    assert_eq!(connect(&server).get("/metrics/live").status, 404);
}
