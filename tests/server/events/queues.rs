//! Event streams whose client does not read, under each policy of a full queue.

use std::time::Instant;

use windlass::{
    broker::Event,
    sse::{Client, Overflow, SendError, Settings},
};

use super::{Received, StreamServer, Subscriber, connect, eventually, metric, text};
use crate::common::TIMEOUT;

/// Size of an event; a few of them fill the socket buffers.
const BYTES: usize = 4000;

fn subscribe_without_reading(fixture: &StreamServer) -> Subscriber {
    let peer = connect(&fixture.server);
    peer.set_receive_buffer(8 * 1024);
    Subscriber::from_peer(peer, "/e", None)
}

fn event(n: u64) -> Event {
    Event::new(format!("{n} {}", "x".repeat(BYTES)))
}

fn send(client: &Client, n: u64) -> Result<(), SendError> {
    pollster::block_on(client.send(event(n)))
}

/// Sends until the condition holds. Returns the number of sends before that.
fn send_until(client: &Client, mut done: impl FnMut(&Client, &Result<(), SendError>) -> bool) -> u64 {
    let until = Instant::now() + TIMEOUT;
    for n in 0.. {
        let sent = send(client, n);
        if done(client, &sent) {
            return n;
        }
        assert!(Instant::now() < until, "the queue did not fill up in time");
    }
    unreachable!()
}

/// Sends until exactly this many events were dropped, so that socket and queue stay full. Returns the number
/// of sends.
fn fill(client: &Client, dropped: u64, event: impl Fn(u64) -> Event) -> u64 {
    let mut sent = 0;
    eventually("the queue is full", || {
        pollster::block_on(client.send(event(sent))).unwrap();
        sent += 1;
        client.dropped() == dropped
    });
    sent
}

fn number(seen: &Received) -> u64 {
    text(seen).split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn drop_loses_and_counts_events_and_the_send_succeeds() {
    let fixture = StreamServer::serve(Settings::new().queue(8).overflow(Overflow::Drop));
    let mut reading = subscribe_without_reading(&fixture);
    let client = fixture.client();
    let sent = fill(&client, 50, event);
    assert_eq!(client.depth(), 8);
    assert_eq!(metric(&fixture.server, "windlass_sse_overflows_total{policy=\"drop\"}"), 50.0);
    client.close();
    let mut received = Vec::new();
    loop {
        match reading.next() {
            Received::End => break,
            seen => received.push(number(&seen)),
        }
    }
    assert!(received.is_sorted());
    assert_eq!(received.len() as u64 + client.dropped(), sent, "received and dropped is what was sent");
}

#[test]
fn close_ends_the_stream_after_the_queued_events() {
    let fixture = StreamServer::serve(Settings::new().queue(8).overflow(Overflow::Close));
    let mut reading = subscribe_without_reading(&fixture);
    let client = fixture.client();
    let sent = send_until(&client, |_, sent| matches!(sent, Err(SendError::Closed)));
    assert!(client.is_closed() && matches!(send(&client, 0), Err(SendError::Closed)));
    for n in 0..sent {
        assert_eq!(number(&reading.next()), n);
    }
    assert_eq!(reading.next(), Received::End);
    assert_eq!(metric(&fixture.server, "windlass_sse_overflows_total{policy=\"close\"}"), 1.0);
}

#[test]
fn block_waits_for_room_and_loses_nothing_at_any_depth() {
    for depth in [0, 1, 8] {
        let fixture = StreamServer::serve(Settings::new().queue(depth).overflow(Overflow::Block));
        let mut reading = subscribe_without_reading(&fixture);
        let client = fixture.client();
        let sender = std::thread::spawn({
            let client = client.clone();
            move || (0..80).for_each(|n| send(&client, n).unwrap())
        });
        eventually("the queue is full", || client.depth() == depth.max(1));
        for n in 0..80 {
            assert_eq!(number(&reading.next()), n);
        }
        sender.join().unwrap();
        assert_eq!(client.dropped(), 0);
    }
}

#[test]
fn bytes_bound_a_queue_but_an_empty_one_takes_any_event() {
    let fixture =
        StreamServer::serve(Settings::new().queue(1000).queue_bytes(3 * BYTES).overflow(Overflow::Drop));
    let mut reading = subscribe_without_reading(&fixture);
    let client = fixture.client();
    fill(&client, 30, event);
    assert_eq!(client.depth(), 2);
    while client.depth() > 0 {
        reading.next();
    }
    let large = Event::new("9 ".to_owned() + &"y".repeat(10 * BYTES));
    pollster::block_on(client.send(large)).unwrap();
    assert_eq!(client.dropped(), 30);
    while number(&reading.next()) != 9 {}
}

#[test]
fn a_callback_chooses_the_policy_per_event_and_its_panic_drops_the_event() {
    let settings =
        Settings::new().queue(4).overflow_by(|event| match event.name().map(|name| name.as_ref()) {
            Some(b"loss") => Overflow::Drop,
            Some(b"panic") => panic!("deliberate panic of the test"),
            _ => Overflow::Close,
        });
    let fixture = StreamServer::serve(settings);
    let _reading = subscribe_without_reading(&fixture);
    let client = fixture.client();
    let event = |name: &str| event(0).named(name.to_owned()).unwrap();
    let named = |name: &str| pollster::block_on(client.send(event(name)));
    fill(&client, 30, |_| event("loss"));
    named("panic").unwrap();
    assert_eq!((client.dropped(), client.is_closed()), (31, false));
    assert!(matches!(named("else"), Err(SendError::Closed)));
}
