//! The test client: the server's connections without sockets and threads.

use std::{
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use bytes::Bytes;
use http::{Method, StatusCode};
use windlass::{
    Body, Hooks, Limits, Next, Request, Router, Server, TestClient,
    actors::{Actor, Addr, Context, Flow, Placement, Reply, SpawnOptions},
    broker::{Broker, Event},
    get, post, static_route,
};

use crate::common::eventually;

async fn nap(_: Request) -> &'static str {
    windlass::sleep(Duration::from_millis(5)).await;
    "rested"
}

async fn delayed(_: Request) -> &'static str {
    tokio::time::sleep(Duration::from_millis(1)).await;
    "later"
}

async fn echo(mut request: Request) -> Body {
    request.take_body()
}

fn routes() -> Router {
    Router::new()
        .route(static_route("/static", "static"))
        .route(get("/thread", || format!("{:?}", thread::current().id())))
        .route(get("/nap", nap))
        .route(get("/later", delayed).run_async())
        .route(get("/blocking", || "blocking").run_async())
        .route(get("/boom", || -> &'static str { panic!("deliberate panic of the test") }))
        .route(post("/echo", echo))
        .route(post("/streamed", echo).streamed())
        .with(|request, next: Next| async move { next.run(request).await.with_header("x-layer", "1") })
}

#[test]
fn every_kind_of_route_answers_on_the_calling_thread() {
    let client = TestClient::new(routes()).unwrap();
    assert_eq!(client.get("/thread").body(), &format!("{:?}", thread::current().id()));
    for path in ["/static", "/later", "/blocking"] {
        let reply = client.get(path);
        assert_eq!((reply.status(), reply.body().as_ref()), (StatusCode::OK, &path.as_bytes()[1..]));
        assert_eq!(reply.headers()["x-layer"], "1");
    }
    assert_eq!(client.get("/nap").body(), "rested");
    assert_eq!(client.get("/boom").status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(client.get("/nowhere").status(), StatusCode::NOT_FOUND);
    assert_eq!(client.post("/static", "").status(), StatusCode::METHOD_NOT_ALLOWED);
    let head = client.call(http::Request::head("/static").body("").unwrap());
    assert_eq!((head.headers()["content-length"].to_str().unwrap(), head.body().len()), ("6", 0));
    let metrics = client.metrics();
    assert_eq!(
        (metrics.requests, metrics.accepted, metrics.handler_panics),
        (9, 1, 1),
        "one connection must serve all requests"
    );
}

#[test]
fn bodies_pass_both_ways_and_limits_apply() {
    let mut limits = Limits::default();
    limits.body_bytes = 1000;
    let client = Server::builder().router(routes()).limits(limits).test_client().unwrap();
    let large = Bytes::from(vec![7; 1 << 20]);
    assert_eq!(client.post("/echo", "hello").body(), "hello");
    assert_eq!(client.post("/streamed", large.clone()).body(), &large);
    assert_eq!(client.post("/echo", large).status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(client.post("/echo", "again").body(), "again", "the next request must use a new connection");
}

#[test]
fn a_request_has_the_method_host_headers_and_query_of_the_test() {
    let describe =
        |r: Request| format!("{} {} {:?} {:?}", r.method(), r.host().unwrap(), r.header("x-id"), r.query());
    let client = TestClient::new(Router::new().route(windlass::any("/tell", describe))).unwrap();
    let request =
        http::Request::builder().method(Method::PATCH).uri("http://example.org/tell?a=1").header("x-id", "7");
    let reply = client.call(request.body(Bytes::new()).unwrap());
    assert_eq!(reply.body(), r#"PATCH example.org Some("7") Some("a=1")"#);
    assert_eq!(client.get("/tell").body(), "GET test None None");
}

#[test]
fn hooks_are_called_and_dropping_a_stream_is_a_disconnect() {
    let ends = Arc::new(Mutex::new(Vec::new()));
    let recorded = ends.clone();
    let hooks = Hooks::default().on_end(move |end| {
        recorded.lock().unwrap().push((end.path.to_owned(), end.error.map(str::to_owned)));
    });
    let endless = get("/endless", || {
        let (mut sender, body) = Body::channel(1024);
        send_blocking(&mut sender, "first");
        std::mem::forget(sender);
        body
    });
    let client = Server::builder().router(routes().route(endless)).hooks(hooks).test_client().unwrap();
    client.get("/static");
    let mut stream = client.open(http::Request::get("/endless").body("").unwrap());
    assert_eq!((stream.head().status(), stream.next().unwrap()), (StatusCode::OK, "first".into()));
    drop(stream);
    let left = Some("the connection ended before the exchange was complete".to_owned());
    assert_eq!(*ends.lock().unwrap(), [("/static".to_owned(), None), ("/endless".to_owned(), left)]);
}

fn send_blocking(sender: &mut windlass::BodySender, text: &'static str) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(sender.send(text.into())).unwrap();
}

#[test]
fn events_arrive_as_they_are_published() {
    let broker = Broker::new(Default::default()).unwrap();
    let (feed, news) = (broker.clone(), broker.clone());
    let router = Router::new()
        .route(get("/news", move |request: Request| feed.subscribe(&"news".parse().unwrap(), &request)))
        .route(post("/news", move |mut request: Request| {
            let news = news.clone();
            async move {
                let text = request.take_body().collect(100).await.unwrap();
                news.publish(&"news".parse().unwrap(), Event::new(text)).await.unwrap();
                "published"
            }
        }));
    let client = Server::builder().router(router).broker(&broker).test_client().unwrap();
    let mut events = client.open(http::Request::get("/news").body("").unwrap());
    for text in ["one", "two"] {
        assert_eq!(client.post("/news", text).body(), "published");
        events.until(&format!("data: {text}\n\n"));
    }
    assert_eq!(broker.stats(&"news".parse().unwrap()).unwrap().subscribers, 1);
    drop(events);
    eventually("the subscription has ended", || {
        client.get("/nowhere");
        broker.stats(&"news".parse().unwrap()).is_none_or(|stats| stats.subscribers == 0)
    });
}

#[test]
fn actors_run_on_the_shard_of_the_client() {
    struct Counter(u64);
    impl Actor for Counter {
        type Msg = Reply<u64>;
        async fn handle(&mut self, reply: Reply<u64>, _: &mut Context<Self::Msg>) -> Flow {
            self.0 += 1;
            reply.send(self.0);
            Flow::Continue
        }
    }
    type Shared = Arc<std::sync::OnceLock<Addr<Reply<u64>>>>;
    async fn count(request: Request) -> String {
        let counter = request.state::<Shared>().unwrap().get().unwrap().clone();
        counter.ask(|reply| reply, Duration::from_secs(5)).await.unwrap().to_string()
    }
    let shared = Shared::default();
    let router =
        Router::new().state(shared.clone()).route(get("/", count)).route(get("/async", count).run_async());
    let client = TestClient::new(router).unwrap();
    let counter =
        client.system().spawn(Placement::Shard(0), SpawnOptions::named("counter"), || Counter(0)).unwrap();
    shared.set(counter).unwrap();
    assert_eq!((client.get("/").body(), client.get("/async").body()), (&"1".into(), &"2".into()));
}

#[test]
fn an_invalid_route_is_an_error_at_the_start() {
    let error = TestClient::new(Router::new().route(get("no-slash", || ""))).unwrap_err();
    assert!(error.to_string().contains("must begin with '/'"), "{error}");
}

#[cfg(feature = "tower")]
#[test]
fn mounted_services_answer() {
    let app = axum::Router::new().route("/", axum::routing::get(|| async { "axum" }));
    let client = TestClient::new(Router::new().mount("/app", app)).unwrap();
    assert_eq!(client.get("/app").body(), "axum");
}

#[test]
fn every_method_has_a_call() {
    let name = |request: Request| request.method().to_string();
    let client = TestClient::new(Router::new().route(windlass::any("/", name))).unwrap();
    for (response, method) in [
        (client.get("/"), "GET"),
        (client.options("/"), "OPTIONS"),
        (client.delete("/"), "DELETE"),
        (client.post("/", "x"), "POST"),
        (client.put("/", "x"), "PUT"),
        (client.patch("/", "x"), "PATCH"),
    ] {
        assert_eq!(response.body(), method);
    }
    let head = client.head("/");
    assert_eq!((head.headers()["content-length"].as_bytes(), head.body().len()), (&b"4"[..], 0));
}

#[cfg(feature = "json")]
#[test]
fn json_goes_both_ways() {
    use windlass::Json;
    let double = |Json(numbers): Json<Vec<u32>>| Json(numbers.iter().map(|n| n * 2).collect::<Vec<_>>());
    let router = Router::new().route(post("/double", double)).route(get("/numbers", || Json([1, 2])));
    let client = TestClient::new(router).unwrap();
    let response = client.send_json(Method::POST, "/double", &client.get_json::<Vec<u32>>("/numbers"));
    assert_eq!(TestClient::json::<Vec<u32>>(&response), [2, 4]);
}

#[cfg(feature = "ws")]
#[test]
fn a_websocket_receives_in_order_and_sees_the_close() {
    use windlass::ws::{Code, Message, Socket};
    let echo = async |mut socket: Socket| {
        while let Some(Ok(message)) = socket.recv().await {
            if message.as_text() == Some("end") {
                return Err("asked to end");
            }
            let _ = socket.send(&message).await;
            let _ = socket.send("again").await;
        }
        Ok(())
    };
    let client = TestClient::new(Router::new().route(windlass::websocket("/", echo))).unwrap();
    let mut socket = client.websocket("/");
    socket.send("one");
    socket.send_message(&Message::Binary(vec![1; 70_000]));
    let again = || Some(Message::Text("again".to_owned()));
    assert_eq!((socket.recv(), socket.recv()), (Some(Message::Text("one".to_owned())), again()));
    assert_eq!((socket.recv(), socket.recv()), (Some(Message::Binary(vec![1; 70_000])), again()));
    socket.send("end");
    assert_eq!(socket.recv(), None);
    assert_eq!(socket.close_frame().and_then(|frame| frame.code), Some(Code::INTERNAL));
    client.websocket("/").close();
}
