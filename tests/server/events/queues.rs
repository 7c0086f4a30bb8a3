//! A client that does not read, under each policy of its queue.

use std::time::{Duration, Instant};

use windlass::{
    broker::Event,
    sse::{Client, SendError, Settings, WhenFull},
};

use super::{Kept, Seeing, Seen, connect, eventually, metric, text};

/// Events of this many bytes fill a socket soon.
const BYTES: usize = 4000;

fn stalled(kept: &Kept) -> Seeing {
    let peer = connect(&kept.server);
    peer.set_receive_buffer(8 * 1024);
    Seeing::over(peer, "/e", None)
}

fn event(n: u64) -> Event {
    Event::new(format!("{n} {}", "x".repeat(BYTES)))
}

fn send(client: &Client, n: u64) -> Result<(), SendError> {
    pollster::block_on(client.send(event(n)))
}

/// Sends until `struck`; returns how many sends were fine.
fn send_until(client: &Client, mut struck: impl FnMut(&Client, &Result<(), SendError>) -> bool) -> u64 {
    let until = Instant::now() + Duration::from_secs(10);
    for n in 0.. {
        let sent = send(client, n);
        if struck(client, &sent) {
            return n;
        }
        assert!(Instant::now() < until, "never full");
    }
    unreachable!()
}

/// Sends, slowly enough for the connection to take what it can, until this many were dropped: nothing moves any more.
fn fill(client: &Client, dropped: u64, event: impl Fn(u64) -> Event) -> u64 {
    let mut sent = 0;
    eventually("the queue is full", || {
        pollster::block_on(client.send(event(sent))).unwrap();
        sent += 1;
        client.dropped() == dropped
    });
    sent
}

fn number(seen: &Seen) -> u64 {
    text(seen).split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn drop_loses_events_counts_them_and_says_that_all_is_well() {
    let kept = Kept::serve(Settings::new().queue(8).when_full(WhenFull::Drop));
    let mut reading = stalled(&kept);
    let client = kept.client();
    let sent = fill(&client, 50, event);
    assert_eq!(client.depth(), 8);
    assert_eq!(metric(&kept.server, "windlass_sse_overflows_total{policy=\"drop\"}"), 50.0);
    client.close();
    let mut received = Vec::new();
    loop {
        match reading.next() {
            Seen::End => break,
            seen => received.push(number(&seen)),
        }
    }
    assert!(received.is_sorted());
    assert_eq!(received.len() as u64 + client.dropped(), sent, "received and dropped is what was sent");
}

#[test]
fn close_ends_the_stream_behind_what_was_queued() {
    let kept = Kept::serve(Settings::new().queue(8).when_full(WhenFull::Close));
    let mut reading = stalled(&kept);
    let client = kept.client();
    let sent = send_until(&client, |_, sent| matches!(sent, Err(SendError::Closed)));
    assert!(client.is_closed() && matches!(send(&client, 0), Err(SendError::Closed)));
    for n in 0..sent {
        assert_eq!(number(&reading.next()), n);
    }
    assert_eq!(reading.next(), Seen::End);
    assert_eq!(metric(&kept.server, "windlass_sse_overflows_total{policy=\"close\"}"), 1.0);
}

#[test]
fn block_waits_for_room_and_loses_nothing_whatever_the_depth() {
    for depth in [0, 1, 8] {
        let kept = Kept::serve(Settings::new().queue(depth).when_full(WhenFull::Block));
        let mut reading = stalled(&kept);
        let client = kept.client();
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
fn bytes_bound_a_queue_too_and_an_empty_one_takes_any_event() {
    let kept = Kept::serve(Settings::new().queue(1000).queue_bytes(3 * BYTES).when_full(WhenFull::Drop));
    let mut reading = stalled(&kept);
    let client = kept.client();
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
fn a_callback_chooses_event_by_event_and_its_panic_drops() {
    let settings =
        Settings::new().queue(4).when_full_by(|event| match event.name().map(|name| name.as_ref()) {
            Some(b"loss") => WhenFull::Drop,
            Some(b"panic") => panic!("expected by the test"),
            _ => WhenFull::Close,
        });
    let kept = Kept::serve(settings);
    let _reading = stalled(&kept);
    let client = kept.client();
    let event = |name: &str| event(0).named(name.to_owned()).unwrap();
    let named = |name: &str| pollster::block_on(client.send(event(name)));
    fill(&client, 30, |_| event("loss"));
    named("panic").unwrap();
    assert_eq!((client.dropped(), client.is_closed()), (31, false));
    assert!(matches!(named("else"), Err(SendError::Closed)));
}
