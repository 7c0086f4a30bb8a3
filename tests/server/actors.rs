//! User actors on the server's shards, called by handlers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use http::StatusCode;
use windlass::{
    Request, Router, RouterHandle, Server, TopicAccess,
    actors::{Actor, Addr, Context, Flow, Placement, Registry, Reply, SpawnOptions, error::AskError},
    broker::{Broker, BrokerSettings, Event, TopicName},
    get, http, topic_routes,
};

use crate::common::{ENDLESS, TIMEOUT, builder, connect, eventually};

enum Msg {
    Add(u64, Reply<u64>),
    Panic(Reply<u64>),
    Slow(Duration, Reply<u64>),
}

/// A counter; a restarted one starts at zero.
#[derive(Default)]
struct Counter(u64);

impl Actor for Counter {
    type Msg = Msg;

    async fn handle(&mut self, message: Msg, cx: &mut Context<Msg>) -> Flow {
        match message {
            Msg::Add(more, reply) => {
                self.0 += more;
                reply.send(self.0);
            }
            Msg::Panic(reply) => assert!(!reply.is_awaited(), "expected by the test"),
            Msg::Slow(time, reply) => {
                cx.sleep(time).await;
                reply.send(self.0);
            }
        }
        Flow::Continue
    }
}

type Shared = Arc<std::sync::OnceLock<Addr<Msg>>>;

async fn ask(
    request: Request,
    message: impl FnOnce(Reply<u64>) -> Msg,
) -> Result<String, (StatusCode, String)> {
    let counter = request.state::<Shared>().unwrap().get().unwrap().clone();
    let patience = if request.path() == "/slow" { Duration::from_millis(200) } else { TIMEOUT };
    match counter.ask(message, patience).await {
        Ok(sum) => Ok(sum.to_string()),
        Err(AskError::Timeout) => Err((StatusCode::GATEWAY_TIMEOUT, "timeout".to_owned())),
        Err(error) => Err((StatusCode::BAD_GATEWAY, error.to_string())),
    }
}

async fn add(request: Request) -> Result<String, (StatusCode, String)> {
    ask(request, |reply| Msg::Add(1, reply)).await
}

async fn fail(request: Request) -> Result<String, (StatusCode, String)> {
    ask(request, Msg::Panic).await
}

async fn slow(request: Request) -> Result<String, (StatusCode, String)> {
    ask(request, |reply| Msg::Slow(ENDLESS, reply)).await
}

/// Starts a server with a counter actor at this place.
fn start_with_counter(place: Placement) -> Server {
    let shared = Shared::default();
    let router = Router::new()
        .state(shared.clone())
        .route(get("/inline", add))
        .route(get("/async", add).run_async())
        .route(get("/fail", fail))
        .route(get("/fail-async", fail).run_async())
        .route(get("/slow", slow));
    let server = builder(router).start().unwrap();
    let counter = server.system().spawn(place, SpawnOptions::named("counter"), Counter::default).unwrap();
    assert!(shared.set(counter).is_ok());
    server
}

#[test]
fn handlers_on_every_shard_and_on_the_pool_can_ask_an_actor() {
    for place in [Placement::Shard(0), Placement::Shard(1)] {
        let server = start_with_counter(place);
        let mut sum = 0;
        // Enough connections that each shard has some.
        let mut peers: Vec<_> = (0..16).map(|_| connect(&server)).collect();
        for peer in &mut peers {
            for path in ["/inline", "/async", "/inline"] {
                sum += 1;
                assert_eq!(peer.get(path).text(), sum.to_string(), "{path}");
            }
        }
    }
}

#[test]
fn a_pipeline_of_requests_to_an_actor_is_answered_in_order() {
    let server = start_with_counter(Placement::LeastLoaded);
    let mut peer = connect(&server);
    peer.send("GET /inline HTTP/1.1\r\nHost: t\r\n\r\n".repeat(20));
    for n in 1..=20 {
        assert_eq!(peer.reply().text(), n.to_string());
    }
}

#[test]
fn a_panicking_actor_fails_one_request_and_restarts() {
    let server = start_with_counter(Placement::Shard(1));
    let mut peer = connect(&server);
    assert_eq!(peer.get("/inline").text(), "1");
    for path in ["/fail", "/fail-async"] {
        let failed = peer.get(path);
        assert_eq!((failed.status, failed.text().contains("dropped")), (502, true), "{path}");
        assert_eq!(peer.get("/inline").text(), "1", "the restarted counter starts at zero");
    }
    assert_eq!((server.system().counts().panicked, server.system().counts().restarted), (2, 2));
    assert_eq!(server.metrics().handler_panics, 0, "a panic of the actor is not one of the handler");
}

#[test]
fn a_slow_actor_delays_only_the_request_that_asks_it() {
    let server = start_with_counter(Placement::Shard(0));
    let mut peer = connect(&server);
    let began = Instant::now();
    let timed_out = peer.get("/slow");
    assert_eq!(timed_out.status, 504);
    assert!(began.elapsed() >= Duration::from_millis(200), "{:?}", began.elapsed());
    assert_eq!(peer.get("/nowhere").status, 404);
}

#[test]
fn timers_of_inline_handlers_overlap_on_their_shard() {
    /// Handlers asleep now, and the most there were.
    static ASLEEP: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];
    async fn nap(_: Request) -> &'static str {
        let [now, most] = &ASLEEP;
        most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
        windlass::sleep(Duration::from_millis(100)).await;
        now.fetch_sub(1, SeqCst);
        "rested"
    }
    let server = builder(Router::new().route(get("/nap", nap))).start().unwrap();
    let mut peer = connect(&server);
    let began = Instant::now();
    peer.send("GET /nap HTTP/1.1\r\nHost: t\r\n\r\n".repeat(4));
    let mut peers: Vec<_> = (0..50).map(|_| connect(&server)).collect();
    peers.iter_mut().for_each(|peer| peer.request("GET", "/nap"));
    for peer in &mut peers {
        assert_eq!(peer.reply().text(), "rested");
    }
    assert!(began.elapsed() >= Duration::from_millis(100), "{:?}", began.elapsed());
    let most = ASLEEP[1].load(SeqCst);
    assert!(most > 2, "on two shards {most} handlers slept at a time");
    eventually("all tasks have ended", || {
        (0..2).all(|shard| server.system().stats(shard).unwrap().tasks() <= 1)
    });
}

#[test]
fn a_client_that_leaves_cancels_its_waiting_inline_handler() {
    let server = start_with_counter(Placement::Shard(0));
    let tasks = || (0..2).map(|shard| server.system().stats(shard).unwrap().tasks()).sum::<usize>();
    eventually("both actors run", || tasks() == 2);
    let mut peer = connect(&server);
    peer.request("GET", "/slow");
    eventually("the handler waits as a task of its shard", || tasks() == 3);
    peer.reset();
    eventually("the handler is cancelled", || tasks() == 2);
}

#[test]
fn an_actor_may_send_to_a_plain_thread() {
    struct Ticker(std::sync::mpsc::Sender<String>);
    impl Actor for Ticker {
        type Msg = ();
        async fn handle(&mut self, (): (), cx: &mut Context<()>) -> Flow {
            cx.sleep(Duration::from_millis(5)).await;
            Flow::from(self.0.send(thread::current().name().unwrap_or_default().to_owned()))
        }
    }
    let server = builder(Router::new()).start().unwrap();
    let (sender, ticks) = std::sync::mpsc::channel();
    let factory = move || Ticker(sender.clone());
    let ticker = server.system().spawn(Placement::Shard(1), SpawnOptions::named("ticker"), factory).unwrap();
    for _ in 0..3 {
        ticker.tell_blocking(()).unwrap();
        assert_eq!(ticks.recv_timeout(TIMEOUT).unwrap(), "windlass-1");
    }
    let report = server.drain(None);
    assert!(report.system.is_clean(), "{report}");
    assert!(ticker.try_tell(()).is_err(), "the actor must have ended with the server");
}

async fn ask_registered_counter(request: Request) -> Result<String, (StatusCode, String)> {
    let counter = request.state::<Registry>().and_then(|registry| registry.find::<Msg>("counter"));
    let counter = counter.ok_or_else(|| (StatusCode::SERVICE_UNAVAILABLE, "no counter".to_owned()))?;
    let sum = counter.ask(|reply| Msg::Add(1, reply), TIMEOUT).await;
    sum.map(|sum| sum.to_string()).map_err(|error| (StatusCode::BAD_GATEWAY, error.to_string()))
}

#[test]
fn handlers_find_an_actor_by_name_until_it_has_ended() {
    let registry = Registry::new();
    let router = Router::new()
        .state(registry.clone())
        .route(get("/inline", ask_registered_counter))
        .route(get("/async", ask_registered_counter).run_async());
    let server = builder(router).registry(&registry).start().unwrap();
    let mut peer = connect(&server);
    assert_eq!(peer.get("/inline").status, 503);
    let counter =
        server.system().spawn(Placement::Shard(1), SpawnOptions::named("counter"), Counter::default).unwrap();
    server.system().registry().register("counter", &counter).unwrap();
    assert_eq!((peer.get("/inline").text(), peer.get("/async").text()), ("1".into(), "2".into()));
    counter.stop(windlass::actors::Undelivered::Drain);
    counter.exited_blocking(TIMEOUT).unwrap();
    assert_eq!(peer.get("/async").status, 503);
}

/// Publishes each message it receives, and adds a route for each new topic.
struct Announcer {
    broker: Broker,
    routes: RouterHandle,
    known: Vec<TopicName>,
}

impl Actor for Announcer {
    type Msg = (TopicName, &'static str);

    async fn handle(&mut self, (topic, text): Self::Msg, _: &mut Context<Self::Msg>) -> Flow {
        if !self.known.contains(&topic) {
            let path = format!("/about/{}", topic.as_str());
            let about = topic.as_str().to_owned();
            if let Err(error) = self.routes.add(get(&path, move |_: Request| about.clone())).await {
                return Flow::fail(error);
            }
            self.known.push(topic.clone());
        }
        Flow::from(self.broker.publish(&topic, Event::new(text)).await.map(|_| ()))
    }
}

#[test]
fn an_actor_may_publish_on_topics_and_add_routes() {
    let broker = Broker::new(BrokerSettings::default()).unwrap();
    let router = topic_routes(Router::new(), &broker, TopicAccess::default());
    let server = builder(router).broker(&broker).start().unwrap();
    let topic: TopicName = "news".parse().unwrap();
    let mut reader = connect(&server);
    reader.send("GET /topics/news HTTP/1.1\r\nHost: t\r\n\r\n");
    eventually("the reader has subscribed", || {
        broker.stats(&topic).is_some_and(|stats| stats.subscribers == 1)
    });
    let (publisher, routes) = (broker.clone(), server.routes());
    let announcer =
        move || Announcer { broker: publisher.clone(), routes: routes.clone(), known: Vec::new() };
    let announcer =
        server.system().spawn(Placement::Shard(1), SpawnOptions::named("announcer"), announcer).unwrap();
    announcer.tell_blocking((topic.clone(), "hello")).unwrap();
    announcer.tell_blocking((topic.clone(), "again")).unwrap();
    eventually("both events were delivered", || {
        broker.stats(&topic).is_some_and(|stats| stats.delivered == 2)
    });
    assert_eq!(connect(&server).get("/about/news").text(), "news");
    assert_eq!(server.system().counts().failed, 0);
}

#[test]
fn a_drain_reports_actors_and_their_messages() {
    struct Slow;
    impl Actor for Slow {
        type Msg = ();
        async fn handle(&mut self, (): (), cx: &mut Context<()>) -> Flow {
            cx.sleep(Duration::from_millis(2)).await;
            Flow::Continue
        }
    }
    let server = builder(Router::new()).start().unwrap();
    let slow = server.system().spawn(Placement::Shard(0), SpawnOptions::named("slow"), || Slow).unwrap();
    (0..20).for_each(|_| slow.try_tell(()).unwrap());
    let report = server.drain(None);
    let system = &report.system;
    assert!((1..=20).contains(&system.messages_drained) && system.messages_dropped == 0, "{report}");
    let text = format!(
        "; stopped 2 actors, which handled {} messages meanwhile and dropped 0",
        system.messages_drained
    );
    assert!(report.to_string().ends_with(&text), "{report}");
}
