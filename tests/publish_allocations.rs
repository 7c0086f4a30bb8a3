//! Counts allocations per published event: two, regardless of the number of subscribers.
//!
//! This is a separate test binary because it replaces the global allocator.
#![allow(clippy::unwrap_used)]

mod counting;

use std::{
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use windlass::actors::{
    Cores, Host, System,
    fanout::{Bounds, Delivery, Fanout, Overflow, Subscription, Topic},
};

const EVENTS: u64 = 200;

/// Publishes an event and waits until every subscriber has received it.
fn publish(topic: &Topic<Vec<u8>>, subscriptions: &mut [Subscription<Vec<u8>>]) {
    drop(topic.publish(|_| vec![0; 100]).unwrap());
    let until = Instant::now() + Duration::from_secs(10);
    for subscription in subscriptions {
        let mut cx = Context::from_waker(Waker::noop());
        while !matches!(subscription.poll_next(&mut cx), Poll::Ready(Delivery::Event(_))) {
            assert!(Instant::now() < until, "a subscriber did not receive the event in time");
            thread::yield_now();
        }
    }
}

/// Counts the allocations of `EVENTS` events to this many subscribers, after a warm-up that sizes the queues.
fn allocations(fanout: &Fanout<Vec<u8>>, subscribers: usize) -> u64 {
    let topic = fanout.topic(Bounds::default(), Overflow::Close);
    let mut subscriptions: Vec<_> = (0..subscribers).map(|_| topic.subscribe().unwrap()).collect();
    (0..10).for_each(|_| publish(&topic, &mut subscriptions));
    let before = counting::allocations();
    (0..EVENTS).for_each(|_| publish(&topic, &mut subscriptions));
    counting::allocations() - before
}

#[test]
fn allocations_per_event_do_not_grow_with_subscribers() {
    let system = System::builder().host(Host::Tokio).cores(Cores::Unpinned(2)).start().unwrap();
    let fanout = Fanout::start(&system).unwrap();
    // Two per event: the payload and the shared event around it. A relay's mailbox may also grow once if the
    // publisher runs ahead of it.
    let expected = 2 * EVENTS..=2 * EVENTS + EVENTS / 10;
    for subscribers in [50, 500] {
        let allocations = allocations(&fanout, subscribers);
        assert!(
            expected.contains(&allocations),
            "{allocations} allocations for {subscribers} subscribers, expected {expected:?}"
        );
    }
}
