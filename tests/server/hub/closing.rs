//! Closing a hub: no new members, delivery of pending broadcasts, Close frames, and stuck members.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use windlass::{
    hub::{BroadcastError, Hub, HubError, HubSettings, Membership},
    ws::{Delivery, Source},
};

use super::{LONG, confirmed, deliveries, join, read, serve};
use crate::{
    common::{ENDLESS, eventually},
    ws::peer::{CLOSE, TEXT, close, read_text},
};

fn poll(membership: &mut Membership) -> Poll<Delivery> {
    membership.poll_next(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn closing_delivers_pending_broadcasts_before_the_close_frames() {
    let (server, hub) = serve(HubSettings::default());
    let mut members: Vec<_> = (0..4).map(|n| join(&server, &hub, &n.to_string())).collect();
    for n in 0..30 {
        drop(hub.broadcast(n.to_string()));
    }
    let closing = thread::spawn({
        let hub = hub.clone();
        move || pollster::block_on(hub.close(LONG))
    });
    for member in &mut members {
        for n in 0..30 {
            assert_eq!(read_text(member), n.to_string());
        }
        assert_eq!(read(member), (CLOSE, b"\x03\xe9the hub is closed".to_vec()));
        member.send(close(1001));
    }
    assert_eq!((closing.join().unwrap(), hub.len()), (0, 0));
    assert_eq!(hub.member(None).unwrap_err(), HubError::Closed);
    let late = confirmed(&hub.broadcast("late"));
    assert_eq!((late.accepted, late.first_error), (0, Some(BroadcastError::Closed)));
    assert_eq!(pollster::block_on(hub.close(LONG)), 0, "closing again must do nothing");
}

#[test]
fn a_stuck_member_delays_close_until_its_deadline_and_no_other_member() {
    let (server, hub) = serve(HubSettings::default());
    let mut polite = join(&server, &hub, "polite");
    let mut stuck = hub.member(None).unwrap();
    let closing = thread::spawn({
        let hub = hub.clone();
        move || pollster::block_on(hub.close(ENDLESS))
    });
    assert_eq!(read(&mut polite).0, CLOSE);
    assert!(!closing.is_finished(), "the hub must wait for the stuck member");
    assert!(matches!(poll(&mut stuck), Poll::Ready(Delivery::Close(..))));
    polite.send(close(1001));
    drop(stuck);
    assert_eq!((closing.join().unwrap(), hub.len()), (0, 0));
    drop(server);

    let (server, hub) = serve(HubSettings::default());
    let _stuck = hub.member(None).unwrap();
    let began = Instant::now();
    let left = pollster::block_on(hub.close(Duration::from_millis(400)));
    assert_eq!(left, 1, "one member must be left at the deadline");
    assert!(began.elapsed() >= Duration::from_millis(400));
    assert_eq!(hub.len(), 0);
    drop(server);
}

#[test]
fn register_broadcast_unregister_and_close_may_race() {
    const THREADS: usize = 32;
    const ROUNDS: usize = 50;
    let (server, hub) = serve(HubSettings::default());
    let closed = Arc::new(AtomicBool::new(false));
    let racers: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (hub, closed) = (hub.clone(), closed.clone());
            thread::spawn(move || (0..ROUNDS).for_each(|round| race(&hub, &closed, thread, round)))
        })
        .collect();
    racers.into_iter().for_each(|racer| racer.join().unwrap());
    assert!(closed.load(SeqCst));
    eventually("no member is left", || hub.is_empty());
    assert_eq!(pollster::block_on(hub.close(LONG)), 0);
    let stats = hub.stats();
    assert_eq!((stats.dropped, stats.removed), (0, 0), "{stats:?}");
    drop(server);
}

/// Registers, broadcasts, reads the pending deliveries, and unregisters. Thread 0 closes the hub in its 41st
/// round.
fn race(hub: &Hub, closed: &AtomicBool, thread: usize, round: usize) {
    if thread == 0 && round == 40 {
        pollster::block_on(hub.close(Duration::ZERO));
        closed.store(true, SeqCst);
    }
    let mut membership = match hub.member(None) {
        Ok(membership) => membership,
        Err(error) => return assert_eq!(error, HubError::Closed),
    };
    let was_closed = closed.load(SeqCst);
    let sent = confirmed(&hub.broadcast(format!("{thread} {round}")));
    match sent.first_error {
        None => assert!(!was_closed || sent.accepted == 0),
        Some(BroadcastError::Closed) => assert_eq!(sent.accepted, 0),
        // Other threads do not read while they wait for their own confirmation.
        Some(BroadcastError::Full(..)) => {}
        Some(error) => panic!("{error}"),
    }
    while let Poll::Ready(delivery) = poll(&mut membership) {
        match delivery {
            Delivery::Message(message) => assert!(!message.is_empty()),
            Delivery::Close(..) | Delivery::End => break,
            other => panic!("{other:?}"),
        }
    }
    let member = membership.member();
    member.unregister();
    assert!(matches!(poll(&mut membership), Poll::Ready(Delivery::End)));
    drop(membership);
    member.unregister();
}

#[test]
fn a_drain_closes_the_sockets_of_members() {
    let (server, hub) = serve(HubSettings::default());
    let mut member = join(&server, &hub, "a");
    assert_eq!(deliveries(&hub.broadcast("last")), 1);
    let draining = thread::spawn(move || server.drain(None));
    assert_eq!(read(&mut member), (TEXT, b"last".to_vec()));
    assert_eq!(read(&mut member), (CLOSE, b"\x03\xe9the server is stopping".to_vec()));
    member.send(close(1001));
    let report = draining.join().unwrap();
    assert_eq!(report.cut_total(), 0, "{report}");
    assert_eq!(hub.member(None).unwrap_err(), HubError::Closed);
}
