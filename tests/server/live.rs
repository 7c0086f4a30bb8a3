//! The live metrics stream: its contents, sharing between watchers, and no work without watchers.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use windlass::{Operations, Request, Router, Server, get, static_route, topic_routes};

use crate::{
    common::{builder, connect, eventually, metric, start},
    topics::client::{Client, Received},
};

async fn delayed(_: Request) -> &'static str {
    tokio::time::sleep(Duration::from_millis(20)).await;
    "async"
}

fn routes() -> Router {
    Router::new().route(static_route("/static", "static")).route(get("/async", delayed).run_async())
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
fn figures_count_what_happened_since_the_ones_before() {
    let server = start(routes());
    let began = Instant::now();
    let mut watcher = watch(&server);
    let first = figures(&mut watcher).1;
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
    assert_eq!((above(&first, 7), above(&next, 7)), (0, 10), "only the async requests take more than 10 ms");
    assert_eq!(above(&next, 0) - above(&first, 0), 20);
    assert_eq!(
        (&next["ready"], &next["topics"]),
        (&json!(true), &Value::Null),
        "topics must be null without a broker"
    );
    assert_eq!(next["pool"], json!({ "queued": 0, "running": 0 }));
}

#[test]
fn topic_figures_match_the_broker() {
    let broker = windlass::broker::Broker::new(Default::default()).unwrap();
    let server =
        builder(topic_routes(Router::new(), &broker, Default::default())).broker(&broker).start().unwrap();
    let _subscribers: Vec<_> = (0..3).map(|_| Client::subscribe(&server, "/topics/a", None)).collect();
    eventually("three clients are subscribed", || {
        broker.stats(&"a".parse().unwrap()).is_some_and(|stats| stats.subscribers == 3)
    });
    assert_eq!(connect(&server).post("/topics/a", "event").status, 202);
    let mut watcher = watch(&server);
    eventually("the stream reports the broker's counts", || {
        let topics = figures(&mut watcher).1["topics"].take();
        topics
            == json!({
                "topics": 1, "subscribers": 3, "published": 1, "delivered": 3, "dropped": 0, "ended": 0
            })
    });
}

#[test]
fn nothing_runs_without_watchers() {
    let server = start(routes());
    let tasks = || {
        metric(&server, "windlass_shard_tasks{shard=\"0\"}")
            + metric(&server, "windlass_shard_tasks{shard=\"1\"}")
    };
    // The router actor starts in the first turns of its shard, possibly after the first requests.
    eventually("the router actor runs", || tasks() >= 1.0);
    let before = tasks();
    let mut watchers: Vec<_> = (0..4).map(|_| watch(&server)).collect();
    watchers.iter_mut().for_each(|watcher| drop(figures(watcher)));
    assert!(tasks() >= before + 4.0, "each watcher must have a future on its shard");
    drop(watchers);
    eventually("the watchers' futures have ended", || tasks() <= before);
}

#[test]
fn the_path_of_the_stream_is_configurable() {
    let mut elsewhere = Operations::usual();
    elsewhere.live = Some("/figures".to_owned());
    let server = builder(routes()).operations(elsewhere).start().unwrap();
    figures(&mut Client::subscribe(&server, "/figures", None));
    assert_eq!(connect(&server).get("/metrics/live").status, 404);
}
