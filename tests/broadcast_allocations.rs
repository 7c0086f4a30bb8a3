//! What broadcasting costs the allocator: the event, however many members there are.
//!
//! A binary of its own, since it replaces the allocator.
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

/// Broadcasts a message and waits until each member has it.
fn broadcast(hub: &Hub, message: &Prepared, members: &mut [Membership]) {
    drop(hub.broadcast_prepared(message));
    let until = Instant::now() + Duration::from_secs(10);
    for member in members {
        let mut cx = Context::from_waker(Waker::noop());
        while !matches!(member.poll_next(&mut cx), Poll::Ready(Delivery::Message(_))) {
            assert!(Instant::now() < until, "the message did not come");
            thread::yield_now();
        }
    }
}

/// Counts the allocations of so many messages to so many members, once mailboxes have their memory.
fn allocations(hub: &Hub, members: usize) -> u64 {
    let message = hub.prepare("x".repeat(100));
    let mut members: Vec<_> = (0..members).map(|_| hub.member(None).unwrap()).collect();
    (0..10).for_each(|_| broadcast(hub, &message, &mut members));
    let before = counting::allocations();
    (0..MESSAGES).for_each(|_| broadcast(hub, &message, &mut members));
    counting::allocations() - before
}

#[test]
fn broadcasting_allocates_the_event_however_many_members_there_are() {
    let hub = Hub::new(HubSettings::default());
    let builder = Server::builder().cores(Cores::Unpinned(2)).router(Router::new()).hub(&hub);
    let _server = builder.start().unwrap();
    // Where a sender is a little ahead of a relay, its mailbox grows once.
    let expected = MESSAGES..=MESSAGES + MESSAGES / 10;
    for members in [50, 500] {
        let allocations = allocations(&hub, members);
        assert!(expected.contains(&allocations), "{allocations} for {members} members");
    }
}
