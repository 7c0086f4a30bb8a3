//! Tests of deadlines while the process is stopped, by a clock that stands still meanwhile.

use std::time::Duration;

use super::{TestClient, TestConnection, TestEnd};
use crate::{
    limits::Timeouts,
    request::Request,
    routing::{
        route::{get, post},
        router::Router,
    },
    server::Server,
};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Returns a client whose clock is stopped. Every time limit is 10 s, and no work is shed.
fn client(router: Router) -> TestClient {
    let limit = Some(SECOND * 10);
    let timeouts = Timeouts {
        header: limit,
        body_idle: limit,
        keep_alive: limit,
        write_stall: limit,
        job: limit,
        stream_idle: limit,
        age: Some(HOUR),
        ..Timeouts::default()
    };
    let client = Server::builder().router(router).timeouts(timeouts).test_client().unwrap();
    client.stop_clock();
    client
}

fn router() -> Router {
    let never = async |_: Request| std::future::pending::<()>().await;
    let count =
        async |mut request: Request| request.take_body().collect(100).await.unwrap().len().to_string();
    Router::new()
        .route(get("/", |_: Request| "here"))
        .route(get("/large", |_: Request| vec![b'x'; 1 << 20]))
        .route(get("/never", never).run_async())
        .route(post("/body", count))
}

/// Simulates that the process was stopped for this time: moves the clock, and counts the time as paused.
fn pause(client: &TestClient, by: Duration) {
    client.0.borrow_mut().system.pause(by);
    client.run_due();
}

/// Asserts that nothing happens to the connection for 6 s, during an hour in which the process is stopped,
/// and for nearly 4 s more, and that something happens then.
#[track_caller]
fn judged_after_ten_seconds_of_its_own(client: &TestClient, peer: &mut TestConnection) -> Vec<u8> {
    client.advance(SECOND * 6);
    pause(client, HOUR);
    client.advance(SECOND * 4 - MS);
    let early = peer.received();
    assert!(early.is_empty() && peer.end().is_none(), "{:?} {}", peer.end(), early.escape_ascii());
    client.advance(MS);
    let late = peer.received();
    assert!(!late.is_empty() || peer.end().is_some(), "the time limit does not apply");
    late
}

#[test]
fn a_pause_of_the_process_shifts_the_deadlines_of_peers() {
    let client = client(router());
    for (sent, status) in [
        ("GET / HT", "408"),
        ("POST /body HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\n1234", "408"),
        ("GET /never HTTP/1.1\r\nHost: t\r\n\r\n", "503"),
    ] {
        let mut peer = client.connect();
        // The clock has been behind for some time already.
        pause(&client, HOUR);
        peer.send(sent);
        let reply = judged_after_ten_seconds_of_its_own(&client, &mut peer);
        assert!(reply.starts_with(format!("HTTP/1.1 {status}").as_bytes()), "{}", reply.escape_ascii());
    }
    let mut idle = client.connect();
    idle.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
    assert!(idle.received().ends_with(b"here"));
    judged_after_ten_seconds_of_its_own(&client, &mut idle);
    assert_eq!(idle.end(), Some(TestEnd::Fin));
    let mut stalled = client.connect();
    stalled.read_only(Some(1000));
    stalled.send("GET /large HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(stalled.received().len(), 1000);
    judged_after_ten_seconds_of_its_own(&client, &mut stalled);
    assert_eq!(stalled.end(), Some(TestEnd::Reset));
}

#[cfg(feature = "ws")]
#[test]
fn a_pause_of_the_process_shifts_pings_and_the_time_for_pongs() {
    use crate::ws::websocket;
    let route = websocket("/ws", async |mut socket| while let Some(Ok(_)) = socket.recv().await {});
    let client = client(Router::new().route(route));
    let mut peer = client.connect();
    peer.send(
        "GET /ws HTTP/1.1\r\nHost: t\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    peer.received();
    // Both times are 30 s by default.
    client.advance(SECOND * 20);
    pause(&client, HOUR);
    client.advance(SECOND * 10 - MS);
    assert!(peer.received().is_empty());
    client.advance(MS);
    assert_eq!(peer.received(), b"\x89\x00");
    client.advance(SECOND * 20);
    pause(&client, HOUR);
    client.advance(SECOND * 10 - MS);
    assert_eq!(peer.end(), None);
    client.advance(MS);
    assert!(peer.end().is_some());
}

#[test]
fn the_date_is_that_of_the_system_after_a_pause() {
    let client = client(router());
    let date = || {
        let response = client.get("/");
        let date = response.headers()["date"].to_str().unwrap();
        httpdate::parse_http_date(date).unwrap()
    };
    date();
    let before = std::time::SystemTime::now();
    // The stopped clock shows no time, but the system's date moves on.
    std::thread::sleep(Duration::from_millis(1100));
    pause(&client, SECOND);
    assert!(date() > before, "the date is that before the pause");
}
