//! Delivery of one event to many subscribers: order, bounds, policies, history, closing.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

#[path = "../common/mod.rs"]
mod common;
mod filters;
mod interests;
mod outlets;
mod policies;
mod unnumbered;

use std::{
    collections::HashSet,
    sync::Arc,
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use common::{LONG, eventually, hosts, system};
use windlass_actors::{
    Flow, Host, Placement, Reply, SpawnOptions, System, Undelivered,
    fanout::{
        Bounds, Delivery, Fanout, Gap, Interest, Overflow, SubscribeOptions, Subscription, Topic, TopicError,
    },
};

type Bytes = Vec<u8>;

fn bounds(events: usize, bytes: usize) -> Bounds {
    Bounds { events, bytes }
}

fn fanout(shards: usize) -> (System, Fanout<Bytes>) {
    let system = system(Host::Tokio, shards);
    let fanout = Fanout::start(&system).unwrap();
    (system, fanout)
}

/// Publishes `count` events of `bytes` bytes, and waits until each was delivered.
fn publish(topic: &Topic<Bytes>, count: usize, bytes: usize) {
    for _ in 0..count {
        let receipt = topic.publish(|_| vec![0; bytes]).unwrap();
        assert_eq!(pollster::block_on(receipt.delivery_report(LONG)).shards_pending, 0);
    }
}

/// Takes all waiting deliveries.
fn take(subscription: &mut Subscription<Bytes>) -> Vec<Delivery<Bytes>> {
    let mut taken = Vec::new();
    while let Poll::Ready(next) = subscription.poll_next(&mut Context::from_waker(Waker::noop())) {
        let over = matches!(next, Delivery::Removed | Delivery::Closed);
        taken.push(next);
        if over {
            break;
        }
    }
    taken
}

/// Describes deliveries as text: `3`, `gap 4-6`, `removed`, `closed`.
fn describe(deliveries: &[Delivery<Bytes>]) -> String {
    let word = |delivery: &Delivery<Bytes>| match delivery {
        Delivery::Event(event) => event.seq().to_string(),
        Delivery::Gap(Gap { from, to }) => format!("gap {from}-{to}"),
        Delivery::Removed => "removed".to_owned(),
        Delivery::Closed => "closed".to_owned(),
    };
    deliveries.iter().map(word).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_subscriber_of_every_shard_gets_all_events_in_order() {
    const EVENTS: u64 = 2000;
    for host in hosts() {
        let system = system(host, 2);
        let fanout = Fanout::<Bytes>::start(&system).unwrap();
        let topic = fanout.topic(bounds(EVENTS as usize, usize::MAX), Overflow::Close);
        let readers: Vec<_> = (0..20).map(|index| reader(&system, index % 2, &topic, EVENTS)).collect();
        eventually("all have subscribed", || topic.subscribers() == 20);
        let publishers: Vec<_> = (0..2_u8)
            .map(|number| {
                let topic = topic.clone();
                thread::spawn(move || {
                    for _ in 0..EVENTS / 2 {
                        drop(topic.publish(|seq| [&[number], &seq.to_be_bytes()[..]].concat()).unwrap());
                    }
                })
            })
            .collect();
        publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
        for reader in readers {
            assert_eq!(reader.ask_blocking(|reply| reply, LONG).unwrap(), EVENTS);
        }
        let stats = topic.stats();
        assert_eq!((stats.published, stats.delivered, stats.dropped), (EVENTS, EVENTS * 20, 0));
        system.stop(Undelivered::Drain);
        assert!(system.join(LONG).is_clean());
    }
}

/// Spawns an actor that subscribes on its shard. When asked, it reads `events` events and checks their order.
fn reader(
    system: &System,
    shard: usize,
    topic: &Topic<Bytes>,
    events: u64,
) -> windlass_actors::Addr<Reply<u64>> {
    struct Reader {
        topic: Topic<Bytes>,
        subscription: Option<Subscription<Bytes>>,
        events: u64,
    }
    impl windlass_actors::Actor for Reader {
        type Msg = Reply<u64>;
        async fn started(&mut self, _: &mut windlass_actors::Context<Reply<u64>>) -> Flow {
            self.subscription = Some(self.topic.subscribe().unwrap());
            Flow::Continue
        }
        async fn handle(&mut self, reply: Reply<u64>, _: &mut windlass_actors::Context<Reply<u64>>) -> Flow {
            let mut read = 0;
            while read < self.events {
                match self.subscription.as_mut().unwrap().next().await {
                    Delivery::Event(event) if event.seq() == read + 1 => {
                        assert_eq!(event.payload()[1..], event.seq().to_be_bytes());
                        read += 1;
                    }
                    other => panic!("{other:?} after {read}"),
                }
            }
            reply.send(read);
            Flow::Continue
        }
    }
    let topic = topic.clone();
    let factory = move || Reader { topic: topic.clone(), subscription: None, events };
    system.spawn(Placement::Shard(shard), SpawnOptions::named("reader"), factory).unwrap()
}

#[test]
fn a_full_queue_drops_events_and_delivers_a_gap_after_its_contents() {
    let (_system, fanout) = fanout(1);
    let topic = fanout.topic(bounds(3, 1000), Overflow::Drop);
    let mut slow = topic.subscribe().unwrap();
    publish(&topic, 5, 1);
    assert_eq!(describe(&take(&mut slow)), "1 2 3 gap 4-5");
    assert!(
        slow.poll_next(&mut Context::from_waker(Waker::noop())).is_pending(),
        "the gap is delivered once"
    );
    publish(&topic, 4, 1);
    assert!(matches!(
        slow.poll_next(&mut Context::from_waker(Waker::noop())),
        Poll::Ready(Delivery::Event(_))
    ));
    publish(&topic, 1, 1);
    assert_eq!(describe(&take(&mut slow)), "7 8 gap 9-9 10");
    let stats = topic.stats();
    assert_eq!((stats.published, stats.delivered, stats.dropped, stats.subscribers), (10, 7, 3, 1));
}

#[test]
fn a_subscription_rests_only_for_the_task_that_the_next_event_wakes() {
    let (_system, fanout) = fanout(1);
    let topic = fanout.topic(bounds(10, 1000), Overflow::Drop);
    let mut subscription = topic.subscribe().unwrap();
    let (one, other) = (Waker::from(Arc::new(Woken)), Waker::from(Arc::new(Woken)));
    let mut rests = |waker: &Waker| {
        let polled = subscription.poll_next(&mut Context::from_waker(waker));
        (polled.is_ready(), subscription.rests())
    };
    publish(&topic, 1, 1);
    assert_eq!(rests(&one), (true, false), "no task waits yet");
    assert!(!rests(&one).0);
    publish(&topic, 2, 1);
    assert_eq!((rests(&one), rests(&one)), ((true, false), (true, true)));
    publish(&topic, 1, 1);
    assert_eq!(rests(&other), (true, false), "the next event would wake the other task");
    pollster::block_on(topic.close());
    eventually("the end after a rest is delivered", || rests(&other).0);
}

#[test]
fn a_subscription_rests_after_a_gap_and_not_before_it() {
    let (_system, fanout) = fanout(1);
    let topic = fanout.topic(bounds(1, 1000), Overflow::Drop);
    let mut subscription = topic.subscribe().unwrap();
    let waker = Waker::from(Arc::new(Woken));
    let mut next = || {
        let polled =
            subscription.poll_next(&mut Context::from_waker(&waker)).map(|delivery| describe(&[delivery]));
        (polled, subscription.rests())
    };
    assert!(next().0.is_pending());
    publish(&topic, 2, 1);
    assert_eq!(next(), (Poll::Ready("1".to_owned()), false));
    assert_eq!(next(), (Poll::Ready("gap 2-2".to_owned()), true));
}

/// Waker that does nothing.
struct Woken;

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn a_queue_is_bounded_in_bytes_and_an_empty_one_accepts_any_event() {
    let (_system, fanout) = fanout(1);
    let topic = fanout.topic(bounds(100, 1000), Overflow::Drop);
    let mut slow = topic.subscribe().unwrap();
    publish(&topic, 3, 400);
    assert_eq!(describe(&take(&mut slow)), "1 2 gap 3-3");
    publish(&topic, 2, 5000);
    assert_eq!(describe(&take(&mut slow)), "4 gap 5-5");
}

#[test]
fn a_full_queue_removes_or_closes_only_its_subscriber() {
    let (_system, fanout) = fanout(1);
    for (overflow, end) in [(Overflow::Remove, "removed"), (Overflow::Close, "closed")] {
        let topic = fanout.topic(bounds(2, 1000), Overflow::Drop);
        let mut slow = topic.subscribe_with(SubscribeOptions::new(bounds(2, 1000), overflow)).unwrap();
        let mut roomy = topic.subscribe_with(SubscribeOptions::new(bounds(100, 1000), overflow)).unwrap();
        publish(&topic, 2, 1);
        let receipt = topic.publish(|_| vec![0]).unwrap();
        assert_eq!(receipt.subscribers(), 2);
        let report = pollster::block_on(receipt.delivery_report(LONG));
        assert_eq!((report.delivered, report.removed + report.closed, report.dropped), (1, 1, 0));
        assert_eq!(topic.subscribers(), 1, "the slow subscriber was unregistered before the report");
        publish(&topic, 1, 1);
        assert_eq!(describe(&take(&mut slow)), format!("1 2 gap 3-3 {end}"));
        assert_eq!(describe(&take(&mut roomy)), "1 2 3 4");
        drop(slow);
        assert_eq!(topic.subscribers(), 1, "the slow subscriber was unregistered once");
    }
}

#[test]
fn a_subscriber_that_reads_history_loses_nothing_meanwhile() {
    let (_system, fanout) = fanout(1);
    let topic = fanout.topic(bounds(3, 1000), Overflow::Close);
    drop(topic.publish_with_seq(10, Bytes::new()).unwrap());
    let mut reader = topic
        .subscribe_catching_up(Interest::all(), SubscribeOptions::new(bounds(3, 1000), Overflow::Close))
        .unwrap();
    assert_eq!(reader.start(), 10);
    publish(&topic, 2, 1);
    // The reader has read the history up to 11, and 12 waits in its queue.
    assert_eq!(topic.stats().lagging, 1);
    assert!(reader.caught_up(11));
    assert_eq!(describe(&take(&mut reader)), "12");
    drop(reader);

    let mut slow = topic
        .subscribe_catching_up(Interest::all(), SubscribeOptions::new(bounds(3, 1000), Overflow::Close))
        .unwrap();
    publish(&topic, 4, 1);
    assert!(!slow.caught_up(12), "the queue was overrun");
    assert_eq!(topic.stats().lagging, 0, "an emptied queue does not lag");
    publish(&topic, 1, 1);
    assert!(slow.caught_up(16));
    assert_eq!(describe(&take(&mut slow)), "17");
    publish(&topic, 3, 1);
    publish(&topic, 1, 1);
    assert_eq!(
        describe(&take(&mut slow)),
        "18 19 20 gap 21-21 closed",
        "the policy applies after the history"
    );
}

#[test]
fn a_full_relay_is_a_gap_for_its_subscribers() {
    let system = system(Host::Tokio, 1);
    let fanout = Fanout::<Bytes>::with_mailbox(&system, 4).unwrap();
    let topic = fanout.topic(bounds(1000, 100_000), Overflow::Drop);
    let mut subscription = topic.subscribe().unwrap();
    publish(&topic, 1, 1);
    // The shard is blocked while 20 events are published. Its relay accepts 4 of them.
    let release = block_shard(&system);
    let receipts: Vec<_> = (0..20).map(|_| topic.publish(|_| vec![0]).unwrap()).collect();
    release.wait();
    assert_eq!(pollster::block_on(receipts[19].delivery_report(LONG)).shards_full, 1);
    eventually("the relay has delivered", || topic.stats().delivered == 5);
    publish(&topic, 1, 1);
    assert_eq!(describe(&take(&mut subscription)), "1 2 3 4 5 gap 6-21 22");
    assert_eq!(topic.stats().relay_rejected, 16);
}

/// Blocks the first shard until the returned barrier is passed.
fn block_shard(system: &System) -> Arc<std::sync::Barrier> {
    let (held, release) = (Arc::new(std::sync::Barrier::new(2)), Arc::new(std::sync::Barrier::new(2)));
    let gate = (held.clone(), release.clone());
    let blocker =
        system.spawn(Placement::Shard(0), SpawnOptions::named("blocker"), move || Blocker(gate.clone()));
    blocker.unwrap().try_tell(()).unwrap();
    held.wait();
    release
}

/// Actor that blocks its shard between two barriers.
struct Blocker((Arc<std::sync::Barrier>, Arc<std::sync::Barrier>));

impl windlass_actors::Actor for Blocker {
    type Msg = ();
    async fn handle(&mut self, (): (), _: &mut windlass_actors::Context<()>) -> Flow {
        self.0.0.wait();
        self.0.1.wait();
        Flow::Continue
    }
}

#[test]
fn a_subscriber_gets_no_gap_for_events_before_its_subscription() {
    let system = system(Host::Tokio, 1);
    let fanout = Fanout::<Bytes>::with_mailbox(&system, 4).unwrap();
    let topic = fanout.topic(bounds(1000, 100_000), Overflow::Close);
    let _first = topic.subscribe_with(SubscribeOptions::new(bounds(1000, 100_000), Overflow::Drop)).unwrap();
    publish(&topic, 1, 1);
    let release = block_shard(&system);
    let receipts: Vec<_> = (0..20).map(|_| topic.publish(|_| vec![0]).unwrap()).collect();
    release.wait();
    assert_eq!(pollster::block_on(receipts[19].delivery_report(LONG)).shards_full, 1);
    eventually("the relay has delivered", || topic.stats().delivered == 5);
    let mut late = topic.subscribe().unwrap();
    assert_eq!(late.start(), 21);
    publish(&topic, 1, 1);
    assert_eq!(describe(&take(&mut late)), "22");
}

#[test]
fn a_relay_that_panics_closes_its_subscribers() {
    /// Payload that panics when the relay asks for its weight.
    struct Heavy;
    impl windlass_actors::fanout::Payload for Heavy {
        fn weight(&self) -> usize {
            panic!("expected by the test")
        }
    }
    let system = system(Host::Tokio, 1);
    let topic = Fanout::<Heavy>::start(&system).unwrap().topic(Bounds::default(), Overflow::Drop);
    let mut subscription = topic.subscribe().unwrap();
    drop(topic.publish(|_| Heavy).unwrap());
    assert!(matches!(pollster::block_on(subscription.next()), Delivery::Closed));
}

#[test]
fn a_closed_topic_closes_its_subscribers_after_their_queues() {
    let (_system, fanout) = fanout(2);
    let topic = fanout.topic(Bounds::default(), Overflow::Drop);
    let mut subscription = topic.subscribe().unwrap();
    publish(&topic, 2, 1);
    pollster::block_on(topic.close());
    pollster::block_on(topic.close());
    eventually("no subscriber is registered", || topic.subscribers() == 0);
    assert_eq!(describe(&take(&mut subscription)), "1 2 closed");
    assert_eq!(topic.subscribe().unwrap_err(), TopicError::Closed);
    assert_eq!(topic.publish(|_| vec![]).unwrap_err(), TopicError::Closed);
}

#[test]
fn a_receipt_without_subscribers_is_complete_and_a_waiting_one_times_out() {
    let (system, fanout) = fanout(1);
    let topic = fanout.topic(Bounds::default(), Overflow::Drop);
    let receipt = topic.publish(|_| vec![1]).unwrap();
    assert_eq!((receipt.seq(), receipt.subscribers()), (1, 0));
    assert_eq!(pollster::block_on(receipt.delivery_report(LONG)).shards_pending, 0);

    let _subscription = topic.subscribe().unwrap();
    publish(&topic, 1, 1);
    system.stop(Undelivered::Discard);
    let _ = system.join(LONG);
    // The relay has exited and accepts nothing any more.
    let receipt = topic.publish(|_| vec![1]).unwrap();
    assert_eq!(pollster::block_on(receipt.delivery_report(Duration::from_millis(1))).shards_full, 1);
}

#[test]
fn subscribers_that_leave_are_not_counted_any_more() {
    let (_system, fanout) = fanout(2);
    let topic = fanout.topic(Bounds::default(), Overflow::Drop);
    let mut kept = Vec::new();
    let mut seen = HashSet::new();
    for round in 0..500_u32 {
        let subscription = topic.subscribe().unwrap();
        if round % 5 == 0 {
            kept.push(subscription);
        }
        if round % 7 == 0 {
            seen.insert(topic.publish(|_| vec![0]).unwrap().seq());
        }
        if round % 11 == 0 && !kept.is_empty() {
            kept.swap_remove(round as usize % kept.len());
        }
    }
    assert_eq!(topic.subscribers(), kept.len());
    let receipt = topic.publish(|_| vec![0]).unwrap();
    let report = pollster::block_on(receipt.delivery_report(LONG));
    assert_eq!(report.delivered + report.dropped, kept.len());
    kept.clear();
    assert_eq!((topic.subscribers(), topic.stats().lagging), (0, 0));
    assert_eq!(seen.len(), 72);
}
