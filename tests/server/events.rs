//! Event streams of handlers: what is sent, what a full queue does, topics beside it, history, ends.

mod ends;
mod history;
mod queues;

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use windlass::{
    ListenOptions, Request, Router, Server,
    broker::{Broker, BrokerSettings, Event, PreparedEvent, TopicName},
    event_stream, event_stream_with, get,
    sse::{Client, Settings, SubscribeError, respond},
};

use crate::{
    common::{builder, connect, eventually, metric, start},
    topics::client::{Client as Seeing, Seen},
};

/// Serves one stream whose client is kept for the test, and returns the client once it is there.
struct Kept {
    server: Server,
    client: Arc<Mutex<Option<Client>>>,
    /// Handlers that were dropped or have returned.
    ended: Arc<AtomicUsize>,
}

struct Ending(Arc<AtomicUsize>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

impl Kept {
    /// Serves `/e` on connections whose send buffers are small and fixed.
    fn serve(settings: Settings) -> Self {
        let (client, ended) = (Arc::<Mutex<Option<Client>>>::default(), Arc::new(AtomicUsize::new(0)));
        let (keep, ending) = (client.clone(), ended.clone());
        let route = event_stream_with("/e", settings, move |_, client: Client| {
            *keep.lock().unwrap() = Some(client);
            let ending = Ending(ending.clone());
            async move {
                let _ending = ending;
                std::future::pending::<()>().await;
            }
        });
        let mut options = ListenOptions::default();
        options.send_buffer = Some(16 * 1024);
        let server = builder(Router::new().route(route)).listen_options(options).start().unwrap();
        Self { server, client, ended }
    }

    fn client(&self) -> Client {
        eventually("the handler runs", || self.client.lock().unwrap().is_some());
        self.client.lock().unwrap().clone().unwrap()
    }
}

fn text(event: &Seen) -> &str {
    match event {
        Seen::Event { data, .. } => data,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_handler_sends_to_its_client_in_order_and_its_return_ends_the_stream() {
    async fn count(request: Request, client: Client) {
        let prepared = PreparedEvent::new(Event::new("ready").named("state").unwrap());
        client.send_prepared(&prepared).await.unwrap();
        for n in 0..request.param("n").unwrap().parse::<u32>().unwrap() {
            client.send(Event::new(n.to_string())).await.unwrap();
        }
    }
    let server = start(Router::new().route(event_stream("/count/{n}", count)));
    let mut client = Seeing::subscribe(&server, "/count/1000", None);
    assert_eq!(client.next(), Seen::event("", "state", "ready"));
    for n in 0..1000 {
        assert_eq!(client.next(), Seen::event("", "message", &n.to_string()));
    }
    assert_eq!(client.next(), Seen::End);
    let dispatched = |kind: &str| {
        let sample = |shard| {
            format!("windlass_requests_dispatched_total{{kind=\"{kind}\",protocol=\"h1\",shard=\"{shard}\"}}")
        };
        (0..2).map(|shard| metric(&server, &sample(shard))).sum::<f64>()
    };
    assert_eq!(dispatched("sse"), 1.0);
}

#[test]
fn the_head_leaves_before_the_handler_has_sent_anything_and_middleware_stands_around_it() {
    async fn stamp(request: Request, next: windlass::Next) -> windlass::Response {
        next.run(request).await.with_header("x-stamp", "1")
    }
    let route = event_stream("/quiet", |_, _| std::future::pending::<()>()).with(stamp);
    let server = start(Router::new().route(route));
    let mut peer = connect(&server);
    peer.request("GET", "/quiet");
    let head = String::from_utf8(peer.until(b"\r\n\r\n")).unwrap().to_lowercase();
    assert!(head.starts_with("http/1.1 200") && head.contains("x-stamp: 1"), "{head}");
    assert!(head.contains("content-type: text/event-stream"), "{head}");
}

#[test]
fn an_ordinary_handler_may_answer_with_a_stream_from_either_side() {
    let answer = |request: Request| {
        let name = request.param("name").unwrap_or_default().into_owned();
        respond(&request, &Settings::new(), move |client: Client| async move {
            let thread = std::thread::current().name().unwrap_or_default().to_owned();
            client.send(Event::new(format!("{name} {thread}"))).await.unwrap();
        })
    };
    let router =
        Router::new().route(get("/inline/{name}", answer)).route(get("/async/{name}", answer).run_async());
    let server = start(router);
    for path in ["/inline/a", "/async/a"] {
        let seen = Seeing::subscribe(&server, path, None).next();
        assert!(text(&seen).starts_with("a windlass-"), "it runs on the connection's shard: {seen:?}");
    }
}

#[test]
fn such_a_route_is_never_async() {
    let route =
        || event_stream("/e", |_, client: Client| async move { client.send(Event::new("x")).await.unwrap() });
    let error = builder(Router::new().route(route().run_async())).start().unwrap_err().to_string();
    assert!(error.contains("GET /e") && error.contains("cannot be async"), "{error}");
    // What holds for others does not reach it.
    let server = start(Router::new().run_async().group("/g", |group| group.run_async().route(route())));
    assert_eq!(server.metrics().async_routes, 0);
    assert_eq!(Seeing::subscribe(&server, "/g/e", None).next(), Seen::event("", "message", "x"));
    let reflagged =
        server.routes().reflag_blocking(windlass::http::Method::GET, "/g/e", windlass::Dispatch::Async);
    assert!(reflagged.unwrap_err().to_string().contains("cannot be async"));
}

#[test]
fn a_client_follows_topics_beside_what_its_handler_sends() {
    const EVENTS: usize = 300;
    let broker = Broker::new(BrokerSettings::default()).unwrap();
    let feed = broker.clone();
    let handler = move |_: Request, client: Client| {
        let feed = feed.clone();
        async move {
            for topic in ["a", "b"] {
                client.subscribe(&feed, &topic.parse().unwrap(), None).unwrap();
            }
            assert!(matches!(
                client.subscribe(&feed, &"c".parse().unwrap(), None),
                Err(SubscribeError::TooMany)
            ));
            for n in 0..EVENTS {
                client.send(Event::new(format!("own {n}")).named("own").unwrap()).await.unwrap();
            }
            client.closed().await;
        }
    };
    let route = event_stream_with("/e", Settings::new().subscriptions(2), handler);
    let server = builder(Router::new().route(route)).broker(&broker).start().unwrap();
    let mut client = Seeing::subscribe(&server, "/e", None);
    let topics: [TopicName; 2] = ["a".parse().unwrap(), "b".parse().unwrap()];
    for topic in &topics {
        eventually("it follows", || broker.stats(topic).is_some_and(|stats| stats.subscribers == 1));
    }
    let mut seen = [0, 0, 0];
    for n in 0..50 {
        for topic in &topics {
            let prepared =
                PreparedEvent::new(Event::new(format!("{topic} {n}")).named(topic.to_string()).unwrap());
            pollster::block_on(broker.publish_prepared(topic, &prepared)).unwrap();
        }
    }
    while seen != [EVENTS, 50, 50] {
        let Seen::Event { name, data, id } = client.next() else { panic!("an end") };
        let which = ["own", "a", "b"].iter().position(|known| **known == name).unwrap();
        assert_eq!(data, format!("{name} {}", seen[which]), "each side stays in order");
        assert_eq!(id.is_empty(), name == "own", "topics' events have ids");
        seen[which] += 1;
    }
    // The topic's end is the stream's.
    pollster::block_on(broker.close(&topics[0]));
    assert_eq!(client.next(), Seen::End);
    eventually("it has left", || broker.stats(&topics[1]).is_some_and(|stats| stats.subscribers == 0));
}
