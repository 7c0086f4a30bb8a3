//! Malformed requests. Each is answered with its status, the connection is closed, and the server stays
//! unharmed.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use windlass::{Request, Response, Router, Server, get, http, post, static_route};

use crate::common::{Peer, connect, metric, start};

/// One attack: the counter's cause label, the expected status, and the bytes.
type Attack = (&'static str, u16, Vec<u8>);

/// A request sent after each attack; it must never be answered.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: t\r\n\r\n";

/// Builds a GET with these field lines after its Host.
fn with(lines: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nHost: t\r\n{lines}\r\n\r\n").into_bytes()
}

/// Builds a POST with these field lines after its Host.
fn post_with(lines: &str) -> Vec<u8> {
    format!("POST /echo HTTP/1.1\r\nHost: t\r\n{lines}\r\n\r\n").into_bytes()
}

/// Builds a POST with this chunked body.
fn chunked(body: &str) -> Vec<u8> {
    [post_with("Transfer-Encoding: chunked"), body.into()].concat()
}

fn bytes_of(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    bytes.as_ref().to_vec()
}

/// Starts a server with the routes that attacks aim at. Returns it with the number of smuggled requests
/// handled.
fn start_victim() -> (Server, Arc<AtomicUsize>) {
    let smuggled = Arc::new(AtomicUsize::new(0));
    let seen = smuggled.clone();
    let router = Router::new()
        .route(get("/", |_: Request| "root"))
        .route(get("/smuggled", move |_: Request| format!("{}", seen.fetch_add(1, Ordering::SeqCst))))
        .route(get("/name/{name}", |r: Request| r.param("name").unwrap().into_owned()))
        .route(get("/pair/{a}/{b}", |_: Request| "pair"))
        .route(get("/host", |r: Request| r.host().unwrap_or_default().to_owned()))
        .route(get("/echo", |mut r: Request| Response::new().with_body(r.take_body())))
        .route(static_route("/static", "static"))
        .route(post("/echo", |mut r: Request| Response::new().with_body(r.take_body())));
    (start(router), smuggled)
}

/// Sends each attack followed by a smuggled request, and checks status, close, counter and other connections.
fn assert_refused(attacks: impl IntoIterator<Item = Attack>) {
    let (server, smuggled) = start_victim();
    let mut bystander = connect(&server);
    for (cause, status, bytes) in attacks {
        let shown = bytes.escape_ascii().to_string();
        let shown = &shown[..shown.len().min(200)];
        let sample = format!("windlass_protocol_errors_total{{cause=\"{cause}\"}}");
        let before = metric(&server, &sample);
        let mut peer = connect(&server);
        peer.try_send([&bytes[..], SMUGGLED.as_bytes()].concat());
        let reply = peer.reply();
        assert_eq!(reply.status, status, "{cause}: {shown}");
        assert!(reply.closes(), "{cause}: the reply must announce the close: {shown}");
        let rest = peer.read_to_end();
        assert!(rest.is_empty(), "{cause}: got {} after the reply to {shown}", rest.escape_ascii());
        assert_eq!(metric(&server, &sample) - before, 1.0, "{cause} must be counted once: {shown}");
        assert_eq!(bystander.get("/").text(), "root", "{cause}: {shown}");
    }
    assert_eq!(smuggled.load(Ordering::SeqCst), 0, "no request after an attack may be handled");
}

#[test]
fn ambiguous_lengths_and_transfer_codings_are_refused() {
    let length = |value: &str| post_with(&format!("Content-Length:{value}"));
    let coding = |value: &str| post_with(&format!("Transfer-Encoding:{value}"));
    assert_refused([
        ("length_with_coding", 400, post_with("Content-Length: 5\r\nTransfer-Encoding: chunked")),
        ("length_with_coding", 400, post_with("Transfer-Encoding: chunked\r\nContent-Length: 5")),
        ("length_with_coding", 400, post_with("Content-Length: 5\r\nTransfer-Encoding: gzip")),
        ("length_repeated", 400, post_with("Content-Length: 5\r\nContent-Length: 5")),
        ("length_repeated", 400, post_with("Content-Length: 5\r\ncontent-length: 6")),
        ("length_invalid", 400, length(" 5, 5")),
        ("length_invalid", 400, length(" +5")),
        ("length_invalid", 400, length(" -1")),
        ("length_invalid", 400, length(" 0x5")),
        ("length_invalid", 400, length(" 5 5")),
        ("length_invalid", 400, length(" 5;q=1")),
        ("length_invalid", 400, length("")),
        ("length_invalid", 400, length(" 18446744073709551616")),
        ("coding_invalid", 400, coding(" chunked, chunked")),
        ("coding_invalid", 400, coding(" chunked, gzip")),
        ("coding_invalid", 400, coding(" gzip")),
        ("coding_invalid", 400, coding(" xchunked")),
        ("coding_invalid", 400, coding(" \"chunked\"")),
        ("coding_invalid", 400, coding(" chunked;a=b")),
        ("coding_invalid", 400, post_with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked")),
        ("coding_invalid", 400, post_with("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity")),
        ("coding_unknown", 501, coding(" gzip, chunked")),
        (
            "coding_in_old_version",
            400,
            bytes_of("POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ),
    ]);
}

#[test]
fn bare_line_ends_control_bytes_and_misplaced_spaces_are_refused() {
    assert_refused([
        ("bare_lf", 400, bytes_of("GET / HTTP/1.1\nHost: t\n\n")),
        ("bare_lf", 400, bytes_of("GET / HTTP/1.1\r\nHost: t\r\nA: b\n\r\n")),
        ("bare_lf", 400, bytes_of("GET / HTTP/1.1\r\nHost: t\r\n\n")),
        ("bare_cr", 400, with("A: b\rc")),
        ("bare_cr", 400, with("A: b\rX: y")),
        ("bare_cr", 400, with("A\r: b")),
        ("bare_cr", 400, bytes_of("GET /\r HTTP/1.1\r\nHost: t\r\n\r\n")),
        ("nul", 400, with("A: b\0c")),
        ("nul", 400, with("A\0: b")),
        ("field_value", 400, with("A: b\x07c")),
        ("field_value", 400, with("A: b\x7f")),
        ("fold", 400, with("A: b\r\n c")),
        ("fold", 400, with("A: b\r\n\tc")),
        ("fold", 400, bytes_of("GET / HTTP/1.1\r\n Host: t\r\n\r\n")),
        ("space_before_colon", 400, with("A : b")),
        ("space_before_colon", 400, post_with("Content-Length : 5")),
        ("field_name", 400, with(": b")),
        ("field_name", 400, with("A b: c")),
        ("field_name", 400, with("no colon")),
        ("field_name", 400, with("\u{e9}: b")),
    ]);
}

#[test]
fn malformed_request_lines_are_refused() {
    let line = |line: &str| bytes_of(format!("{line}\r\nHost: t\r\n\r\n"));
    assert_refused([
        ("target_non_ascii", 400, line("GET /caf\u{e9} HTTP/1.1")),
        ("target_non_ascii", 400, line("GET /?q=\u{e9} HTTP/1.1")),
        ("target_fragment", 400, line("GET /#a HTTP/1.1")),
        ("target", 400, line("GET /\0 HTTP/1.1")),
        ("target", 400, line("GET /\x7f HTTP/1.1")),
        ("target", 400, line("GET  / HTTP/1.1")),
        ("target", 400, line("GET relative HTTP/1.1")),
        ("target", 400, line("GET ftp://t/ HTTP/1.1")),
        ("target", 400, line("GET * HTTP/1.1")),
        ("target", 400, line("CONNECT / HTTP/1.1")),
        ("method", 400, line(" GET / HTTP/1.1")),
        ("method", 400, line("G(T / HTTP/1.1")),
        ("version_invalid", 400, line("GET / HTTP/1.1 ")),
        ("version_invalid", 400, line("GET / http/1.1")),
        ("version_unsupported", 505, line("GET / HTTP/3.0")),
        ("version_unsupported", 505, line("GET / HTTP/2.0")),
        ("version_unsupported", 505, bytes_of("PRI * HTTP/2.0\r\n\r\nS M\r\n\r\n")),
        ("method", 400, bytes_of(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")),
        ("empty_lines", 400, bytes_of("\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: t\r\n\r\n")),
        ("bare_lf", 400, bytes_of("\nGET / HTTP/1.1\r\nHost: t\r\n\r\n")),
    ]);
}

#[test]
fn host_is_present_once_and_valid() {
    assert_refused([
        ("host_missing", 400, bytes_of("GET / HTTP/1.1\r\n\r\n")),
        ("host_missing", 400, bytes_of("GET http://t/ HTTP/1.1\r\n\r\n")),
        ("host_repeated", 400, with("Host: t")),
        ("host_repeated", 400, with("host: other")),
        ("host_invalid", 400, bytes_of("GET / HTTP/1.1\r\nHost: a b\r\n\r\n")),
        ("host_invalid", 400, bytes_of("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n")),
        ("host_invalid", 400, bytes_of("GET / HTTP/1.1\r\nHost: user@a\r\n\r\n")),
        ("host_invalid", 400, bytes_of("GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n")),
        ("host_invalid", 400, bytes_of("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n")),
        ("host_invalid", 400, bytes_of("GET http:/// HTTP/1.1\r\nHost: t\r\n\r\n")),
        ("host_invalid", 400, bytes_of("GET http://user@a/ HTTP/1.1\r\nHost: t\r\n\r\n")),
    ]);
}

#[test]
fn malformed_chunks_are_refused() {
    let extension = "x".repeat(1030);
    let trailer = "x".repeat(4200);
    let flood = "1;aaaaaaaaaa\r\nx\r\n".repeat(100);
    assert_refused([
        ("chunk_size", 400, chunked("\r\nx\r\n0\r\n\r\n")),
        ("chunk_size", 400, chunked(";a\r\nx\r\n0\r\n\r\n")),
        ("chunk_size", 400, chunked("0x1\r\nx\r\n0\r\n\r\n")),
        ("chunk_size", 400, chunked(" 1\r\nx\r\n0\r\n\r\n")),
        ("chunk_size", 400, chunked("1 \r\nx\r\n0\r\n\r\n")),
        ("chunk_size", 400, chunked("-1\r\nx\r\n0\r\n\r\n")),
        ("chunk_size", 400, chunked("1\nx\r\n0\r\n\r\n")),
        ("chunk_size_too_long", 400, chunked("00000000000000001\r\nx\r\n0\r\n\r\n")),
        ("chunk_size_too_long", 400, chunked("11111111111111111\r\nx\r\n0\r\n\r\n")),
        ("bare_lf", 400, chunked("1;a\nX\r\nx\r\n0\r\n\r\n")),
        ("bare_cr", 400, chunked("1;a\rX\r\nx\r\n0\r\n\r\n")),
        ("chunk_extension", 400, chunked("1;a\0\r\nx\r\n0\r\n\r\n")),
        ("chunk_end", 400, chunked("1\r\nxy\r\n0\r\n\r\n")),
        ("chunk_end", 400, chunked("1\r\nx\n0\r\n\r\n")),
        ("extensions_too_long", 400, chunked(&format!("1;{extension}\r\nx\r\n0\r\n\r\n"))),
        ("extensions_too_long", 400, chunked(&flood)),
        ("trailers_too_long", 431, chunked(&format!("0\r\nX-T: {trailer}\r\n\r\n"))),
        ("bare_lf", 400, chunked("0\r\nX-T: a\n\r\n")),
        ("space_before_colon", 400, chunked("0\r\nX-T : a\r\n\r\n")),
        ("fold", 400, chunked("0\r\nX-T: a\r\n b\r\n\r\n")),
    ]);
}

#[test]
fn each_length_limit_has_its_own_status() {
    let long = "a".repeat(9000);
    let many = "A: b\r\n".repeat(101);
    let huge = "A: b\r\n".repeat(90) + &format!("B: {}\r\nC: {}\r\n", "x".repeat(16_200), "x".repeat(16_200));
    assert_refused([
        ("line_too_long", 414, bytes_of(format!("GET /{long} HTTP/1.1\r\nHost: t\r\n\r\n"))),
        ("line_too_long", 414, bytes_of(format!("GET /{long}"))),
        ("too_many_headers", 431, with(many.trim_end())),
        ("head_too_long", 431, with(huge.trim_end())),
        ("head_too_long", 431, with(&format!("A: {}", "x".repeat(40_000)))),
        ("expectation", 417, post_with("Content-Length: 5\r\nExpect: a-miracle")),
        ("expectation", 417, post_with("Content-Length: 5\r\nExpect: 100-continue, a-miracle")),
    ]);
}

#[test]
fn path_parameters_are_utf_8_and_an_encoded_slash_is_no_separator() {
    let line = |path: &str| bytes_of(format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
    assert_refused([
        ("path_parameter", 400, line("/name/a%00b")),
        ("path_parameter", 400, line("/name/%ff")),
        ("path_parameter", 400, line("/name/%c3%28")),
        ("path_parameter", 400, line("/pair/a/%C0%80")),
    ]);
    let (server, _) = start_victim();
    let mut peer = connect(&server);
    assert_eq!(peer.get("/name/a%2Fb").text(), "a/b");
    assert_eq!(peer.get("/name/a%2fb%252F").text(), "a/b%2F", "the path must be decoded once");
    assert_eq!(peer.get("/pair/a%2Fb").status, 404);
    assert_eq!(peer.get("/name/caf%C3%A9").text(), "caf\u{e9}");
}

#[test]
fn unusual_but_valid_requests_are_served() {
    let (server, _) = start_victim();
    let ninety_nine = "A: b\r\n".repeat(98) + "A: b";
    for bytes in [
        bytes_of("\r\n\r\nGET / HTTP/1.1\r\nHost: t\r\n\r\n"),
        bytes_of("GET / HTTP/1.1\r\nHost:\r\n\r\n"),
        bytes_of("GET / HTTP/1.1\r\nHost: t\r\nA:\t b \r\n\r\n"),
        bytes_of("GET http://t/ HTTP/1.1\r\nHost: other\r\n\r\n"),
        bytes_of("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
        with(&ninety_nine),
        with(&format!("A: {}", "x".repeat(16_000))),
        with("A: caf\u{e9}"),
    ] {
        let mut peer = connect(&server);
        peer.send(&bytes);
        assert_eq!(peer.reply().text(), "root", "{}", bytes.escape_ascii());
        assert_eq!(
            peer.get("/").text(),
            "root",
            "the connection must stay open after {}",
            bytes.escape_ascii()
        );
    }
}

#[test]
fn an_absolute_target_overrides_host() {
    let (server, _) = start_victim();
    let mut peer = connect(&server);
    peer.send("GET http://target:81/host HTTP/1.1\r\nHost: other\r\n\r\n");
    assert_eq!(peer.reply().text(), "target:81");
    peer.send("GET /host HTTP/1.1\r\nHost: other:82\r\n\r\n");
    assert_eq!(peer.reply().text(), "other:82");
}

#[test]
fn an_attack_sent_byte_by_byte_is_refused() {
    let (server, smuggled) = start_victim();
    for bytes in [
        post_with("Content-Length: 5\r\nTransfer-Encoding: chunked"),
        with("A: b\r\n c"),
        chunked("1;a\nX\r\nx\r\n0\r\n\r\n"),
    ] {
        let mut peer = connect(&server);
        for byte in &bytes {
            if !peer.try_send([*byte]) {
                break;
            }
        }
        assert_eq!(peer.reply().status, 400);
        peer.expect_close();
    }
    assert_eq!(smuggled.load(Ordering::SeqCst), 0);
}

#[test]
fn a_valid_request_before_an_attack_is_answered_first() {
    let router = Router::new().route(
        get("/async", async |_: Request| {
            tokio::time::sleep(std::time::Duration::from_millis(30)).await;
            "slow"
        })
        .run_async(),
    );
    let server = start(router);
    let mut peer = connect(&server);
    peer.send("GET /async HTTP/1.1\r\nHost: t\r\n\r\nGET /async HTTP/1.1\r\nHost : t\r\n\r\n");
    assert_eq!(peer.reply().text(), "slow");
    assert_eq!(peer.reply().status, 400);
    peer.expect_close();
}

#[test]
fn trailers_are_never_merged_into_the_headers() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let router = {
        let seen = seen.clone();
        Router::new().route(post("/", move |r: Request| {
            seen.lock()
                .unwrap()
                .extend(r.header_pairs().map(|(n, _)| String::from_utf8(n.to_vec()).unwrap()));
        }))
    };
    let server = start(router);
    let mut peer = connect(&server);
    peer.send(
        "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n\
         1\r\nx\r\n0\r\nAuthorization: root\r\nX-Trailer: y\r\nContent-Length: 3\r\n\r\n",
    );
    assert_eq!(peer.reply().status, 200);
    assert_eq!(*seen.lock().unwrap(), ["Host", "Transfer-Encoding"]);
    assert_eq!(peer.get("/none").status, 404, "the trailers must be consumed");
}

#[test]
fn a_handler_cannot_inject_a_line_break() {
    fn set(request: Request) -> Response {
        let value = request.query_value("v").unwrap_or_default().into_owned();
        Response::text("fine").with_header("x-set", value)
    }
    fn name(request: Request) -> Response {
        let name = request.query_value("v").unwrap_or_default().into_owned();
        Response::text("fine").with_header(name.as_str(), "value")
    }
    let server = start(Router::new().route(get("/value", set)).route(get("/name", name)));
    let mut peer = connect(&server);
    assert_eq!(peer.get("/value?v=good").header("x-set"), Some("good"));
    for bad in ["a%0d%0aX-Injected:%201", "a%0aX-Injected:%201", "a%0dX-Injected:%201", "a%00b"] {
        for path in ["/value", "/name"] {
            let reply = peer.get(&format!("{path}?v={bad}"));
            assert_eq!(reply.status, 500, "{path} {bad}");
            assert_eq!(reply.header("x-injected"), None, "{path} {bad}");
        }
    }
    let mut response = Response::new();
    assert!(http::HeaderValue::from_bytes(b"a\r\nb").is_err());
    response.fields_mut().append(http::header::ETAG, http::HeaderValue::from_static("x"));
}

#[test]
fn bytes_after_a_declined_upgrade_are_parsed_as_requests() {
    let (server, _) = start_victim();
    let mut peer = connect(&server);
    let offer = "GET / HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket, h2c\r\n\r\n";
    peer.send(format!("{offer}GET /static HTTP/1.1\r\nHost: t\r\n\r\n"));
    assert_eq!(peer.reply().text(), "root");
    assert_eq!(peer.reply().text(), "static");
    peer.send(format!("{offer}\x01\x05hello"));
    assert_eq!(peer.reply().text(), "root");
    assert_eq!(peer.reply().status, 400);
    peer.expect_close();
}

#[test]
fn other_clients_are_served_during_a_flood_of_attacks() {
    let (server, _) = start_victim();
    let attackers: Vec<Peer> = (0..100)
        .map(|n| {
            let mut peer = connect(&server);
            peer.send(if n % 2 == 0 { &b"\x16\x03\x01"[..] } else { b"GET / HTTP/1.1\r\nHost" });
            peer
        })
        .collect();
    assert_eq!(connect(&server).get("/").text(), "root");
    drop(attackers);
    assert_eq!(connect(&server).get("/").text(), "root");
}
