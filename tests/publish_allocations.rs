//! What publishing costs the allocator: the event, however many subscribers there are.
//!
//! A binary of its own, since it replaces the allocator.
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

/// Publishes an event and waits until each subscriber has it.
fn publish(topic: &Topic<Vec<u8>>, subscriptions: &mut [Subscription<Vec<u8>>]) {
    drop(topic.publish(|_| vec![0; 100]).unwrap());
    let until = Instant::now() + Duration::from_secs(10);
    for subscription in subscriptions {
        let mut cx = Context::from_waker(Waker::noop());
        while !matches!(subscription.poll_next(&mut cx), Poll::Ready(Delivery::Event(_))) {
            assert!(Instant::now() < until, "the event did not come");
            thread::yield_now();
        }
    }
}

/// Counts the allocations of so many events for so many subscribers, once queues have their memory.
fn allocations(fanout: &Fanout<Vec<u8>>, subscribers: usize) -> u64 {
    let topic = fanout.topic(Bounds::default(), Overflow::Close);
    let mut subscriptions: Vec<_> = (0..subscribers).map(|_| topic.subscribe().unwrap()).collect();
    (0..10).for_each(|_| publish(&topic, &mut subscriptions));
    let before = counting::allocations();
    (0..EVENTS).for_each(|_| publish(&topic, &mut subscriptions));
    counting::allocations() - before
}

#[test]
fn publishing_allocates_the_event_however_many_subscribers_there_are() {
    let system = System::builder().host(Host::Tokio).cores(Cores::Unpinned(2)).start().unwrap();
    let fanout = Fanout::start(&system).unwrap();
    // The payload, and the event around it; and where a publisher is a little ahead of a relay, its mailbox grows once.
    let expected = 2 * EVENTS..=2 * EVENTS + EVENTS / 10;
    for subscribers in [50, 500] {
        let allocations = allocations(&fanout, subscribers);
        assert!(expected.contains(&allocations), "{allocations} for {subscribers} subscribers");
    }
}
