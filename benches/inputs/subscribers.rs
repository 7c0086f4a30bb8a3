//! Subscribers of one topic on one shard. Each event is delivered to all of them before the next one is
//! published.

use std::time::Duration;

use windlass::actors::{
    Actor, Addr, Context, Cores, Flow, Host, Placement, Reply, SpawnOptions, System, Undelivered,
    fanout::{Bounds, Delivery, Fanout, Overflow, Subscription, Topic},
};

/// Number of subscribers.
pub(crate) const SUBSCRIBERS: u64 = 100;
/// Timeout that no run reaches.
const TIMEOUT: Duration = Duration::from_secs(600);

/// Request to publish a number of events one after the other, answered with the number of deliveries.
struct Publish(u64, Reply<u64>);

/// Actor that publishes to the topic and owns all its subscriptions.
struct Subscribers {
    topic: Topic<Vec<u8>>,
    subscriptions: Vec<Subscription<Vec<u8>>>,
}

impl Subscribers {
    /// Publishes one event and returns how many subscribers received it.
    async fn publish(&mut self) -> u64 {
        if self.topic.publish(|number| number.to_le_bytes().to_vec()).is_err() {
            return 0;
        }
        let mut delivered = 0;
        for subscription in &mut self.subscriptions {
            delivered += u64::from(matches!(subscription.next().await, Delivery::Event(_)));
        }
        delivered
    }
}

impl Actor for Subscribers {
    type Msg = Publish;

    async fn handle(&mut self, Publish(events, reply): Publish, _: &mut Context<Publish>) -> Flow {
        while (self.subscriptions.len() as u64) < SUBSCRIBERS {
            match self.topic.subscribe() {
                Ok(subscription) => self.subscriptions.push(subscription),
                Err(error) => return Flow::fail(error),
            }
        }
        let mut delivered = 0;
        for _ in 0..events {
            delivered += self.publish().await;
        }
        reply.send(delivered);
        Flow::Continue
    }
}

/// Shard with a topic and its subscribers.
pub(crate) struct SubscriberShard {
    system: System,
    subscribers: Addr<Publish>,
}

impl SubscriberShard {
    /// Starts the shard on an executor of the given kind.
    ///
    /// # Panics
    ///
    /// If the shard cannot be started.
    pub(crate) fn start(host: Host) -> Self {
        let system =
            System::builder().cores(Cores::Unpinned(1)).host(host).start().expect("shard should start");
        let fanout = Fanout::start(&system).expect("relay should start");
        let topic = fanout.topic(Bounds::default(), Overflow::Drop);
        let subscribers = move || Subscribers { topic: topic.clone(), subscriptions: Vec::new() };
        let subscribers = system.spawn(Placement::Shard(0), SpawnOptions::named("subscribers"), subscribers);
        Self { system, subscribers: subscribers.expect("actor should start") }
    }

    /// Delivers `deliveries` events, rounded up to a multiple of [`SUBSCRIBERS`], and waits until all are
    /// delivered.
    ///
    /// # Panics
    ///
    /// If an event is lost.
    pub(crate) fn deliver(&self, deliveries: u64) {
        let events = deliveries.div_ceil(SUBSCRIBERS);
        let delivered = self.subscribers.ask_blocking(|reply| Publish(events, reply), TIMEOUT);
        assert_eq!(delivered, Ok(events * SUBSCRIBERS));
    }
}

impl Drop for SubscriberShard {
    fn drop(&mut self) {
        self.system.stop(Undelivered::Drain);
        self.system.join(TIMEOUT);
    }
}
