//! How streams end: with their client, their handler, the server; always with Closed, never with a panic.

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

use super::{Kept, Seeing, Seen, eventually, metric, start};

#[test]
fn a_client_that_is_gone_cancels_its_handler_and_every_send_is_closed() {
    let kept = Kept::serve(Settings::new());
    let reading = Seeing::subscribe(&kept.server, "/e", None);
    let client = kept.client();
    assert_eq!(kept.ended.load(SeqCst), 0);
    let waiting = std::thread::spawn({
        let client = client.clone();
        move || pollster::block_on(client.closed())
    });
    drop(reading);
    eventually("the handler is dropped", || kept.ended.load(SeqCst) == 1);
    waiting.join().unwrap();
    assert!(client.is_closed());
    assert!(matches!(pollster::block_on(client.send(Event::new("late"))), Err(SendError::Closed)));
    client.close();
}

#[test]
fn senders_that_race_a_close_are_told_closed_or_were_in_time() {
    for round in 0..20 {
        let kept = Kept::serve(Settings::new().queue(round % 3));
        let mut reading = Seeing::subscribe(&kept.server, "/e", None);
        let client = kept.client();
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
            assert!(matches!(reading.next(), Seen::Event { .. }));
        }
        client.close();
        let mut received = 10;
        while reading.next() != Seen::End {
            received += 1;
        }
        let sent: usize = senders.into_iter().map(|sender| sender.join().unwrap()).sum();
        assert_eq!(received, sent, "what was taken has left");
    }
}

#[test]
fn a_handler_that_panics_cuts_its_stream_and_is_counted() {
    fn now(_: Request, _: Client) -> std::future::Ready<()> {
        panic!("expected by the test")
    }
    async fn later(_: Request, client: Client) {
        client.send(Event::new("one")).await.unwrap();
        panic!("expected by the test")
    }
    let server = start(Router::new().route(event_stream("/now", now)).route(event_stream("/later", later)));
    for (path, panics) in [("/now", 1.0), ("/later", 2.0)] {
        let mut client = Seeing::subscribe(&server, path, None);
        let (rest, _) = client.peer.end();
        assert!(!rest.ends_with(b"0\r\n\r\n"), "it does not look whole: {}", rest.escape_ascii());
        assert_eq!(metric(&server, "windlass_panics_total{place=\"handler\"}"), panics);
    }
}

#[test]
fn a_drain_ends_handlers_streams_and_tells_their_clients_when_to_come_back() {
    let server = start(Router::new().route(event_stream("/e", |_, _| std::future::pending::<()>())));
    let clients: Vec<_> = (0..10).map(|_| Seeing::subscribe(&server, "/e", None)).collect();
    let began = Instant::now();
    let report = server.drain(None);
    assert!(began.elapsed() < Duration::from_millis(1500) && report.cut_total() == 0, "{report}");
    let times: std::collections::HashSet<_> =
        clients.into_iter().map(|mut client| client.retry_at_end()).collect();
    assert!(times.len() >= 8 && !times.contains(&None), "{times:?}");
}

#[test]
fn a_silent_handler_has_its_heartbeat() {
    let settings =
        Settings::new().heartbeat(Some(Duration::from_millis(50))).retry(Some(Duration::from_secs(7)));
    let kept = Kept::serve(settings);
    let mut reading = Seeing::subscribe(&kept.server, "/e", None);
    assert_eq!(reading.next_with_comments(), Seen::Retry(7000));
    assert_eq!(reading.next_with_comments(), Seen::Comment);
    assert_eq!(reading.next_with_comments(), Seen::Comment);
}

#[cfg(feature = "http2")]
#[test]
fn streams_of_one_http2_connection_are_fed_and_end_by_themselves() {
    use bytes::Bytes;
    use windlass::http::Method;

    use crate::h2::client::{Client as H2, request};

    let kept = Kept::serve(Settings::new());
    let mut h2 = H2::connect(&kept.server);
    let mut open = || {
        let (response, mut body) = h2.open(request(Method::GET, "/e"));
        body.send_data(Bytes::new(), true).unwrap();
        let stream = h2.wait(response).unwrap().into_body();
        let client = kept.client();
        *kept.client.lock().unwrap() = None;
        (stream, client)
    };
    let ((mut one, client), (two, other)) = (open(), open());
    pollster::block_on(client.send(Event::new("hello"))).unwrap();
    assert_eq!(h2.wait(one.data()).unwrap().unwrap(), "data: hello\n\n");
    drop(two);
    eventually("its handler is dropped", || kept.ended.load(SeqCst) == 1);
    assert!(other.is_closed() && !client.is_closed());
    client.close();
    while let Some(last) = h2.wait(one.data()) {
        assert_eq!(last.unwrap(), "", "nothing but the end");
    }
}
