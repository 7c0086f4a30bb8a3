//! Ends of event streams: by the client, the handler or the server. Later sends return `Closed` and never
//! panic.

use std::{
    sync::atomic::Ordering::SeqCst,
    time::{Duration, Instant},
};

use windlass::{
    Request, Router,
    broker::Event,
    event_stream,
    sse::{Client, SendError, Settings},
};

use super::{Received, StreamServer, Subscriber, eventually, metric, start};
use crate::common::TIMEOUT;

#[test]
fn a_disconnect_drops_the_handler_and_closes_the_client() {
    let fixture = StreamServer::serve(Settings::new());
    let reading = Subscriber::subscribe(&fixture.server, "/e", None);
    let client = fixture.client();
    assert_eq!(fixture.ended.load(SeqCst), 0);
    let waiting = std::thread::spawn({
        let client = client.clone();
        move || pollster::block_on(client.closed())
    });
    drop(reading);
    eventually("the handler is dropped", || fixture.ended.load(SeqCst) == 1);
    waiting.join().unwrap();
    assert!(client.is_closed());
    assert!(matches!(pollster::block_on(client.send(Event::new("late"))), Err(SendError::Closed)));
    client.close();
}

#[test]
fn sends_that_race_a_close_are_delivered_or_return_closed() {
    for round in 0..20 {
        let fixture = StreamServer::serve(Settings::new().queue(round % 3));
        let mut reading = Subscriber::subscribe(&fixture.server, "/e", None);
        let client = fixture.client();
        let senders: Vec<_> = (0..4)
            .map(|_| {
                let client = client.clone();
                std::thread::spawn(move || {
                    let mut sent = 0_usize;
                    while pollster::block_on(client.send(Event::new("x"))).is_ok() {
                        sent += 1;
                    }
                    sent
                })
            })
            .collect();
        for _ in 0..10 {
            assert!(matches!(reading.next(), Received::Event { .. }));
        }
        client.close();
        let mut received = 10;
        while reading.next() != Received::End {
            received += 1;
        }
        let sent: usize = senders.into_iter().map(|sender| sender.join().unwrap()).sum();
        assert_eq!(received, sent, "every accepted event must be received");
    }
}

#[test]
fn a_panicking_handler_cuts_its_stream_and_is_counted() {
    fn at_once(_: Request, _: Client) -> std::future::Ready<()> {
        panic!("deliberate panic of the test")
    }
    async fn after_one_event(_: Request, client: Client) {
        client.send(Event::new("one")).await.unwrap();
        panic!("deliberate panic of the test")
    }
    let server = start(
        Router::new().route(event_stream("/now", at_once)).route(event_stream("/later", after_one_event)),
    );
    for (path, panics) in [("/now", 1.0), ("/later", 2.0)] {
        let mut client = Subscriber::subscribe(&server, path, None);
        let (rest, _) = client.peer.read_to_close();
        assert!(!rest.ends_with(b"0\r\n\r\n"), "a cut body must not look complete: {}", rest.escape_ascii());
        assert_eq!(metric(&server, "windlass_panics_total{place=\"handler\"}"), panics);
    }
}

#[test]
fn a_drain_ends_streams_with_a_retry_hint_that_varies() {
    let server = start(Router::new().route(event_stream("/e", |_, _| std::future::pending::<()>())));
    let clients: Vec<_> = (0..10).map(|_| Subscriber::subscribe(&server, "/e", None)).collect();
    let began = Instant::now();
    let report = server.drain(None);
    assert!(began.elapsed() < TIMEOUT && report.cut_total() == 0, "{report}");
    let times: std::collections::HashSet<_> =
        clients.into_iter().map(|mut client| client.retry_at_end()).collect();
    assert!(times.len() >= 8 && !times.contains(&None), "{times:?}");
}

#[test]
fn a_stream_without_events_sends_heartbeats() {
    let settings =
        Settings::new().heartbeat(Some(Duration::from_millis(50))).retry(Some(Duration::from_secs(7)));
    let fixture = StreamServer::serve(settings);
    let mut reading = Subscriber::subscribe(&fixture.server, "/e", None);
    assert_eq!(reading.next_with_comments(), Received::Retry(7000));
    assert_eq!(reading.next_with_comments(), Received::Comment);
    assert_eq!(reading.next_with_comments(), Received::Comment);
}

#[cfg(feature = "http2")]
#[test]
fn streams_of_one_http2_connection_are_independent() {
    use bytes::Bytes;
    use windlass::http::Method;

    use crate::h2::client::{Client as H2, request};

    let fixture = StreamServer::serve(Settings::new());
    let mut h2 = H2::connect(&fixture.server);
    let mut open = || {
        let (response, mut body) = h2.open(request(Method::GET, "/e"));
        body.send_data(Bytes::new(), true).unwrap();
        let mut stream = h2.wait(response).unwrap().into_body();
        assert_eq!(h2.wait(stream.data()).unwrap().unwrap(), ":\n\n");
        let client = fixture.client();
        *fixture.client.lock().unwrap() = None;
        (stream, client)
    };
    let ((mut one, client), (two, other)) = (open(), open());
    pollster::block_on(client.send(Event::new("hello"))).unwrap();
    assert_eq!(h2.wait(one.data()).unwrap().unwrap(), "data: hello\n\n");
    drop(two);
    eventually("the handler of the dropped stream is dropped", || fixture.ended.load(SeqCst) == 1);
    assert!(other.is_closed() && !client.is_closed());
    client.close();
    while let Some(last) = h2.wait(one.data()) {
        assert_eq!(last.unwrap(), "", "no data may precede the end");
    }
}
