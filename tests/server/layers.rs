//! Middleware and state: the order of layers, what they may change, and values shared with handlers.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use http::StatusCode;
use windlass::{Middleware, Next, Request, Response, Router, get, static_route};

use crate::common::{connect, start};

/// Records its name before and after the rest of the chain runs.
fn traced(name: &'static str, trace: &Arc<Mutex<Vec<String>>>) -> impl Middleware + use<> {
    let trace = trace.clone();
    move |request: Request, next: Next| {
        let trace = trace.clone();
        async move {
            trace.lock().unwrap().push(format!("{name} in"));
            let response = next.run(request).await;
            trace.lock().unwrap().push(format!("{name} out"));
            response
        }
    }
}

#[test]
fn layers_run_from_the_server_through_groups_to_the_route() {
    let trace = Arc::new(Mutex::new(Vec::new()));
    let t = |name| traced(name, &trace);
    let router = Router::new().with(t("server 1")).with(t("server 2")).group("/g", |g| {
        g.with(t("group"))
            .group("/s", |s| {
                s.with(t("sub")).route(get("/deep", || "deep").with(t("route 1")).with(t("route 2")))
            })
            .route(get("/shallow", || "shallow"))
    });
    let server = start(router);
    let mut peer = connect(&server);
    assert_eq!(peer.get("/g/s/deep").text(), "deep");
    let deep = ["server 1", "server 2", "group", "sub", "route 1", "route 2"];
    let mut expected: Vec<_> = deep.iter().map(|name| format!("{name} in")).collect();
    expected.extend(deep.iter().rev().map(|name| format!("{name} out")));
    assert_eq!(std::mem::take(&mut *trace.lock().unwrap()), expected);
    assert_eq!(peer.get("/g/shallow").text(), "shallow");
    let shallow: Vec<_> = trace.lock().unwrap().iter().filter(|step| step.ends_with("in")).cloned().collect();
    assert_eq!(shallow, ["server 1 in", "server 2 in", "group in"]);
}

#[test]
fn a_layer_of_a_group_covers_all_its_routes_in_any_order() {
    let marked = |request, next: Next| async move { next.run(request).await.with_header("x-marked", "1") };
    let no = |_: &Request| Err::<(), _>(StatusCode::FORBIDDEN);
    let router = Router::new()
        .group("/g", |g| {
            g.route(get("/before", || ""))
                .group("/inner", |inner| inner.route(get("/x", || "")))
                .with(marked)
                .route(get("/after", || ""))
                .group("/late", |inner| inner.route(get("/x", || "")))
        })
        .group("/private", |g| {
            g.route(get("/inline", || ""))
                .route(get("/async", || "").run_async())
                .route(static_route("/static", ""))
                .group("/inner", |inner| inner.route(get("/x", || "")))
                .authorize(no)
        })
        .route(get("/outside", || ""));
    let server = start(router);
    let mut peer = connect(&server);
    for path in ["/g/before", "/g/after", "/g/inner/x", "/g/late/x"] {
        assert_eq!(peer.get(path).header("x-marked"), Some("1"), "{path}");
    }
    for path in ["/private/inline", "/private/async", "/private/static", "/private/inner/x"] {
        assert_eq!(peer.get(path).status, 403, "{path}");
    }
    let outside = peer.get("/outside");
    assert_eq!((outside.status, outside.header("x-marked")), (200, None));
}

#[test]
fn layers_of_a_group_keep_their_order_when_routes_come_between() {
    let trace = Arc::new(Mutex::new(Vec::new()));
    let t = |name| traced(name, &trace);
    let router = Router::new().group("/g", |g| {
        g.with(t("outer 1"))
            .group("/s", |s| s.route(get("/x", || "").with(t("route"))).with(t("inner 1")).with(t("inner 2")))
            .with(t("outer 2"))
    });
    assert_eq!(connect(&start(router)).get("/g/s/x").status, 200);
    let steps: Vec<_> = trace.lock().unwrap().iter().filter(|step| step.ends_with("in")).cloned().collect();
    assert_eq!(steps, ["outer 1 in", "outer 2 in", "inner 1 in", "inner 2 in", "route in"]);
}

#[test]
fn a_route_added_at_run_time_is_in_the_group_of_its_prefix() {
    let no = |_: &Request| Err::<(), _>(StatusCode::FORBIDDEN);
    let yes = |_: &Request| Ok::<(), StatusCode>(());
    let router = Router::new()
        .group("/users/{id}", |g| {
            g.group("/keys", |keys| keys.authorize(no)).route(get("/name", || "")).authorize(yes)
        })
        .group("/twice", |g| g.authorize(yes))
        .group("/twice", |g| g.authorize(no))
        .group("", |g| g.authorize(no));
    let server = start(router);
    let routes = server.routes();
    for path in ["/users/{user}/keys", "/users/{id}/keys/{key}", "/users/{id}/keysmith", "/twin"] {
        routes.add_blocking(get(path, || "")).unwrap();
    }
    let mut peer = connect(&server);
    assert_eq!(peer.get("/users/7/keys").status, 403);
    assert_eq!(peer.get("/users/7/keys/8").status, 403);
    assert_eq!(peer.get("/users/7/keysmith").status, 200, "a prefix ends at a segment");
    assert_eq!(peer.get("/twin").status, 200);
    let error = routes.add_blocking(get("/twice/new", || "")).unwrap_err().to_string();
    assert!(error.contains("several groups have the prefix `/twice`"), "{error}");
}

/// Serves one route of each kind.
fn every_kind() -> Router {
    async fn delayed(_: Request) -> &'static str {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        "async"
    }
    async fn ready(_: Request) -> &'static str {
        "ready"
    }
    Router::new()
        .route(static_route("/static", "static"))
        .route(get("/inline", || "inline"))
        .route(get("/ready", ready))
        .route(get("/async", delayed).run_async())
        .route(get("/blocking", || "blocking").run_async())
}

const EVERY_KIND: [&str; 5] = ["/static", "/inline", "/ready", "/async", "/blocking"];

#[test]
fn a_layer_may_change_requests_and_responses_of_every_kind() {
    #[derive(Clone)]
    struct Tag(&'static str);
    let router = every_kind().route(get("/tag", |r: Request| r.extensions().get::<Tag>().unwrap().0)).with(
        |mut request: Request, next: Next| async move {
            request.extensions_mut().insert(Tag("from outside"));
            next.run(request).await.with_header("x-layer", "1").with_status(StatusCode::ACCEPTED)
        },
    );
    let server = start(router);
    let mut peer = connect(&server);
    for path in EVERY_KIND {
        let reply = peer.get(path);
        assert_eq!((reply.status, reply.header("x-layer")), (202, Some("1")), "{path}");
        assert_eq!(reply.text(), &path[1..]);
    }
    assert_eq!(peer.get("/tag").text(), "from outside");
    peer.request("HEAD", "/static");
    assert_eq!(
        peer.reply_to("HEAD").header("content-length"),
        Some("6"),
        "a static route under a layer must still answer HEAD"
    );
    assert_eq!(peer.get("/nowhere").header("x-layer"), Some("1"), "layers must apply to unmatched paths");
}

#[test]
fn a_layer_may_answer_without_running_the_handler() {
    let ran = Arc::new(AtomicUsize::new(0));
    let count = ran.clone();
    let handler = move |_: Request| {
        count.fetch_add(1, Ordering::SeqCst);
        "ran"
    };
    let gate = |request: Request, next: Next| async move {
        match request.header("authorization") {
            Some("yes") => next.run(request).await,
            _ => Response::text("no").with_status(StatusCode::UNAUTHORIZED),
        }
    };
    let router = Router::new()
        .route(get("/inline", handler.clone()))
        .route(get("/async", handler).run_async())
        .with(gate);
    let server = start(router);
    let mut peer = connect(&server);
    for path in ["/inline", "/async"] {
        assert_eq!(peer.get(path).status, 401);
    }
    assert_eq!(ran.load(Ordering::SeqCst), 0);
    peer.send("GET /inline HTTP/1.1\r\nHost: t\r\nAuthorization: yes\r\n\r\n");
    assert_eq!(peer.reply().text(), "ran");
}

#[test]
fn a_panicking_layer_answers_500_and_the_connection_stays_open() {
    async fn broken(request: Request, next: Next) -> Response {
        let response = next.run(request).await;
        if response.status() == StatusCode::OK {
            panic!("deliberate panic of the test");
        }
        response
    }
    let server = start(every_kind().with(broken).route(get("/teapot", || StatusCode::IM_A_TEAPOT)));
    let mut peer = connect(&server);
    for path in EVERY_KIND {
        assert_eq!(peer.get(path).status, 500, "{path}");
        assert_eq!(peer.get("/teapot").status, 418, "after {path}");
    }
    assert_eq!(server.metrics().handler_panics, 5);
}

#[test]
fn a_layer_may_read_and_replace_bodies() {
    async fn shout(mut request: Request, next: Next) -> Response {
        let body = request.take_body().collect(1024).await.unwrap();
        request.set_body(body.to_ascii_uppercase().into());
        let mut response = next.run(request).await;
        let whole = response.take_body().collect(1024).await.unwrap();
        response.with_body([whole.as_ref(), b"!"].concat())
    }
    async fn echo(mut request: Request) -> Vec<u8> {
        request.take_body().collect(1024).await.unwrap().to_vec()
    }
    let router = Router::new()
        .route(windlass::post("/whole", echo))
        .route(windlass::post("/streamed", echo).streamed())
        .route(windlass::post("/async", echo).run_async())
        .with(shout);
    let server = start(router);
    let mut peer = connect(&server);
    for path in ["/whole", "/streamed", "/async"] {
        assert_eq!(peer.post(path, "hello").text(), "HELLO!", "{path}");
    }
}

#[test]
fn routes_added_at_run_time_are_under_the_servers_layers() {
    let marked = |request, next: Next| async move { next.run(request).await.with_header("x-marked", "1") };
    let server = start(Router::new().with(marked));
    server.routes().add_blocking(static_route("/new", "new")).unwrap();
    assert_eq!(connect(&server).get("/new").header("x-marked"), Some("1"));
}

#[test]
fn handlers_and_layers_share_typed_state() {
    #[derive(Clone)]
    struct Hits(Arc<AtomicUsize>);
    let hits = Hits(Arc::default());
    async fn hit(request: Request, next: Next) -> Response {
        request.state::<Hits>().unwrap().0.fetch_add(1, Ordering::SeqCst);
        next.run(request).await
    }
    let show_state =
        |r: Request| format!("{} {}", r.state::<&'static str>().unwrap(), r.state::<u32>().is_none());
    let router = Router::new()
        .state(hits.clone())
        .state("shared")
        .route(get("/i", show_state))
        .route(get("/a", show_state).run_async())
        .with(hit);
    let server = start(router);
    for path in ["/i", "/a"] {
        assert_eq!(connect(&server).get(path).text(), "shared true");
    }
    assert_eq!(hits.0.load(Ordering::SeqCst), 2);
}

#[test]
fn a_check_refuses_requests_at_its_position_among_the_layers() {
    let trace = Arc::new(Mutex::new(Vec::new()));
    let ran = Arc::new(AtomicUsize::new(0));
    let known = |request: &Request| match request.header("x-user") {
        Some(_) => Ok(()),
        None => Err((StatusCode::UNAUTHORIZED, "Who are you?\n")),
    };
    let admin = |request: &Request| {
        if request.header("x-user") == Some("root") { Ok(()) } else { Err(StatusCode::FORBIDDEN) }
    };
    let counting = ran.clone();
    let counted = move |_: Request| counting.fetch_add(1, Ordering::SeqCst).to_string();
    let router = Router::new()
        .with(traced("server", &trace))
        .authorize(known)
        .route(static_route("/static", "static"))
        .group("/admin", |group| group.authorize(admin).route(get("/inline", counted.clone())))
        .route(get("/async", counted).authorize(admin).run_async());
    let server = start(router);
    let mut peer = connect(&server);
    let mut ask = |path: &str, user: &str| {
        peer.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n{user}\r\n"));
        peer.reply().status
    };
    for (path, refused) in [("/static", 200), ("/admin/inline", 403), ("/async", 403)] {
        let statuses = ["", "X-User: ann\r\n", "X-User: root\r\n"].map(|user| ask(path, user));
        assert_eq!(statuses, [401, refused, 200], "{path}");
    }
    assert_eq!(ran.load(Ordering::SeqCst), 2, "only the handlers of admitted requests may run");
    assert_eq!(
        trace.lock().unwrap().iter().filter(|step| *step == "server out").count(),
        9,
        "the layer outside the check must see every request"
    );
}
