//! The examples of `src/docs/examples`, each served to clients over sockets.
#![allow(unreachable_pub, reason = "the examples are programs and only modules here")]

use std::time::Duration;

use windlass::{Builder, actors::Cores};

use crate::common::{base_builder, connect, eventually};

#[cfg(feature = "tower")]
#[path = "../../src/docs/examples/axum_behind.rs"]
mod axum_behind;
#[path = "../../src/docs/examples/chat.rs"]
mod chat;
#[path = "../../src/docs/examples/embedded.rs"]
mod embedded;
#[cfg(feature = "json")]
#[path = "../../src/docs/examples/jobs.rs"]
mod jobs;
#[path = "../../src/docs/examples/rate_limiter.rs"]
mod rate_limiter;

fn two_shards() -> Builder {
    base_builder().listen("127.0.0.1:0").cores(Cores::Unpinned(2))
}

#[test]
fn chat_delivers_each_line_to_everybody_in_the_room() {
    let server = chat::start(two_shards()).unwrap();
    let (mut ann, mut bob, mut eve) = (connect(&server), connect(&server), connect(&server));
    ann.request("GET", "/rooms/tea?name=ann");
    ann.until(b"\r\n\r\n");
    bob.request("GET", "/rooms/tea?name=bob");
    ann.until(b"data: bob joins\n\n");
    eve.request("GET", "/rooms/coffee?name=eve");
    eve.until(b"\r\n\r\n");
    let mut speaker = connect(&server);
    assert_eq!(speaker.post("/rooms/tea?name=bob", "hello, all\rdata: eve").text(), "2 heard it\n");
    for listener in [&mut ann, &mut bob] {
        listener.until(b"data: bob: hello, all\ndata: data: eve\n\n");
    }
    ann.reset();
    eventually("ann has left", || speaker.post("/rooms/tea", "anybody?").text() == "1 heard it\n");
    assert_eq!(speaker.post("/rooms/nowhere", "anybody?").text(), "0 heard it\n");
    assert_eq!(speaker.post("/rooms/tea", vec![b'x'; 5000]).status, 413);
    eve.expect_silence(Duration::from_millis(50));
}

#[test]
fn rate_limiter_answers_429_and_recovers() {
    let server = rate_limiter::start(two_shards(), 20.0).unwrap();
    let mut peer = connect(&server);
    let statuses: Vec<_> = (0..20).map(|_| peer.get("/").status).collect();
    assert_eq!(statuses[..5], [200; 5]);
    assert!(statuses.contains(&429), "{statuses:?}");
    eventually("the bucket has a token again", || peer.get("/").status == 200);
}

#[cfg(feature = "json")]
#[test]
fn jobs_report_their_progress() {
    let server = jobs::start(two_shards(), Duration::from_millis(5)).unwrap();
    let mut peer = connect(&server);
    let body = r#"{"steps":3}"#;
    let length = body.len();
    peer.send(format!(
        "POST /jobs HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    ));
    let ticket = peer.reply();
    assert_eq!((ticket.status, ticket.text().as_str()), (202, r#"{"id":1,"events":"/jobs/1/events"}"#));
    // The stream has all events, whether the client subscribes early or late.
    for _ in 0..2 {
        let mut events = connect(&server);
        events.request("GET", "/jobs/1/events");
        let text = String::from_utf8(events.until(b"data: done\n")).unwrap();
        let steps: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        assert_eq!(steps, ["step 1 of 3", "step 2 of 3", "step 3 of 3", "done"]);
    }
    assert_eq!(peer.get("/jobs/2/events").status, 404);
    assert_eq!(peer.get("/jobs/x/events").status, 400);
}

#[cfg(feature = "tower")]
#[test]
fn an_axum_application_serves_beside_inline_routes() {
    let server = axum_behind::start(two_shards()).unwrap();
    let mut peer = connect(&server);
    let user = peer.get("/app/users/7");
    assert_eq!(
        (user.text().as_str(), user.header("server")),
        (r#"{"greeting":"hello","id":7}"#, Some("axum"))
    );
    assert_eq!(peer.get("/fast/ann").text(), "hello, ann\n");
    peer.request("GET", "/app/ticks");
    peer.until(b"data: 1\n\n");
    peer.until(b"data: 2\n\n");
}

#[test]
fn embedded_serves_running_requests_before_it_stops() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (ready, stop) = tokio::sync::oneshot::channel();
    let on_start = |server: &windlass::Server| {
        let mut peer = connect(server);
        assert_eq!(peer.get("/").text(), "hello\n");
        peer.request("GET", "/slow");
        eventually("the handler runs", || server.pool().unwrap().stats().jobs.running == 1);
        assert!(ready.send(peer).is_ok());
    };
    let mut peer = None;
    let stop = async { peer = stop.await.ok() };
    let report = runtime.block_on(embedded::serve(two_shards(), on_start, stop)).unwrap();
    assert_eq!((report.drained, report.cut_total(), report.system.is_clean()), (1, 0, true), "{report}");
    let reply = peer.unwrap().reply();
    assert_eq!((reply.text().as_str(), reply.closes()), ("done\n", true));
}
