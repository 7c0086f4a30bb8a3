//! Outlets: events keep their order, whether they go through the outlet or the queue.

#[path = "../../../tests/support/random.rs"]
mod random;

use std::{task::Poll, thread, time::Duration};

use windlass_actors::{
    Actor, Flow, Local, Outlet, Placement, Reply, SpawnOptions, Undelivered, fanout::Event,
};

use super::*;
use random::Random;

/// Events that a subscriber has seen.
#[derive(Default)]
struct Seen {
    /// Number of the last event that was delivered or lost.
    last: u64,
    by_outlet: u64,
    by_queue: u64,
    lost: u64,
}

impl Seen {
    fn event(&mut self, seq: u64) {
        assert_eq!(seq, self.last + 1);
        self.last = seq;
    }
}

/// Subscriber that behaves like a stream: it takes the event in its outlet before it polls its queue, and
/// opens the outlet only directly after a poll that has emptied the queue.
struct Subscriber {
    topic: Topic<Bytes>,
    random: Random,
    outlets: bool,
}

impl Subscriber {
    /// Takes the event in the outlet, if there is one.
    fn take(outlet: &Outlet, seen: &mut Seen) {
        if let Some(parcel) = outlet.take() {
            seen.event(parcel.downcast_ref::<Event<Bytes>>().unwrap().seq());
            seen.by_outlet += 1;
        }
    }

    /// Takes all deliveries of the queue, after the event in the outlet. The outlet may be opened then.
    fn poll(subscription: &mut Subscription<Bytes>, outlet: &Outlet, seen: &mut Seen) {
        Self::take(outlet, seen);
        while let Poll::Ready(next) = subscription.poll_next(&mut Context::from_waker(Waker::noop())) {
            match next {
                Delivery::Event(event) => {
                    seen.event(event.seq());
                    seen.by_queue += 1;
                }
                Delivery::Gap(Gap { from, to, .. }) => {
                    assert_eq!(from, seen.last + 1);
                    seen.lost += to + 1 - from;
                    seen.last = to;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    async fn follow(&mut self, local: &Local, until: u64) -> Seen {
        let mut subscription = self.topic.subscribe().unwrap();
        let mut seen = Seen { last: subscription.start(), ..Seen::default() };
        let mut outlet = local.outlet(1, 0);
        while seen.last < until {
            if self.outlets && self.random.below(30) == 0 {
                // Connects a new outlet while events are in flight.
                Self::poll(&mut subscription, &outlet, &mut seen);
                outlet = local.outlet(1, 0);
                assert!(subscription.connect(outlet.key()));
                outlet.open();
            }
            for _ in 0..self.random.below(6) {
                match self.random.below(5) {
                    0 | 1 => Self::take(&outlet, &mut seen),
                    2 => Self::poll(&mut subscription, &outlet, &mut seen),
                    3 => {
                        Self::poll(&mut subscription, &outlet, &mut seen);
                        outlet.open();
                    }
                    // There is no room for another event.
                    _ => outlet.shut(),
                }
            }
            if self.random.below(200) == 0 {
                local.sleep(Duration::from_millis(1)).await;
            } else {
                yield_turn().await;
            }
            if self.topic.last_seq() == until && self.random.below(4) == 0 {
                Self::poll(&mut subscription, &outlet, &mut seen);
            }
        }
        seen
    }
}

/// Lets the other tasks of the shard run.
async fn yield_turn() {
    let mut first = true;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut first, false) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
}

impl Actor for Subscriber {
    type Msg = (u64, Reply<[u64; 3]>);

    async fn handle(
        &mut self,
        (until, reply): Self::Msg,
        cx: &mut windlass_actors::Context<Self::Msg>,
    ) -> Flow {
        let local = cx.local().clone();
        let Seen { by_outlet, by_queue, lost, .. } = self.follow(&local, until).await;
        reply.send([by_outlet, by_queue, lost]);
        Flow::Continue
    }
}

/// Publishes `events` events to one subscriber. Returns how many it got from the outlet, from the queue, and
/// not at all.
fn run(host: Host, seed: u64, events: u64, bounds: Bounds, outlets: bool) -> [u64; 3] {
    let system = system(host, 1);
    let fanout = Fanout::<Bytes>::start(&system).unwrap();
    let topic = fanout.topic(bounds, Overflow::Drop);
    let subscribed = topic.clone();
    let make = move || Subscriber { topic: subscribed.clone(), random: Random::new(seed), outlets };
    let subscriber = system.spawn(Placement::Shard(0), SpawnOptions::named("subscriber"), make).unwrap();
    let asked = thread::spawn(move || subscriber.ask_blocking(|reply| (events, reply), LONG).unwrap());
    eventually("the subscriber has subscribed", || topic.subscribers() == 1);
    let mut random = Random::new(seed + 1);
    for _ in 0..events {
        let receipt = topic.publish(|_| vec![0; 10]).unwrap();
        if random.below(8) > 0 {
            pollster::block_on(receipt.delivery_report(LONG));
        }
    }
    let got = asked.join().unwrap();
    let stats = topic.stats();
    assert_eq!((stats.published, got[0] + got[1] + got[2]), (events, events));
    assert_eq!((stats.delivered, stats.dropped), (got[0] + got[1], got[2]));
    system.stop(Undelivered::Drain);
    assert!(system.join(LONG).is_clean());
    got
}

#[test]
fn events_keep_their_order_through_outlet_and_queue() {
    for host in hosts() {
        for seed in [3, 1_000_003, 77_777] {
            let [by_outlet, by_queue, lost] = run(host, seed, 3000, bounds(1000, 100_000), true);
            assert!(by_outlet > 0 && by_queue > 0 && lost == 0, "{by_outlet} {by_queue} {lost}");
        }
    }
}

#[test]
fn events_lost_by_a_full_queue_beside_an_outlet_are_a_gap() {
    let mut all = [0; 3];
    for host in hosts() {
        for seed in [5, 99_991, 4_242] {
            let got = run(host, seed, 3000, bounds(2, 100), true);
            all.iter_mut().zip(got).for_each(|(sum, got)| *sum += got);
        }
    }
    assert!(all.iter().all(|got| *got > 0), "{all:?}");
}

#[test]
fn without_an_outlet_all_events_go_through_the_queue() {
    let [by_outlet, by_queue, lost] = run(Host::Tokio, 11, 500, bounds(1000, 100_000), false);
    assert_eq!((by_outlet, by_queue, lost), (0, 500, 0));
}

#[test]
fn a_filtered_event_goes_through_the_queue_and_is_not_overtaken() {
    let system = system(Host::Tokio, 1);
    let fanout = Fanout::<Bytes>::start(&system).unwrap();
    let topic = fanout.topic(bounds(100, 10_000), Overflow::Drop);
    let (published, subscribed) = (topic.clone(), topic.clone());
    let done = on_shard(&system, move |local| {
        let mut subscription = subscribed.subscribe().unwrap();
        let outlet = local.outlet(1, 0);
        assert!(subscription.connect(outlet.key()));
        async move {
            let mut seen = Seen::default();
            // Publishes until the relay has connected the outlet.
            while seen.by_outlet == 0 {
                drop(published.publish(|_| vec![0; 10]).unwrap());
                yield_turn().await;
                Subscriber::poll(&mut subscription, &outlet, &mut seen);
                outlet.open();
            }
            drop(published.publish_filtered(Arc::new(|_| true), vec![0; 10]).unwrap());
            drop(published.publish(|_| vec![0; 10]).unwrap());
            let last = published.last_seq();
            while seen.last < last {
                yield_turn().await;
                Subscriber::poll(&mut subscription, &outlet, &mut seen);
            }
        }
    });
    done.recv_timeout(LONG).unwrap();
}

#[test]
fn an_event_is_not_delivered_to_a_subscriber_that_has_left() {
    let system = system(Host::Tokio, 1);
    let fanout = Fanout::<Bytes>::start(&system).unwrap();
    let topic = fanout.topic(bounds(100, 10_000), Overflow::Drop);
    let done = on_shard(&system, move |local| async move {
        let mut subscription = topic.subscribe().unwrap();
        let outlet = local.outlet(1, 0);
        assert!(subscription.connect(outlet.key()));
        let mut seen = Seen::default();
        while seen.by_outlet == 0 {
            drop(topic.publish(|_| vec![0; 10]).unwrap());
            yield_turn().await;
            Subscriber::poll(&mut subscription, &outlet, &mut seen);
            outlet.open();
        }
        // The relay gets the event before the message that the subscriber has left.
        let receipt = topic.publish(|_| vec![0; 10]).unwrap();
        drop(subscription);
        let report = receipt.delivery_report(LONG).await;
        assert_eq!((report.delivered, report.shards_pending, outlet.take().is_none()), (0, 0, true));
    });
    done.recv_timeout(LONG).unwrap();
}

#[test]
fn an_outlet_of_another_shard_is_refused() {
    let system = system(Host::Tokio, 2);
    let fanout = Fanout::<Bytes>::start(&system).unwrap();
    let topic = fanout.topic(bounds(100, 10_000), Overflow::Drop);
    // A subscription that is created on a thread without a shard belongs to the first shard.
    let subscription = topic.subscribe().unwrap();
    let connects = |shard, subscription: Subscription<Bytes>| {
        let (sender, connected) = std::sync::mpsc::channel();
        let done = on_the(&system, shard, move |local| async move {
            let connected = subscription.connect(local.outlet(1, 0).key());
            sender.send((connected, subscription)).unwrap();
        });
        done.recv_timeout(LONG).unwrap();
        connected.recv().unwrap()
    };
    let (on_second, subscription) = connects(1, subscription);
    let (on_first, subscription) = connects(0, subscription);
    assert_eq!((on_second, on_first), (false, true));
    let outlet = |key| subscription.connect(key);
    let on_none = thread::scope(|scope| {
        let (sender, key) = std::sync::mpsc::channel();
        on_the(&system, 0, move |local| async move { sender.send(local.outlet(2, 0).key()).unwrap() });
        let key = key.recv_timeout(LONG).unwrap();
        scope.spawn(move || outlet(key)).join().unwrap()
    });
    assert!(!on_none);
}

/// Runs the future that `make` returns on the first shard.
fn on_shard<F: Future<Output = ()> + 'static>(
    system: &System,
    make: impl FnOnce(Local) -> F + Send + 'static,
) -> std::sync::mpsc::Receiver<()> {
    on_the(system, 0, make)
}

/// Runs the future that `make` returns on a shard.
fn on_the<F: Future<Output = ()> + 'static>(
    system: &System,
    shard: usize,
    make: impl FnOnce(Local) -> F + Send + 'static,
) -> std::sync::mpsc::Receiver<()> {
    struct Once<M>(Option<M>);
    impl<F: Future<Output = ()> + 'static, M: FnOnce(Local) -> F + Send + 'static> Actor for Once<M> {
        type Msg = ();
        async fn started(&mut self, cx: &mut windlass_actors::Context<()>) -> Flow {
            let make = self.0.take().unwrap();
            make(cx.local().clone()).await;
            Flow::Stop
        }
        async fn handle(&mut self, (): (), _: &mut windlass_actors::Context<()>) -> Flow {
            Flow::Stop
        }
    }
    let (sender, done) = std::sync::mpsc::channel();
    let mut make = Some(move |local| {
        let future = make(local);
        async move {
            future.await;
            sender.send(()).unwrap();
        }
    });
    let spawned =
        system.spawn(Placement::Shard(shard), SpawnOptions::named("once"), move || Once(make.take()));
    spawned.unwrap();
    done
}
