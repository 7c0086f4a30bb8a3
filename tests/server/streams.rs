//! Streams as responses, the WebSocket and form extractors, and handlers for unmatched paths of groups.

use std::{convert::Infallible, time::Duration};

use http::StatusCode;
use tokio_stream::StreamExt;
use windlass::{
    Body, Next, Rejection, Response, Router,
    broker::Event,
    extract::{Multipart, Path},
    get, post,
    sse::Sse,
};

use crate::common::{connect, start};

fn numbers() -> Body {
    Body::from_stream(tokio_stream::iter(["1,", "", "2,", "3"].map(Ok::<_, Infallible>)))
}

async fn delayed() -> Body {
    let numbers = tokio_stream::iter(["1,", "2"].map(Ok::<_, Infallible>));
    Body::from_stream(numbers.throttle(Duration::from_millis(1)))
}

async fn broken() -> Body {
    Body::from_stream(tokio_stream::iter([Ok("1,"), Err("broken")]))
}

fn streams() -> Router {
    let echo = |body: Body| Body::from_stream(body);
    Router::new()
        .route(get("/inline", numbers))
        .route(get("/pool", delayed).run_async())
        .route(get("/broken", broken))
        .route(post("/echo", echo).streamed())
}

#[test]
fn a_stream_is_a_response_body() {
    let server = start(streams());
    let mut peer = connect(&server);
    assert_eq!((peer.get("/inline").text(), peer.get("/pool").text()), ("1,2,3".into(), "1,2".into()));
    assert_eq!(peer.post("/echo", "content").text(), "content");
    peer.request("GET", "/broken");
    let received = peer.read_to_close().0;
    assert!(received.ends_with(b"1,\r\n") || received.ends_with(b"1,"), "{}", received.escape_ascii());
    #[cfg(feature = "http2")]
    {
        let mut client = crate::h2::client::Client::connect(&server);
        assert_eq!(client.get("/inline").text(), "1,2,3");
        assert_eq!(client.get("/pool").text(), "1,2");
        assert_eq!(client.call(http::Method::POST, "/echo", "content").text(), "content");
    }
}

#[test]
fn an_sse_response_sends_heartbeats_and_ends_in_a_drain() {
    let silent =
        || Sse::new(tokio_stream::pending::<Result<Event, Infallible>>()).heartbeat(Duration::from_millis(5));
    let silent_on_the_pool = move || async move { silent() };
    let router = Router::new().route(get("/", silent)).route(get("/pool", silent_on_the_pool).run_async());
    let server = start(router);
    let [mut peer, pooled] = ["/", "/pool"].map(|path| {
        let mut peer = connect(&server);
        peer.request("GET", path);
        peer.until(b"\r\n\r\n");
        // The first comment comes at once, the others are heartbeats.
        (0..3).for_each(|_| drop(peer.until(b":\n")));
        peer
    });
    // A body that is polled on the pool would be cut at the end of the grace.
    pooled.reset();
    let report = server.drain(None);
    assert_eq!(report.cut_total(), 0, "{report}");
    peer.read_to_close();
}

async fn upload(mut form: Multipart) -> Result<String, Rejection> {
    let mut lines = String::new();
    while let Some(field) = form.next_field().await? {
        let name = field.name().unwrap_or_default().to_owned();
        let file = field.file_name().unwrap_or_default().to_owned();
        let kind = field.content_type().unwrap_or_default().to_owned();
        if name == "skipped" {
            continue;
        }
        let content = field.bytes().await?;
        lines.push_str(&format!("{name} {file} {kind} {}\n", content.len()));
    }
    Ok(lines)
}

fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (disposition, content) in parts {
        body.extend_from_slice(b"--XX\r\nContent-Disposition: form-data; ");
        body.extend_from_slice(disposition.as_bytes());
        body.extend_from_slice(b"\r\n\r\n");
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--XX--\r\n");
    body
}

#[test]
fn a_form_with_files_is_read_field_by_field() {
    let router = || {
        Router::new()
            .route(post("/whole", upload).body_limit(2 << 20))
            .route(post("/streamed", upload).streamed())
            .route(post("/pool", upload).streamed().run_async())
    };
    let server = start(router());
    let body = form(&[
        ("name=\"title\"", b"hello"),
        ("name=\"skipped\"", &[b's'; 100_000]),
        ("name=\"file\"; filename=\"a.bin\"\r\nContent-Type: application/pdf", &[b'f'; 200_000]),
    ]);
    let expected = "title   5\nfile a.bin application/pdf 200000\n";
    let kind = "multipart/form-data; boundary=XX";
    for path in ["/whole", "/streamed", "/pool"] {
        let mut peer = connect(&server);
        let mut send = |kind: &str, body: &[u8]| {
            let length = body.len();
            peer.send(format!(
                "POST {path} HTTP/1.1\r\nHost: t\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
            ));
            peer.send(body);
            let reply = peer.reply();
            (reply.status, reply.text())
        };
        assert_eq!(send(kind, &body), (200, expected.to_owned()), "{path}");
        assert_eq!(send("text/plain", b"x").0, 415, "{path}");
        assert_eq!(send("multipart/form-data", b"x").0, 400, "{path}");
        assert_eq!(send(kind, b"--XX\r\nno end").0, 400, "{path}");
        assert_eq!(send(kind, &form(&[("name=\"a\"", &vec![b'x'; (1 << 20) + 1])])).0, 413, "{path}");
    }
    #[cfg(feature = "http2")]
    {
        let mut client = crate::h2::client::Client::connect(&server);
        let mut request = crate::h2::client::request(http::Method::POST, "/whole");
        request.headers_mut().insert("content-type", kind.parse().unwrap());
        let small = form(&[("name=\"title\"", b"hello")]);
        assert_eq!(client.request(request, small.into()).text(), "title   5\n");
    }
}

#[test]
fn an_endless_field_header_is_refused() {
    let server = start(Router::new().route(post("/", upload).streamed()));
    let mut peer = connect(&server);
    let length = 64 << 20;
    peer.send(format!(
        "POST / HTTP/1.1\r\nHost: t\r\nContent-Type: multipart/form-data; boundary=XX\r\n\
         Content-Length: {length}\r\n\r\n--XX\r\nx: "
    ));
    let mut sent = 0;
    while sent < 8 << 20 && peer.try_send([b'x'; 65_536]) {
        sent += 65_536;
    }
    assert_eq!(peer.reply().status, 400);
}

#[cfg(feature = "ws")]
#[test]
fn a_websocket_upgrade_is_an_argument() {
    use windlass::ws::{Message, Origins, Settings, Socket, WebSocketUpgrade};
    let echo = |name: String| {
        move |mut socket: Socket| async move {
            while let Some(Ok(message)) = socket.recv().await {
                let text = format!("{name}: {}", message.as_text().unwrap_or_default());
                let _ = socket.send(text).await;
            }
        }
    };
    let open = move |upgrade: WebSocketUpgrade, Path(name): Path<String>| upgrade.on_upgrade(echo(name));
    let any = |upgrade: WebSocketUpgrade| {
        upgrade.settings(Settings::new().origins(Origins::Any)).on_upgrade(async |_: Socket| {})
    };
    let pooled = move |upgrade: WebSocketUpgrade, Path(name): Path<String>| async move {
        upgrade.protocols(["chat"]).on_upgrade(echo(name))
    };
    let router = Router::new()
        .route(get("/rooms/{name}", open))
        .route(get("/pool/{name}", pooled).run_async())
        .route(get("/any", any));
    let client = windlass::TestClient::new(router).unwrap();
    for path in ["/rooms/ann", "/pool/ann"] {
        let mut socket = client.websocket(path);
        socket.send("hello");
        assert_eq!(socket.recv(), Some(Message::Text("ann: hello".to_owned())));
        assert_eq!(client.get(path).status(), StatusCode::UPGRADE_REQUIRED);
    }
    let handshake = |path: &str| {
        let mut connection = client.connect();
        connection.send(format!(
            "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
             Origin: https://evil.example\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ));
        String::from_utf8(connection.until("\r\n\r\n")).unwrap()[9..12].to_owned()
    };
    assert_eq!((handshake("/rooms/ann").as_str(), handshake("/any").as_str()), ("403", "101"));
}

#[test]
fn a_group_answers_its_unmatched_paths() {
    let mark = |request, next: Next| async move {
        let response: Response = next.run(request).await;
        response.with_header("x-api", "1")
    };
    let router = Router::new()
        .group("/api", |api| {
            api.with(mark)
                .not_found(|| (StatusCode::NOT_FOUND, "api"))
                .route(get("/items", || "items"))
                .route(get("/items/{id}/parts", || "parts"))
                .group("/v2", |v2| v2.not_found(|| (StatusCode::GONE, "v2")).route(get("/x", || "x")))
        })
        .not_found(|| (StatusCode::NOT_FOUND, "all"));
    let server = start(router);
    let mut peer = connect(&server);
    for (path, status, text, marked) in [
        ("/api/items", 200, "items", true),
        ("/api/items/7/parts", 200, "parts", true),
        ("/api/items/7/nothing", 404, "api", true),
        ("/api/nothing/at/all", 404, "api", true),
        ("/api", 404, "api", true),
        ("/api/", 404, "api", true),
        ("/api/v2/x", 200, "x", true),
        ("/api/v2/y", 410, "v2", true),
        ("/apis", 404, "all", false),
        ("/", 404, "all", false),
    ] {
        let reply = peer.get(path);
        assert_eq!((reply.status, reply.text().as_str()), (status, text), "{path}");
        assert_eq!(reply.header("x-api").is_some(), marked, "{path}");
    }
    let wrong = peer.post("/api/items", "");
    assert_eq!(
        (wrong.status, wrong.header("allow"), wrong.header("x-api")),
        (405, Some("GET, HEAD, OPTIONS"), Some("1"))
    );
    assert_eq!(peer.post("/api/nothing", "").status, 404);
}
