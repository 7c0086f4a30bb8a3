//! HTTP/2 attacks: each sends its frames and gets the documented reaction, while other clients are served.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::Semaphore;
use windlass::{Request, Router, Server, get, post, static_route};

use super::{
    client::Client,
    frames::{
        ACK, CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, FLOW_CONTROL_ERROR,
        HEADERS, PING, PRIORITY, PROTOCOL_ERROR, Peer, REFUSED_STREAM, RST_STREAM, SETTINGS, WINDOW_UPDATE,
        block, frame, request,
    },
};
use crate::common::{builder, endless, eventually, metric, start};

fn routes() -> Router {
    Router::new()
        .route(static_route("/", "root"))
        .route(post("/echo", |mut r: Request| r.take_body()))
        .route(get("/never", async |_: Request| std::future::pending::<()>().await).run_async())
}

fn server() -> Server {
    start(routes())
}

#[track_caller]
fn expect_enhance_your_calm(server: &Server, mut peer: Peer, cause: &str) {
    assert_eq!(peer.goaway(), ENHANCE_YOUR_CALM, "{cause}");
    let sample = format!("windlass_protocol_errors_total{{cause=\"{cause}\"}}");
    eventually(cause, || metric(server, &sample) == 1.0);
    assert_eq!(Client::connect(server).get("/").text(), "root", "{cause}: other clients must be served");
    eventually("the attacker's connection is closed", || server.metrics().connections <= 1);
}

/// Encodes `count` requests, each followed by its RST_STREAM.
fn requests_with_resets(path: &str, count: u32) -> Vec<u8> {
    let fields = block(&request("GET", path));
    let streams = (0..count).map(|index| 1 + 2 * index);
    let pair = |id| {
        [
            frame(HEADERS, END_HEADERS | END_STREAM, id, &fields),
            frame(RST_STREAM, 0, id, CANCEL.to_be_bytes()),
        ]
        .concat()
    };
    streams.flat_map(pair).collect()
}

#[test]
fn a_flood_of_requests_cancelled_at_once_ends_the_connection() {
    for path in ["/", "/never"] {
        let server = server();
        let mut peer = Peer::connect(&server);
        // Sent in one piece, the requests are cancelled before they are dispatched.
        peer.try_send(requests_with_resets(path, 1000));
        expect_enhance_your_calm(&server, peer, "h2_enhance_your_calm");
    }
}

#[test]
fn a_flood_of_requests_cancelled_while_running_ends_the_connection_and_frees_the_pool() {
    let server = server();
    let mut peer = Peer::connect(&server);
    let fields = block(&request("GET", "/never"));
    for id in (1..2001).step_by(2) {
        let sent = peer.try_send(frame(HEADERS, END_HEADERS | END_STREAM, id, &fields))
            // The PING's answer shows that the request was dispatched.
            && peer.try_send(frame(PING, 0, 0, [0; 8]));
        let answered = sent && std::iter::from_fn(|| peer.next()).any(|frame| frame.kind == PING);
        if !answered || !peer.try_send(frame(RST_STREAM, 0, id, CANCEL.to_be_bytes())) {
            break;
        }
    }
    eventually("the flood is counted once", || {
        metric(&server, "windlass_protocol_errors_total{cause=\"h2_reset_flood\"}")
            + metric(&server, "windlass_protocol_errors_total{cause=\"h2_ping_flood\"}")
            == 1.0
    });
    eventually("no job runs or waits", || {
        metric(&server, "windlass_pool_running_jobs{lane=\"async\"}") == 0.0
            && metric(&server, "windlass_pool_queued_jobs{lane=\"async\"}") == 0.0
    });
    assert_eq!(Client::connect(&server).get("/").text(), "root");
}

#[test]
fn a_client_that_provokes_stream_resets_is_disconnected() {
    let server = server();
    let mut peer = Peer::connect(&server);
    let fields = block(&request("GET", "/never"));
    for id in (1..601).step_by(2) {
        // The increment of 0 makes the server reset the stream.
        let pair =
            [frame(HEADERS, END_HEADERS | END_STREAM, id, &fields), frame(WINDOW_UPDATE, 0, id, [0; 4])]
                .concat();
        if !peer.try_send(pair) {
            break;
        }
    }
    let goaway = peer.goaway();
    assert!([ENHANCE_YOUR_CALM, PROTOCOL_ERROR].contains(&goaway), "{goaway}");
    eventually("no job runs or waits", || {
        metric(&server, "windlass_pool_running_jobs{lane=\"async\"}") == 0.0
    });
}

#[test]
fn floods_of_cheap_frames_end_the_connection() {
    let settings = frame(SETTINGS, 0, 0, [0, 3, 0, 0, 0, 100]);
    let cases = [
        ("h2_settings_flood", settings),
        ("h2_ping_flood", frame(PING, 0, 0, [7; 8])),
        ("h2_frame_flood", frame(PRIORITY, 0, 3, [0, 0, 0, 1, 16])),
        ("h2_frame_flood", frame(0x42, 0, 0, [])),
        ("h2_window_update_flood", frame(WINDOW_UPDATE, 0, 0, 1_u32.to_be_bytes())),
        ("h2_ping_flood", frame(PING, ACK, 0, [7; 8])),
        ("h2_settings_flood", frame(SETTINGS, 0, 0, [])),
    ];
    for (cause, flood) in cases {
        let server = server();
        let mut peer = Peer::connect(&server);
        // The server may close the connection before it has received all of the flood.
        peer.try_send(flood.repeat(5000));
        expect_enhance_your_calm(&server, peer, cause);
    }
}

#[test]
fn a_flood_of_empty_data_ends_the_connection() {
    let server = server();
    let mut peer = Peer::connect(&server);
    peer.headers(1, &request("POST", "/echo"), false);
    peer.try_send(frame(DATA, 0, 1, []).repeat(5000));
    assert_eq!(peer.goaway(), ENHANCE_YOUR_CALM);
    assert_eq!(Client::connect(&server).get("/").text(), "root");
}

#[test]
fn frames_of_ordinary_clients_do_not_count_as_a_flood() {
    let server = server();
    let mut peer = Peer::connect(&server);
    for round in 0..200_u32 {
        peer.get(1 + 2 * round, "/");
        peer.send(frame(WINDOW_UPDATE, 0, 0, 100_u32.to_be_bytes()));
        peer.send(frame(PRIORITY, 0, 1 + 2 * round, [0, 0, 0, 0, 16]));
        if round % 10 == 0 {
            peer.send(frame(PING, 0, 0, [0; 8]));
        }
        assert_eq!(peer.body(1 + 2 * round), b"root");
    }
}

#[test]
fn endless_header_blocks_end_the_connection() {
    let server = server();
    for (piece, limit) in [(vec![], 5000), (vec![0x10; 10], 5000), (vec![0x10; 16_384], 100)] {
        let mut peer = Peer::connect(&server);
        peer.send(frame(HEADERS, END_STREAM, 1, block(&request("GET", "/"))));
        for _ in 0..limit {
            if !peer.try_send(frame(CONTINUATION, 0, 1, &piece)) {
                break;
            }
        }
        let goaway = peer.goaway();
        assert!([ENHANCE_YOUR_CALM, PROTOCOL_ERROR, 9].contains(&goaway), "{} bytes: {goaway}", piece.len());
    }
    assert_eq!(Client::connect(&server).get("/").text(), "root");
}

#[test]
fn an_incomplete_header_block_ends_the_connection_after_the_header_timeout() {
    let mut timeouts = endless();
    timeouts.header = Some(Duration::from_millis(200));
    let server = builder(routes()).timeouts(timeouts).start().unwrap();
    let fields = block(&request("GET", "/"));
    let part = frame(HEADERS, END_HEADERS | END_STREAM, 1, &fields);
    for sent in [frame(HEADERS, END_STREAM, 1, &fields), part[..20].to_vec(), part[..9].to_vec()] {
        let mut peer = Peer::connect(&server);
        peer.send(sent);
        assert_eq!(peer.goaway(), PROTOCOL_ERROR);
    }
    assert_eq!(metric(&server, "windlass_timeouts_total{timer=\"header\"}"), 3.0);
}

#[test]
fn header_lists_over_the_limit_answer_431_and_hpack_bombs_end_the_connection() {
    let server = server();
    let mut peer = Peer::connect(&server);
    let long = "x".repeat(16_400);
    let mut fields = request("GET", "/");
    fields.extend([("x-a", long.as_str()), ("x-b", long.as_str()), ("x-c", "more than 32 KiB now")]);
    let fields = block(&fields);
    peer.send(frame(HEADERS, END_STREAM, 1, &fields[..16_000]));
    peer.send(frame(CONTINUATION, 0, 1, &fields[16_000..32_000]));
    peer.send(frame(CONTINUATION, END_HEADERS, 1, &fields[32_000..]));
    assert_eq!(peer.reply(1).status(), 431);
    peer.get(3, "/");
    assert_eq!(peer.body(3), b"root", "the connection must stay open");
    // The first field fills 4,000 bytes of the table; each following byte refers to that field again.
    let mut bomb = vec![0x40, 1, b'a', 0x7f, 0xa1, 0x1e];
    bomb.extend([b'x'; 4000]);
    bomb.extend([0xbe; 10_000]);
    peer.send(frame(HEADERS, END_HEADERS | END_STREAM, 5, [block(&request("GET", "/")), bomb].concat()));
    assert_eq!(peer.goaway(), ENHANCE_YOUR_CALM);
}

#[test]
fn too_many_fields_and_long_targets_are_refused_as_over_http_1() {
    let server = server();
    let mut peer = Peer::connect(&server);
    let names: Vec<String> = (0..101).map(|index| format!("x-{index}")).collect();
    let mut fields = request("GET", "/");
    fields.extend(names.iter().map(|name| (name.as_str(), "1")));
    peer.headers(1, &fields, true);
    assert_eq!(peer.reply(1).status(), 431);
    let path = format!("/{}", "x".repeat(9000));
    peer.headers(3, &request("GET", &path), true);
    assert_eq!(peer.reply(3).status(), 414);
}

#[test]
fn the_header_table_stays_within_its_size() {
    let server = server();
    let mut peer = Peer::connect(&server);
    for id in (1..401).step_by(2) {
        let mut churn = block(&request("GET", "/"));
        for index in 0..40_u8 {
            // Literals with indexing: each one evicts others from the table.
            churn.extend([0x40, 3, b'x', b'-', b'a' + index % 26, 100]);
            churn.extend([id as u8 ^ index; 100].map(|byte| b'a' + byte % 26));
        }
        peer.send(frame(HEADERS, END_HEADERS | END_STREAM, id, churn));
        assert_eq!(peer.body(id), b"root");
    }
    // A table size above the server's maximum is refused.
    peer.send(frame(
        HEADERS,
        END_HEADERS | END_STREAM,
        401,
        [vec![0x3f, 0xe2, 0x7f], block(&request("GET", "/"))].concat(),
    ));
    peer.goaway();
}

#[test]
fn streams_over_the_limit_are_refused() {
    let begun = Arc::new(AtomicUsize::new(0));
    let gate = Arc::new(Semaphore::new(0));
    let (counted, closed) = (begun.clone(), gate.clone());
    let waits = move |_: Request| {
        counted.fetch_add(1, Ordering::SeqCst);
        let gate = closed.clone();
        async move { gate.acquire().await.unwrap().forget() }
    };
    let server = start(routes().route(get("/waits", waits).run_async()));
    let mut peer = Peer::connect(&server);
    (1..201).step_by(2).for_each(|id| peer.get(id, "/waits"));
    eventually("all 100 requests run", || begun.load(Ordering::SeqCst) == 100);
    peer.get(201, "/waits");
    assert_eq!(peer.reset(201), REFUSED_STREAM);
    gate.add_permits(100);
    peer.reply(1);
    peer.get(203, "/");
    assert_eq!(peer.body(203), b"root");
}

#[test]
fn window_increments_of_zero_or_beyond_the_maximum_are_errors() {
    let server = server();
    let most = 0x7fff_ffff_u32.to_be_bytes();
    for (increment, stream, connection) in
        [([0; 4], PROTOCOL_ERROR, PROTOCOL_ERROR), (most, FLOW_CONTROL_ERROR, FLOW_CONTROL_ERROR)]
    {
        let mut peer = Peer::connect(&server);
        peer.headers(1, &request("POST", "/echo"), false);
        peer.send(frame(WINDOW_UPDATE, 0, 1, increment));
        let code = peer.wait(|frame| matches!(frame.kind, RST_STREAM | super::frames::GOAWAY)).code();
        assert_eq!(code, stream);
        let mut peer = Peer::connect(&server);
        peer.send(frame(WINDOW_UPDATE, 0, 0, increment));
        assert_eq!(peer.goaway(), connection);
    }
}

#[test]
fn malformed_requests_reset_their_stream() {
    let server = server();
    let with = |name: &'static str, value: &'static str| [request("GET", "/"), vec![(name, value)]].concat();
    let without =
        |name: &str| request("GET", "/").into_iter().filter(|(known, _)| *known != name).collect::<Vec<_>>();
    let mut late = request("GET", "/");
    late.insert(2, ("x-early", "1"));
    let cases = [
        ("connection", with("connection", "close")),
        ("keep-alive", with("keep-alive", "1")),
        ("proxy-connection", with("proxy-connection", "close")),
        ("transfer-encoding", with("transfer-encoding", "chunked")),
        ("upgrade", with("upgrade", "h2c")),
        ("te", with("te", "gzip")),
        ("no :method", without(":method")),
        ("no :scheme", without(":scheme")),
        ("no :path", without(":path")),
        ("empty :path", vec![(":method", "GET"), (":scheme", "http"), (":path", ""), (":authority", "test")]),
        (":path twice", with(":path", "/")),
        (":method twice", with(":method", "GET")),
        ("pseudo-header after a field", late),
        ("a response's pseudo-header", with(":status", "200")),
        ("content-length twice", [with("content-length", "0"), vec![("content-length", "1")]].concat()),
    ];
    for (what, fields) in cases {
        let mut peer = Peer::connect(&server);
        peer.headers(1, &fields, true);
        assert_eq!(peer.reset(1), PROTOCOL_ERROR, "{what}");
        peer.get(3, "/");
        assert_eq!(peer.body(3), b"root", "{what}: the connection must stay open");
    }
    for (what, fields) in
        [("upper case", with("X-Upper", "1")), ("unknown pseudo-header", with(":unknown", "1"))]
    {
        let mut peer = Peer::connect(&server);
        peer.headers(1, &fields, true);
        let code = peer.wait(|frame| matches!(frame.kind, RST_STREAM | super::frames::GOAWAY)).code();
        assert_eq!(code, PROTOCOL_ERROR, "{what}");
    }
}

#[test]
fn targets_and_authorities_are_checked_as_strictly_as_over_http_1() {
    let server = server();
    let target_at = |path: &'static str, authority: &'static str| {
        vec![(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", authority)]
    };
    let mut without_authority = target_at("/", "test");
    without_authority.pop();
    let cases = [
        ("no authority", 400, without_authority.clone()),
        ("only Host", 200, [without_authority.clone(), vec![("host", "test")]].concat()),
        ("both the same", 200, [target_at("/", "test"), vec![("host", "TEST")]].concat()),
        ("both, but different", 400, [target_at("/", "test"), vec![("host", "other")]].concat()),
        ("Host twice", 400, [without_authority, vec![("host", "a"), ("host", "a")]].concat()),
        ("user information", 400, target_at("/", "user@test")),
        ("no slash", 400, target_at("x", "test")),
        ("non-ASCII", 400, target_at("/\u{e9}", "test")),
        ("an asterisk for GET", 400, target_at("*", "test")),
        ("CONNECT", 501, vec![(":method", "CONNECT"), (":authority", "test:80")]),
        (
            "OPTIONS *",
            204,
            vec![(":method", "OPTIONS"), (":scheme", "http"), (":path", "*"), (":authority", "test")],
        ),
    ];
    for (what, status, fields) in cases {
        let mut peer = Peer::connect(&server);
        peer.headers(1, &fields, true);
        let frame = peer.wait(|frame| matches!(frame.kind, HEADERS | RST_STREAM));
        match frame.kind {
            // The engine rejects some of them as malformed before they become a request.
            RST_STREAM => assert_eq!((status, frame.code()), (400, PROTOCOL_ERROR), "{what}"),
            _ => assert_eq!(frame.status(), status, "{what}"),
        }
    }
}
