//! Counts allocations per broadcast: one for the message, regardless of the number of members.
//!
//! This is a separate test binary because it replaces the global allocator.
#![cfg(feature = "ws")]
#![allow(clippy::unwrap_used)]

mod counting;

use std::{
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use windlass::{
    Router, Server,
    actors::Cores,
    hub::{Hub, HubSettings, Membership},
    ws::{Delivery, Prepared, Source},
};

const MESSAGES: u64 = 200;

/// Broadcasts a message and waits until every member has received it.
fn broadcast(hub: &Hub, message: &Prepared, members: &mut [Membership]) {
    drop(hub.broadcast_prepared(message));
    let until = Instant::now() + Duration::from_secs(10);
    for member in members {
        let mut cx = Context::from_waker(Waker::noop());
        while !matches!(member.poll_next(&mut cx), Poll::Ready(Delivery::Message(_))) {
            assert!(Instant::now() < until, "a member did not receive the message in time");
            thread::yield_now();
        }
    }
}

/// Counts the allocations of `MESSAGES` broadcasts to this many members, after a warm-up that sizes the
/// mailboxes.
fn allocations(hub: &Hub, members: usize) -> u64 {
    let message = hub.prepare("x".repeat(100));
    let mut members: Vec<_> = (0..members).map(|_| hub.member(None).unwrap()).collect();
    (0..10).for_each(|_| broadcast(hub, &message, &mut members));
    let before = counting::allocations();
    (0..MESSAGES).for_each(|_| broadcast(hub, &message, &mut members));
    counting::allocations() - before
}

#[test]
fn allocations_per_broadcast_do_not_grow_with_members() {
    let hub = Hub::new(HubSettings::default());
    let builder = Server::builder().cores(Cores::Unpinned(2)).router(Router::new()).hub(&hub);
    let _server = builder.start().unwrap();
    // A relay's mailbox may grow once if the sender runs ahead of it.
    let expected = MESSAGES..=MESSAGES + MESSAGES / 10;
    for members in [50, 500] {
        let allocations = allocations(&hub, members);
        assert!(
            expected.contains(&allocations),
            "{allocations} allocations for {members} members, expected {expected:?}"
        );
    }
}
