//! Listeners with routes of their own: each serves its own table, over every protocol.

use std::{net::SocketAddr, time::Duration};

use http::StatusCode;
use windlass::{
    Listen, Listener, Next, Operations, Request, Response, Router, Server, StartError, actors::Cores, get,
    static_route,
};

use crate::common::{Peer, base_builder, eventually};

fn public() -> Router {
    Router::new()
        .state(1_u32)
        .route(static_route("/name", "public"))
        .route(get("/state", |request: Request| request.state::<u32>().unwrap().to_string()))
        .route(get("/public", || "for everybody"))
        .not_found(|| (StatusCode::NOT_FOUND, "public: nothing here"))
}

async fn slow(_: Request) -> &'static str {
    tokio::time::sleep(Duration::from_millis(1)).await;
    "slow"
}

fn admin() -> Router {
    let marked = |request, next: Next| async move { next.run(request).await.with_header("x-admin", "1") };
    Router::new()
        .state(2_u32)
        .route(static_route("/name", "admin"))
        .route(get("/state", |request: Request| request.state::<u32>().unwrap().to_string()))
        .route(get("/slow", slow).run_async())
        .on_error_response(|_, response: Response| response.with_body("admin: error"))
        .with(marked)
}

/// Starts a server with public routes on its first address, and admin routes and metrics on its second.
fn start() -> Server {
    let admin = Listener::new("127.0.0.1:0").router(admin()).operations(Operations::usual());
    let builder = base_builder().cores(Cores::Unpinned(2)).router(public()).listen("127.0.0.1:0");
    builder.listener(admin).start().unwrap()
}

fn address(server: &Server, listener: usize) -> SocketAddr {
    let Listen::Tcp(address) = server.addresses()[listener].clone() else { panic!("no TCP address") };
    address
}

fn peer(server: &Server, listener: usize) -> Peer {
    Peer::connect(address(server, listener))
}

#[test]
fn each_listener_serves_its_own_routes_over_http1() {
    let server = start();
    let (mut public, mut admin) = (peer(&server, 0), peer(&server, 1));
    for _ in 0..2 {
        assert_eq!(
            (public.get("/name").text(), admin.get("/name").text()),
            ("public".into(), "admin".into())
        );
        assert_eq!((public.get("/state").text(), admin.get("/state").text()), ("1".into(), "2".into()));
        assert_eq!((public.get("/public").status, public.get("/slow").status), (200, 404));
        assert_eq!((admin.get("/public").status, admin.get("/slow").text()), (404, "slow".into()));
    }
    assert_eq!((public.get("/metrics").status, admin.get("/metrics").status), (404, 200));
    assert_eq!(public.get("/nowhere").text(), "public: nothing here");
    let unmatched = admin.get("/nowhere");
    assert_eq!((unmatched.text().as_str(), unmatched.header("x-admin")), ("admin: error", Some("1")));
    assert_eq!(public.get("/name").header("x-admin"), None);
    assert_eq!((public.post("/public", "").status, admin.post("/public", "").status), (405, 404));
}

#[cfg(feature = "http2")]
#[test]
fn each_listener_serves_its_own_routes_over_http2() {
    use crate::h2::client::Client;
    let server = start();
    let connect = |listener| Client::connect_to(address(&server, listener), ::h2::client::Builder::new());
    let (mut public, mut admin) = (connect(0), connect(1));
    for (path, expected) in [("/name", ["public", "admin"]), ("/state", ["1", "2"])] {
        assert_eq!([public.get(path).text(), admin.get(path).text()], expected, "{path}");
    }
    assert_eq!((public.get("/slow").status, admin.get("/slow").text()), (404, "slow"));
    assert_eq!(public.get("/nowhere").text(), "public: nothing here");
    let unmatched = admin.get("/nowhere");
    assert_eq!((unmatched.text(), unmatched.header("x-admin")), ("admin: error", Some("1")));
    assert_eq!((public.get("/metrics").status, admin.get("/metrics").status), (404, 200));
}

#[cfg(feature = "tls")]
#[test]
fn each_listener_serves_its_own_routes_over_tls() {
    use std::sync::Arc;

    use windlass::Tls;

    use crate::tls::{
        client::{Client, trusting},
        pair,
    };
    let (chain, key) = pair("localhost");
    let trust = Arc::new(trusting(&chain));
    let tls = Tls::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
    let builder = base_builder().router(public()).listen_tls("127.0.0.1:0", tls.clone());
    let admin = Listener::new("127.0.0.1:0").router(admin()).tls(tls);
    let server = builder.listener(admin).start().unwrap();
    let texts = [0, 1].map(|listener| {
        let mut client = Client::connect(address(&server, listener), &trust);
        (client.get("/name").text(), client.get("/state").text(), client.get("/slow").status)
    });
    assert_eq!(texts, [("public".into(), "1".into(), 404), ("admin".into(), "2".into(), 200)]);
}

#[test]
fn routes_change_at_run_time_on_one_listener() {
    let server = start();
    let (mut public, mut admin) = (peer(&server, 0), peer(&server, 1));
    let added = server.listener_routes(1).unwrap();
    added.add_blocking(get("/hot", || "hot")).unwrap();
    assert_eq!((public.get("/hot").status, admin.get("/hot").text()), (404, "hot".into()));
    server.routes().add_blocking(get("/hot", || "public hot")).unwrap();
    assert_eq!((public.get("/hot").text(), admin.get("/hot").text()), ("public hot".into(), "hot".into()));
    added.remove_blocking(http::Method::GET, "/hot").unwrap();
    assert_eq!((public.get("/hot").text(), admin.get("/hot").status), ("public hot".into(), 404));
    assert!(server.listener_routes(2).is_none());
}

#[test]
fn metrics_count_the_routes_of_every_listener() {
    let server = start();
    let (mut public, mut admin) = (peer(&server, 0), peer(&server, 1));
    for _ in 0..3 {
        assert_eq!((public.get("/public").status, admin.get("/slow").status), (200, 200));
        assert_eq!((public.get("/nowhere").status, admin.get("/nowhere").status), (404, 404));
    }
    eventually("all requests are counted", || {
        let page = admin.get("/metrics").text();
        let count = |route: &str| {
            let sample = format!("route=\"{route}\"");
            let lines = page.lines().filter(|line| line.starts_with("windlass_requests_total"));
            let values =
                lines.filter(|line| line.contains(&sample)).filter_map(|line| line.split(' ').nth(1));
            values.map(|value| value.parse::<f64>().unwrap()).sum::<f64>()
        };
        (count("/public"), count("/slow"), count("(unmatched)")) == (3.0, 3.0, 6.0)
    });
    assert_eq!(server.metrics().async_routes, 1);
}

#[test]
fn a_listener_with_operations_alone_serves_nothing_else() {
    let operations = Listener::new("127.0.0.1:0").operations(Operations::usual());
    let server = base_builder().router(public()).listen("127.0.0.1:0").listener(operations).start().unwrap();
    let mut operator = peer(&server, 1);
    assert_eq!((operator.get("/healthz").status, operator.get("/name").status), (200, 404));
    assert_eq!(peer(&server, 0).get("/healthz").status, 404);
}

#[test]
fn an_invalid_address_or_route_of_a_listener_is_named_at_the_start() {
    let error = base_builder().listen("localhost:80").start().unwrap_err();
    assert!(matches!(error, StartError::Listen(_)), "{error:?}");
    assert!(error.to_string().contains("cannot listen on \"localhost:80\""), "{error}");
    let twice = Router::new().route(get("/a", || "")).route(get("/a", || ""));
    let error = base_builder().listen_with("127.0.0.1:0", twice).start().unwrap_err();
    assert!(matches!(error, StartError::Routes(_)) && error.to_string().contains("GET /a"), "{error}");
}
