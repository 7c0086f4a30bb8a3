//! Bytes that are no valid request: each answered as HARDENING says, the connection closed, nothing else sent, the
//! server unharmed.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use windlass::{Request, Response, Router, Server, get, http, post, static_route};

use crate::common::{Peer, connect, metric, start};

/// One attack: the cause it is counted under, the status that answers it, the bytes.
type Attack = (&'static str, u16, Vec<u8>);

/// A request that must never be answered: it stands behind each attack.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: t\r\n\r\n";

/// A GET with these field lines behind its Host.
fn with(lines: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nHost: t\r\n{lines}\r\n\r\n").into_bytes()
}

/// A POST with these field lines behind its Host.
fn posted(lines: &str) -> Vec<u8> {
    format!("POST /echo HTTP/1.1\r\nHost: t\r\n{lines}\r\n\r\n").into_bytes()
}

/// A POST with this behind its head as its chunked body.
fn chunked(body: &str) -> Vec<u8> {
    [posted("Transfer-Encoding: chunked"), body.into()].concat()
}

fn raw(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    bytes.as_ref().to_vec()
}

/// A server with everything an attack may aim at, and how often a smuggled request reached its handler.
fn victim() -> (Server, Arc<AtomicUsize>) {
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

/// Sends each attack with a smuggled request behind it and checks everything that can be seen.
fn repel(attacks: impl IntoIterator<Item = Attack>) {
    let (server, smuggled) = victim();
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
        assert!(reply.closes(), "{cause}: the answer does not say that the connection closes: {shown}");
        let rest = peer.rest();
        assert!(rest.is_empty(), "{cause}: {} stands behind the answer to {shown}", rest.escape_ascii());
        assert_eq!(metric(&server, &sample) - before, 1.0, "{cause} is not counted: {shown}");
        assert_eq!(bystander.get("/").text(), "root", "{cause}: {shown}");
    }
    assert_eq!(smuggled.load(Ordering::SeqCst), 0, "a request behind an attack was run");
}

#[test]
fn lengths_and_codings_that_two_parsers_may_read_differently_are_refused() {
    let length = |value: &str| posted(&format!("Content-Length:{value}"));
    let coding = |value: &str| posted(&format!("Transfer-Encoding:{value}"));
    repel([
        ("length_with_coding", 400, posted("Content-Length: 5\r\nTransfer-Encoding: chunked")),
        ("length_with_coding", 400, posted("Transfer-Encoding: chunked\r\nContent-Length: 5")),
        ("length_with_coding", 400, posted("Content-Length: 5\r\nTransfer-Encoding: gzip")),
        ("length_repeated", 400, posted("Content-Length: 5\r\nContent-Length: 5")),
        ("length_repeated", 400, posted("Content-Length: 5\r\ncontent-length: 6")),
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
        ("coding_invalid", 400, posted("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked")),
        ("coding_invalid", 400, posted("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity")),
        ("coding_unknown", 501, coding(" gzip, chunked")),
        (
            "coding_in_old_version",
            400,
            raw("POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ),
    ]);
}

#[test]
fn loose_line_ends_control_bytes_and_odd_spaces_are_refused() {
    repel([
        ("bare_lf", 400, raw("GET / HTTP/1.1\nHost: t\n\n")),
        ("bare_lf", 400, raw("GET / HTTP/1.1\r\nHost: t\r\nA: b\n\r\n")),
        ("bare_lf", 400, raw("GET / HTTP/1.1\r\nHost: t\r\n\n")),
        ("bare_cr", 400, with("A: b\rc")),
        ("bare_cr", 400, with("A: b\rX: y")),
        ("bare_cr", 400, with("A\r: b")),
        ("bare_cr", 400, raw("GET /\r HTTP/1.1\r\nHost: t\r\n\r\n")),
        ("nul", 400, with("A: b\0c")),
        ("nul", 400, with("A\0: b")),
        ("field_value", 400, with("A: b\x07c")),
        ("field_value", 400, with("A: b\x7f")),
        ("fold", 400, with("A: b\r\n c")),
        ("fold", 400, with("A: b\r\n\tc")),
        ("fold", 400, raw("GET / HTTP/1.1\r\n Host: t\r\n\r\n")),
        ("space_before_colon", 400, with("A : b")),
        ("space_before_colon", 400, posted("Content-Length : 5")),
        ("field_name", 400, with(": b")),
        ("field_name", 400, with("A b: c")),
        ("field_name", 400, with("no colon")),
        ("field_name", 400, with("\u{e9}: b")),
    ]);
}

#[test]
fn request_lines_that_are_none_are_refused() {
    let line = |line: &str| raw(format!("{line}\r\nHost: t\r\n\r\n"));
    repel([
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
        ("version_unsupported", 505, line("GET / HTTP/1.2")),
        ("version_unsupported", 505, line("GET / HTTP/2.0")),
        ("version_unsupported", 505, raw("PRI * HTTP/2.0\r\n\r\nS M\r\n\r\n")),
        ("method", 400, raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")),
        ("empty_lines", 400, raw("\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: t\r\n\r\n")),
        ("bare_lf", 400, raw("\nGET / HTTP/1.1\r\nHost: t\r\n\r\n")),
    ]);
}

#[test]
fn host_is_there_once_and_valid() {
    repel([
        ("host_missing", 400, raw("GET / HTTP/1.1\r\n\r\n")),
        ("host_missing", 400, raw("GET http://t/ HTTP/1.1\r\n\r\n")),
        ("host_repeated", 400, with("Host: t")),
        ("host_repeated", 400, with("host: other")),
        ("host_invalid", 400, raw("GET / HTTP/1.1\r\nHost: a b\r\n\r\n")),
        ("host_invalid", 400, raw("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n")),
        ("host_invalid", 400, raw("GET / HTTP/1.1\r\nHost: user@a\r\n\r\n")),
        ("host_invalid", 400, raw("GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n")),
        ("host_invalid", 400, raw("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n")),
        ("host_invalid", 400, raw("GET http:/// HTTP/1.1\r\nHost: t\r\n\r\n")),
        ("host_invalid", 400, raw("GET http://user@a/ HTTP/1.1\r\nHost: t\r\n\r\n")),
    ]);
}

#[test]
fn broken_chunks_are_refused() {
    let extension = "x".repeat(1030);
    let trailer = "x".repeat(4200);
    let flood = "1;aaaaaaaaaa\r\nx\r\n".repeat(100);
    repel([
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
fn what_is_too_long_is_refused_by_its_own_status() {
    let long = "a".repeat(9000);
    let many = "A: b\r\n".repeat(101);
    let huge = "A: b\r\n".repeat(90) + &format!("B: {}\r\nC: {}\r\n", "x".repeat(8000), "x".repeat(8000));
    repel([
        ("line_too_long", 414, raw(format!("GET /{long} HTTP/1.1\r\nHost: t\r\n\r\n"))),
        ("line_too_long", 414, raw(format!("GET /{long}"))),
        ("too_many_headers", 431, with(many.trim_end())),
        ("head_too_long", 431, with(huge.trim_end())),
        ("head_too_long", 431, with(&format!("A: {}", "x".repeat(20_000)))),
        ("expectation", 417, posted("Content-Length: 5\r\nExpect: a-miracle")),
        ("expectation", 417, posted("Content-Length: 5\r\nExpect: 100-continue, a-miracle")),
    ]);
}

#[test]
fn path_parameters_are_text_and_an_encoded_slash_splits_nothing() {
    let line = |path: &str| raw(format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
    repel([
        ("path_parameter", 400, line("/name/a%00b")),
        ("path_parameter", 400, line("/name/%ff")),
        ("path_parameter", 400, line("/name/%c3%28")),
        ("path_parameter", 400, line("/pair/a/%C0%80")),
    ]);
    let (server, _) = victim();
    let mut peer = connect(&server);
    assert_eq!(peer.get("/name/a%2Fb").text(), "a/b");
    assert_eq!(peer.get("/name/a%2fb%252F").text(), "a/b%2F", "decoded once, not twice");
    assert_eq!(peer.get("/pair/a%2Fb").status, 404);
    assert_eq!(peer.get("/name/caf%C3%A9").text(), "caf\u{e9}");
}

#[test]
fn what_is_nearly_an_attack_is_served() {
    let (server, _) = victim();
    let ninety_nine = "A: b\r\n".repeat(98) + "A: b";
    for bytes in [
        raw("\r\n\r\nGET / HTTP/1.1\r\nHost: t\r\n\r\n"),
        raw("GET / HTTP/1.1\r\nHost:\r\n\r\n"),
        raw("GET / HTTP/1.1\r\nHost: t\r\nA:\t b \r\n\r\n"),
        raw("GET http://t/ HTTP/1.1\r\nHost: other\r\n\r\n"),
        raw("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
        with(&ninety_nine),
        with(&format!("A: {}", "x".repeat(16_000))),
        with("A: caf\u{e9}"),
    ] {
        let mut peer = connect(&server);
        peer.send(&bytes);
        assert_eq!(peer.reply().text(), "root", "{}", bytes.escape_ascii());
        assert_eq!(peer.get("/").text(), "root", "the connection goes on behind {}", bytes.escape_ascii());
    }
}

#[test]
fn the_targets_authority_wins_over_host() {
    let (server, _) = victim();
    let mut peer = connect(&server);
    peer.send("GET http://target:81/host HTTP/1.1\r\nHost: other\r\n\r\n");
    assert_eq!(peer.reply().text(), "target:81");
    peer.send("GET /host HTTP/1.1\r\nHost: other:82\r\n\r\n");
    assert_eq!(peer.reply().text(), "other:82");
}

#[test]
fn an_attack_cut_into_single_bytes_is_refused_all_the_same() {
    let (server, smuggled) = victim();
    for bytes in [
        posted("Content-Length: 5\r\nTransfer-Encoding: chunked"),
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
fn an_attack_behind_a_good_request_leaves_that_ones_reply_in_front() {
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
fn trailers_are_never_merged_into_the_header() {
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
    assert_eq!(peer.get("/none").status, 404, "the trailers are taken off the wire");
}

#[test]
fn a_handler_cannot_put_a_line_break_on_the_wire() {
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
fn bytes_behind_an_upgrade_nobody_answered_with_101_are_requests() {
    let (server, _) = victim();
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
fn a_flood_of_attackers_is_no_reason_not_to_serve() {
    let (server, _) = victim();
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
