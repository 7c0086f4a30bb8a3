//! Event streams of handlers: delivery, full queues, topics on the same stream, history, and the end of a
//! stream.

mod ends;
mod history;
mod proxies;
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
    topics::client::{Client as Subscriber, Received},
};

/// A server with one event stream route, which passes its client to the test.
struct StreamServer {
    server: Server,
    client: Arc<Mutex<Option<Client>>>,
    /// Number of handlers that returned or were dropped.
    ended: Arc<AtomicUsize>,
}

struct CountOnDrop(Arc<AtomicUsize>);

impl Drop for CountOnDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

impl StreamServer {
    /// Serves `/e` on connections with small, fixed send buffers.
    fn serve(settings: Settings) -> Self {
        let (client, ended) = (Arc::<Mutex<Option<Client>>>::default(), Arc::new(AtomicUsize::new(0)));
        let (keep, ending) = (client.clone(), ended.clone());
        let route = event_stream_with("/e", settings, move |_, client: Client| {
            *keep.lock().unwrap() = Some(client);
            let ending = CountOnDrop(ending.clone());
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

fn text(event: &Received) -> &str {
    match event {
        Received::Event { data, .. } => data,
        other => panic!("{other:?}"),
    }
}

#[test]
fn events_of_a_handler_arrive_in_order_and_its_return_ends_the_stream() {
    async fn count(request: Request, client: Client) {
        let prepared = PreparedEvent::new(Event::new("ready").named("state").unwrap());
        client.send_prepared(&prepared).await.unwrap();
        for n in 0..request.param("n").unwrap().parse::<u32>().unwrap() {
            client.send(Event::new(n.to_string())).await.unwrap();
        }
    }
    let server = start(Router::new().route(event_stream("/count/{n}", count)));
    let mut client = Subscriber::subscribe(&server, "/count/1000", None);
    assert_eq!(client.next(), Received::event("", "state", "ready"));
    for n in 0..1000 {
        assert_eq!(client.next(), Received::event("", "message", &n.to_string()));
    }
    assert_eq!(client.next(), Received::End);
    let dispatched = |kind: &str| {
        let sample = |shard| {
            format!("windlass_requests_dispatched_total{{kind=\"{kind}\",protocol=\"h1\",shard=\"{shard}\"}}")
        };
        (0..2).map(|shard| metric(&server, &sample(shard))).sum::<f64>()
    };
    assert_eq!(dispatched("sse"), 1.0);
}

#[test]
fn the_head_is_sent_at_once_and_middleware_applies() {
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
fn inline_and_async_handlers_may_answer_with_an_event_stream() {
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
        let seen = Subscriber::subscribe(&server, path, None).next();
        assert!(
            text(&seen).starts_with("a windlass-"),
            "the stream must run on the connection's shard: {seen:?}"
        );
    }
}

#[test]
fn an_event_stream_route_is_never_async() {
    let route =
        || event_stream("/e", |_, client: Client| async move { client.send(Event::new("x")).await.unwrap() });
    let error = builder(Router::new().route(route().run_async())).start().unwrap_err().to_string();
    assert!(error.contains("GET /e") && error.contains("cannot be async"), "{error}");
    // Async as the default of the router or a group does not apply to an event stream.
    let server = start(Router::new().run_async().group("/g", |group| group.run_async().route(route())));
    assert_eq!(server.metrics().async_routes, 0);
    assert_eq!(Subscriber::subscribe(&server, "/g/e", None).next(), Received::event("", "message", "x"));
    let reflagged =
        server.routes().set_dispatch_blocking(windlass::http::Method::GET, "/g/e", windlass::Dispatch::Async);
    assert!(reflagged.unwrap_err().to_string().contains("cannot be async"));
}

#[test]
fn a_client_receives_topics_beside_the_events_of_its_handler() {
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
    let mut client = Subscriber::subscribe(&server, "/e", None);
    let topics: [TopicName; 2] = ["a".parse().unwrap(), "b".parse().unwrap()];
    for topic in &topics {
        eventually("the client is subscribed", || {
            broker.stats(topic).is_some_and(|stats| stats.subscribers == 1)
        });
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
        let Received::Event { name, data, id } = client.next() else { panic!("the stream ended early") };
        let which = ["own", "a", "b"].iter().position(|known| **known == name).unwrap();
        assert_eq!(data, format!("{name} {}", seen[which]), "the events of each source must stay in order");
        assert_eq!(id.is_empty(), name == "own", "only events of topics have ids");
        seen[which] += 1;
    }
    // Closing a topic ends the stream.
    pollster::block_on(broker.close(&topics[0]));
    assert_eq!(client.next(), Received::End);
    eventually("the subscription to the other topic has ended", || {
        broker.stats(&topics[1]).is_none_or(|stats| stats.subscribers == 0)
    });
}
