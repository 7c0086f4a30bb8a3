//! Every timer as a client sees it: its effect, that it does not fire early, and its counter.

use std::{
    thread,
    time::{Duration, Instant},
};

use windlass::{Body, Request, Response, Router, Server, Timeouts, get, post, static_route};

use crate::common::{ENDLESS, End, Peer, TIMEOUT, builder, connect, endless, eventually, metric};

const SHORT: Duration = Duration::from_millis(200);

/// Observation time in which a disabled timer must not fire.
const OBSERVED: Duration = Duration::from_millis(500);

/// Asserts that a timer did not fire early. `virtual_time` tests when exactly a timer fires; here a busy
/// machine may be late.
#[track_caller]
fn expect_not_before(began: Instant, deadline: Duration) {
    let took = began.elapsed();
    assert!(took >= deadline, "{took:?} is before {deadline:?}");
}

/// Starts a server on which only the timers set by `set` are short.
fn server(set: impl FnOnce(&mut Timeouts)) -> Server {
    server_with(routes(), set)
}

fn server_with(router: Router, set: impl FnOnce(&mut Timeouts)) -> Server {
    let mut timeouts = endless();
    set(&mut timeouts);
    builder(router).timeouts(timeouts).start().unwrap()
}

async fn body_length(mut request: Request) -> String {
    match request.take_body().collect(usize::MAX).await {
        Ok(bytes) => bytes.len().to_string(),
        Err(error) => error.to_string(),
    }
}

fn routes() -> Router {
    Router::new()
        .route(static_route("/static", "static"))
        .route(get("/inline", |_: Request| "inline"))
        .route(get("/slow", async |_: Request| tokio::time::sleep(SHORT * 3).await).run_async())
        .route(get("/never", async |_: Request| std::future::pending::<()>().await).run_async())
        .route(post("/whole", body_length))
        .route(post("/streamed", body_length).streamed())
        .route(post("/streamed-async", body_length).streamed().run_async())
        .route(get("/large", |_: Request| vec![b'x'; 32 << 20]))
}

#[track_caller]
fn expect_counted(server: &Server, timer: &str, times: f64) {
    let counted = || metric(server, &format!("windlass_timeouts_total{{timer=\"{timer}\"}}"));
    eventually(&format!("{timer} is counted"), || counted() >= times);
    assert_eq!(counted(), times, "{timer}");
}

#[track_caller]
fn expect_served_and_closed(server: &Server) {
    eventually("the request is served", || server.metrics().requests == 1);
    eventually("the connection is closed", || server.metrics().connections == 0);
}

/// Sends one byte every 10 ms until the server ends the connection.
fn send_slowly(mut peer: Peer, bytes: &'static [u8]) -> (Vec<u8>, End) {
    let began = Instant::now();
    for byte in bytes.iter().cycle() {
        assert!(began.elapsed() < TIMEOUT, "a dripping peer keeps its connection");
        if !peer.try_send([*byte]) || peer.is_readable() {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    peer.read_to_close()
}

#[test]
fn an_incomplete_head_is_answered_408() {
    let server = server(|t| t.header = Some(SHORT));
    for sent in ["G", "GET / HTTP/1.1\r\nHost: t\r\n", "\r\nGET"] {
        let mut peer = connect(&server);
        let began = Instant::now();
        peer.send(sent);
        let reply = peer.reply();
        assert_eq!((reply.status, reply.closes()), (408, true));
        expect_not_before(began, SHORT);
        peer.expect_close();
    }
    expect_counted(&server, "header", 3.0);
}

#[test]
fn sending_a_head_slowly_does_not_extend_its_timeout() {
    let server = server(|t| t.header = Some(SHORT));
    let began = Instant::now();
    let mut peer = connect(&server);
    peer.send("GET / HTTP/1.1\r\nHost: t\r\nX: ");
    let (bytes, _) = send_slowly(peer, b"x");
    expect_not_before(began, SHORT);
    assert!(bytes.starts_with(b"HTTP/1.1 408 "), "{}", bytes.escape_ascii());
    expect_counted(&server, "header", 1.0);
}

#[test]
fn the_timeout_of_a_later_head_starts_at_its_first_byte() {
    let server = server(|t| t.header = Some(SHORT));
    let mut peer = connect(&server);
    assert_eq!(peer.get("/static").text(), "static");
    peer.expect_silence(OBSERVED);
    let began = Instant::now();
    peer.send("GET /static HTTP/1.1\r\n");
    assert_eq!(peer.reply().status, 408);
    expect_not_before(began, SHORT);
}

#[test]
fn a_408_waits_for_the_reply_of_the_request_before_it() {
    let server = server(|t| t.header = Some(SHORT));
    let mut peer = connect(&server);
    peer.send("GET /slow HTTP/1.1\r\nHost: t\r\n\r\nGET /st");
    assert_eq!(peer.reply().status, 200);
    assert_eq!(peer.reply().status, 408);
    peer.expect_close();
}

#[test]
fn line_ends_between_requests_do_not_start_a_head() {
    let server = server(|t| t.header = Some(SHORT));
    let mut peer = connect(&server);
    assert_eq!(peer.get("/static").text(), "static");
    peer.send("\r\n");
    peer.expect_silence(OBSERVED);
    assert_eq!(peer.get("/static").text(), "static");
    let idle = server_with(routes(), |t| t.keep_alive = Some(SHORT));
    let mut peer = connect(&idle);
    let began = Instant::now();
    peer.send("\r\n");
    peer.expect_close();
    expect_not_before(began, SHORT);
}

#[test]
fn an_idle_body_is_answered_408() {
    let server = server(|t| t.body_idle = Some(SHORT));
    for start in ["Content-Length: 10\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nab"] {
        let mut peer = connect(&server);
        let began = Instant::now();
        peer.send(format!("POST /whole HTTP/1.1\r\nHost: t\r\n{start}"));
        let reply = peer.reply();
        assert_eq!((reply.status, reply.closes()), (408, true));
        expect_not_before(began, SHORT);
        peer.expect_close();
    }
    expect_counted(&server, "body", 2.0);
}

#[test]
fn an_idle_body_is_an_error_for_a_streaming_handler() {
    let server = server(|t| t.body_idle = Some(SHORT));
    for path in ["/streamed", "/streamed-async"] {
        let mut peer = connect(&server);
        let began = Instant::now();
        peer.send(format!("POST {path} HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nabc"));
        let text = peer.reply().text();
        expect_not_before(began, SHORT);
        assert!(text.contains("too slowly"), "{text}");
        peer.expect_close();
    }
    expect_counted(&server, "body", 2.0);
}

#[test]
fn the_idle_timeout_applies_to_an_unread_body() {
    let server = server(|t| t.body_idle = Some(SHORT));
    let mut peer = connect(&server);
    let began = Instant::now();
    peer.send("POST /nowhere HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nabc");
    assert_eq!(peer.reply().status, 404);
    peer.expect_close();
    expect_not_before(began, SHORT);
}

#[test]
fn a_body_below_the_minimum_rate_is_answered_408_after_the_grace() {
    let server = server(|t| (t.body_rate, t.body_grace) = (10_000, SHORT));
    let mut peer = connect(&server);
    let began = Instant::now();
    peer.send("POST /whole HTTP/1.1\r\nHost: t\r\nContent-Length: 100000\r\n\r\n");
    let (bytes, _) = send_slowly(peer, b"x");
    expect_not_before(began, SHORT);
    assert!(bytes.starts_with(b"HTTP/1.1 408 "), "{}", bytes.escape_ascii());
    expect_counted(&server, "body", 1.0);
}

#[test]
fn an_idle_connection_is_closed() {
    let server = server(|t| t.keep_alive = Some(SHORT));
    let began = Instant::now();
    let mut peer = connect(&server);
    peer.expect_close();
    expect_not_before(began, SHORT);
    for path in ["/static", "/inline"] {
        let mut peer = connect(&server);
        // The server sends the reply between this instant and its receipt.
        let began = Instant::now();
        peer.request("GET", path);
        assert!(!peer.reply().closes());
        peer.expect_close();
        expect_not_before(began, SHORT);
    }
}

#[test]
fn a_connection_whose_handler_runs_is_not_idle() {
    let server = server(|t| t.keep_alive = Some(SHORT));
    let mut peer = connect(&server);
    let began = Instant::now();
    assert_eq!(peer.get("/slow").status, 200);
    peer.expect_close();
    assert!(began.elapsed() >= SHORT * (3 + 1), "the idle time must start after the reply");
}

#[test]
fn a_connection_over_its_maximum_age_closes_with_its_next_reply() {
    let server = server(|t| t.age = Some(SHORT));
    let began = Instant::now();
    let mut peer = connect(&server);
    eventually("a reply closes the connection", || peer.get("/static").closes());
    // The maximum age is shortened by up to a tenth.
    expect_not_before(began, SHORT - SHORT / 10);
    peer.expect_close();
}

#[test]
fn a_client_that_stops_reading_is_cut() {
    let server = server(|t| t.write_stall = Some(SHORT));
    let mut peer = connect(&server);
    peer.set_receive_buffer(2048);
    let began = Instant::now();
    peer.request("GET", "/large");
    expect_served_and_closed(&server);
    // The kernel buffers a first part of the reply; after that there is no progress.
    expect_not_before(began, SHORT);
    let (bytes, end) = peer.read_to_close();
    assert_eq!(end, End::Reset, "a cut reply must end with a reset");
    assert!(bytes.len() < 32 << 20);
    expect_counted(&server, "write_stall", 1.0);
}

#[test]
fn a_closed_connection_waits_for_the_clients_fin_only_until_the_linger_timeout() {
    const LAST: &str = "GET /static HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx";
    let patient = server(|t| t.linger = ENDLESS);
    let mut peer = connect(&patient);
    peer.send(LAST);
    assert!(peer.reply().closes());
    peer.expect_close();
    assert_eq!(patient.metrics().connections, 1, "the server's FIN must not wait for the linger timeout");

    let server = server(|t| t.linger = SHORT);
    let mut peer = connect(&server);
    let began = Instant::now();
    peer.send(LAST);
    assert!(peer.reply().closes());
    peer.expect_close();
    eventually("the connection is closed", || server.metrics().connections == 0);
    expect_not_before(began, SHORT);
    expect_counted(&server, "linger", 1.0);
}

#[test]
fn a_last_request_without_a_body_needs_no_linger() {
    let server = server(|_| {});
    for (last, reply) in [
        ("GET /static HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n", 200),
        ("GET / HTTP/1.0\r\n\r\n", 404),
    ] {
        let mut peer = connect(&server);
        peer.send(last);
        assert_eq!(peer.reply().status, reply);
        peer.expect_close();
        eventually("the connection is closed", || server.metrics().connections == 0);
    }
    expect_counted(&server, "linger", 0.0);
}

#[test]
fn sending_slowly_does_not_extend_the_linger_beyond_its_maximum() {
    let server = server(|t| (t.linger, t.linger_max) = (Duration::from_secs(3600), SHORT));
    let mut peer = connect(&server);
    peer.send("POST /nowhere HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: 1000\r\n\r\n");
    assert_eq!(peer.reply().status, 404);
    eventually("the connection ends", || {
        thread::sleep(Duration::from_millis(5));
        !peer.try_send("x")
    });
    expect_counted(&server, "linger", 1.0);
}

#[test]
fn a_slow_client_receives_the_whole_last_reply_after_the_linger() {
    let server =
        server_with(Router::new().route(get("/", |_: Request| vec![b'x'; 600 * 1024])), |t| t.linger = SHORT);
    let mut peer = connect(&server);
    peer.set_receive_buffer(128 * 1024);
    peer.send("GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx");
    // The server's kernel has buffered the whole reply; the client has read nothing.
    expect_served_and_closed(&server);
    expect_counted(&server, "linger", 1.0);
    assert_eq!(peer.reply().body.len(), 600 * 1024);
    peer.expect_close();
}

#[test]
fn a_job_over_its_deadline_is_answered_503() {
    let server = server(|t| t.job = Some(SHORT));
    let mut peer = connect(&server);
    let began = Instant::now();
    peer.send("GET /never HTTP/1.1\r\nHost: t\r\n\r\nGET /inline HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(peer.reply().status, 503);
    expect_not_before(began, SHORT);
    assert_eq!(peer.reply().text(), "inline");
    expect_counted(&server, "job", 1.0);
}

/// Starts a reply and then sends nothing until its client is gone.
fn stalled_reply(_: Request) -> Response {
    let (mut sender, body) = Body::channel(100);
    // The body has room for it, so this does not wait.
    pollster::block_on(sender.send("beginning".into())).unwrap();
    thread::spawn(move || {
        while !sender.is_closed() {
            thread::sleep(Duration::from_millis(5));
        }
    });
    Response::new().with_body(body)
}

#[test]
fn a_reply_whose_producer_stalls_is_cut() {
    let router = Router::new().route(get("/", stalled_reply)).route(get("/async", stalled_reply).run_async());
    let server = server_with(router, |t| t.stream_idle = Some(SHORT));
    for (at, (path, version, end)) in
        [("/", "1.1", End::Fin), ("/async", "1.1", End::Fin), ("/", "1.0", End::Reset)]
            .into_iter()
            .enumerate()
    {
        let mut peer = connect(&server);
        let began = Instant::now();
        peer.send(format!("GET {path} HTTP/{version}\r\nHost: t\r\n\r\n"));
        peer.until(b"beginning");
        let (bytes, ended) = peer.read_to_close();
        assert!(!bytes.ends_with(b"0\r\n\r\n"), "a cut reply must not look complete");
        // Chunked framing shows the cut; without it only a reset does.
        assert_eq!(ended, end);
        expect_not_before(began, SHORT);
        expect_counted(&server, "stream_idle", at as f64 + 1.0);
    }
}

#[test]
fn an_ended_request_is_counted_under_one_timer_only() {
    let router = routes().route(get("/stuck", stalled_reply));
    let server = server_with(router, |t| {
        (t.stream_idle, t.job, t.linger) = (Some(SHORT), Some(SHORT * 2), SHORT * 3);
    });
    let mut peer = connect(&server);
    peer.send("GET /stuck HTTP/1.1\r\nHost: t\r\n\r\nGET /slow HTTP/1.1\r\nHost: t\r\n\r\n");
    peer.until(b"beginning");
    assert_eq!(peer.read_to_close().1, End::Fin);
    // The job's deadline passes while the connection waits for the client's FIN, so no request waits for the
    // job.
    expect_counted(&server, "linger", 1.0);
    expect_counted(&server, "stream_idle", 1.0);
    expect_counted(&server, "job", 0.0);
}

#[test]
fn none_disables_a_timer() {
    let server = server(|t| {
        (t.header, t.body_idle, t.keep_alive) = (None, None, None);
        (t.age, t.write_stall, t.job, t.stream_idle) = (None, None, None, None);
        t.body_rate = 0;
    });
    let mut stalled = connect(&server);
    stalled.set_receive_buffer(256 * 1024);
    stalled.request("GET", "/large");
    let begun = [
        "",
        "GET /static HTTP/1.1\r\nHost",
        "POST /whole HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nab",
        "POST /whole HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
    ];
    let mut peers = begun.map(|sent| {
        let mut peer = connect(&server);
        peer.send(sent);
        peer
    });
    peers[0].expect_silence(OBSERVED);
    for (peer, rest) in peers.iter_mut().zip([
        "GET /static HTTP/1.1\r\nHost: t\r\n\r\n",
        ": t\r\n\r\n",
        "c",
        "c\r\n0\r\n\r\n",
    ]) {
        peer.send(rest);
        assert_eq!(peer.reply().status, 200);
    }
    assert_eq!(stalled.reply().body.len(), 32 << 20);
    for timer in ["header", "body", "keep_alive", "write_stall", "job", "stream_idle"] {
        assert_eq!(metric(&server, &format!("windlass_timeouts_total{{timer=\"{timer}\"}}")), 0.0);
    }
}
