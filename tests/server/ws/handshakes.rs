//! WebSocket handshakes: which requests open a socket, and the replies to all others.

use std::time::Duration;

use windlass::{
    Dispatch, Next, Request, Response, Router, StartError, get,
    http::{Method, StatusCode},
    websocket, websocket_with,
    ws::{Origins, Settings, Socket, upgrade},
};

use super::peer::{TEXT, assert_opened, echo, echoes, frame, open, open_at, opening, read_text};
use crate::common::{Peer, address, base_builder, connect, metric, start};

#[test]
fn a_refused_handshake_gets_its_status_and_the_connection_stays_open() {
    let server = start(echoes().route(get("/", |_: Request| "root")));
    let mut peer = connect(&server);
    let request = |strip: &str, more: &str| opening("/ws", more).replace(strip, "");
    let cases = [
        ("GET /ws HTTP/1.1\r\nHost: test\r\n\r\n".to_owned(), 426),
        (request("Connection: Upgrade\r\n", ""), 400),
        (request("Sec-WebSocket-Version: 13\r\n", "Sec-WebSocket-Version: 8\r\n"), 426),
        (request("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), 400),
        (request("==", ""), 400),
        (request("none", "Sec-WebSocket-Extensions: ,,;\r\n").replace("/ws", "/deflate"), 400),
        (request("none", "Origin: null\r\n"), 403),
        (request("none", "Content-Length: 2\r\n") + "{}", 400),
    ];
    for (bytes, status) in cases {
        peer.send(&bytes);
        let reply = peer.reply();
        assert_eq!(reply.status, status, "{bytes}");
        if bytes.contains("Version: 8") {
            assert_eq!(reply.header("sec-websocket-version"), Some("13"));
        }
        assert_eq!(peer.get("/").text(), "root");
    }
    peer.request("POST", "/ws");
    assert_eq!(peer.reply().status, 405);
    assert_eq!(metric(&server, "windlass_websocket_refused_total{cause=\"not_an_upgrade\"}"), 1.0);
}

#[test]
fn the_subprotocol_that_the_server_prefers_is_selected() {
    let settings = Settings::new().subprotocols(["chat.v2", "chat.v1"]);
    let router = Router::new().route(websocket_with("/ws", settings, async |mut socket: Socket| {
        let protocol = socket.protocol().unwrap_or("none").to_owned();
        socket.send(protocol).await
    }));
    let server = start(router);
    for (offer, taken) in
        [("chat.v1, chat.v2", Some("chat.v2")), ("chat.v1", Some("chat.v1")), ("CHAT.V1", None)]
    {
        let mut peer = connect(&server);
        peer.send(opening("/ws", &format!("Sec-WebSocket-Protocol: {offer}\r\n")));
        let reply = peer.reply();
        assert_opened(&reply);
        assert_eq!(reply.header("sec-websocket-protocol"), taken);
        assert_eq!(read_text(&mut peer), taken.unwrap_or("none"));
    }
}

#[test]
fn a_listed_origin_may_connect() {
    let settings = Settings::new().origins(Origins::SameOr(vec!["https://app.example".into()]));
    let server = start(Router::new().route(websocket_with("/ws", settings, echo)));
    drop(open_at(address(&server), "/ws", "Origin: https://app.example\r\n"));
    let mut peer = connect(&server);
    peer.send(opening("/ws", "Origin: https://other.example\r\n"));
    assert_eq!(peer.reply().status, 403);
}

#[test]
fn an_ordinary_handler_may_upgrade() {
    let router = Router::new().route(get("/rooms/{room}", |request: Request| -> Response {
        if request.query_value("token").as_deref() != Some("secret") {
            return Response::status_only(StatusCode::UNAUTHORIZED);
        }
        let room = request.param("room").unwrap_or_default().into_owned();
        upgrade(&request, &Settings::new(), move |mut socket: Socket| async move {
            socket.send(format!("welcome to {room}")).await
        })
    }));
    let server = start(router);
    let mut peer = connect(&server);
    peer.send(opening("/rooms/red", ""));
    assert_eq!(peer.reply().status, 401);
    peer.send(opening("/rooms/red?token=secret", ""));
    assert_opened(&peer.reply());
    assert_eq!(read_text(&mut peer), "welcome to red");
}

#[test]
fn middleware_applies_to_the_handshake() {
    async fn guard(request: Request, next: Next) -> Response {
        let allowed = request.header("x-key") == Some("open");
        let response = next.run(request).await;
        if allowed {
            response.with_header("x-guard", "passed")
        } else {
            response.with_status(StatusCode::FORBIDDEN)
        }
    }
    let server = start(Router::new().with(guard).route(websocket("/ws", echo)));
    let mut peer = connect(&server);
    peer.send(opening("/ws", ""));
    assert_eq!(peer.reply().status, 403);
    peer.send(opening("/ws", "X-Key: open\r\n"));
    let reply = peer.reply();
    assert_opened(&reply);
    assert_eq!(reply.header("x-guard"), Some("passed"));
    peer.send(frame(TEXT, "x"));
    assert_eq!(read_text(&mut peer), "x");
}

#[test]
fn a_route_marked_async_is_refused() {
    let start = |router: Router| base_builder().listen("127.0.0.1:0").router(router).start();
    let refused = start(Router::new().route(websocket("/ws", echo).run_async()));
    let Err(StartError::Routes(error)) = refused else { panic!("{refused:?}") };
    assert!(error.to_string().contains("/ws") && error.to_string().contains("cannot be async"), "{error}");
    // Async as the default of the router or a group does not apply to a WebSocket route.
    let router = Router::new().run_async().group("/g", |g| g.run_async().route(websocket("/ws", echo)));
    let server = start(router.route(websocket("/ws", echo))).unwrap();
    for path in ["/ws", "/g/ws"] {
        let mut peer = open(&server, path);
        peer.send(frame(TEXT, "inline"));
        assert_eq!(read_text(&mut peer), "inline");
    }
    let reflagged = server.routes().set_dispatch_blocking(Method::GET, "/ws", Dispatch::Async);
    assert!(reflagged.unwrap_err().to_string().contains("cannot be async"));
}

#[test]
fn a_promoted_connection_switches_protocols_after_its_pending_replies() {
    async fn slow(_: Request) -> &'static str {
        tokio::time::sleep(Duration::from_millis(30)).await;
        "slow"
    }
    let router = echoes().route(get("/slow", slow).run_async());
    let server = start(router);
    let mut peer = connect(&server);
    let slow = "GET /slow HTTP/1.1\r\nHost: test\r\n\r\n";
    peer.send([slow.as_bytes(), slow.as_bytes(), opening("/ws", "").as_bytes(), &frame(TEXT, "x")].concat());
    assert_eq!(peer.reply().text(), "slow");
    assert_eq!(peer.reply().text(), "slow");
    assert_opened(&peer.reply());
    assert_eq!(read_text(&mut peer), "x");
}

#[test]
fn bytes_after_a_handshake_request_wait_for_its_reply() {
    // A slow handshake on a shard or a worker, which is accepted or refused.
    async fn slow(request: Request) -> Response {
        windlass::sleep(Duration::from_millis(30)).await;
        upgrade(&request, &Settings::new(), echo)
    }
    let router = Router::new()
        .route(get("/inline", slow))
        .route(get("/async", slow).run_async())
        .route(get("/next", |_: Request| "next"));
    let server = start(router);
    for path in ["/inline", "/async"] {
        let mut peer: Peer = connect(&server);
        peer.send([opening(path, "").as_bytes(), &frame(TEXT, "x")].concat());
        assert_opened(&peer.reply());
        assert_eq!(read_text(&mut peer), "x", "{path}");
        let mut peer: Peer = connect(&server);
        let refused = opening(path, "Origin: http://other\r\n");
        peer.send(refused + "GET /next HTTP/1.1\r\nHost: test\r\n\r\n");
        assert_eq!(peer.reply().status, 403);
        assert_eq!(peer.reply().text(), "next");
    }
}
