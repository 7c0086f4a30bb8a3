//! Subscribers of a topic on one shard. They take each event before the next one is published.

use std::time::Duration;

use windlass::actors::{
    Actor, Addr, Context, Cores, Flow, Host, Placement, Reply, SpawnOptions, System, Undelivered,
    fanout::{Bounds, Delivery, Fanout, Overflow, Subscription, Topic},
};

/// Number of subscribers.
pub(crate) const SUBSCRIBERS: u64 = 100;
/// Timeout that no run reaches.
const PATIENCE: Duration = Duration::from_secs(600);

/// Message to the listeners: publishes that many events, one after the other, and replies with the
/// deliveries.
struct Publish(u64, Reply<u64>);

/// Actor that holds all subscriptions.
struct Listeners {
    topic: Topic<Vec<u8>>,
    subscriptions: Vec<Subscription<Vec<u8>>>,
}

impl Listeners {
    /// Publishes one event and returns how many subscribers got it.
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

impl Actor for Listeners {
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

/// A system of one shard with the listeners.
pub(crate) struct Audience {
    system: System,
    listeners: Addr<Publish>,
}

impl Audience {
    /// Starts the system on this host.
    ///
    /// # Panics
    ///
    /// The system does not start.
    pub(crate) fn start(host: Host) -> Self {
        let system = System::builder().cores(Cores::Unpinned(1)).host(host).start().expect("a shard starts");
        let fanout = Fanout::start(&system).expect("a relay starts");
        let topic = fanout.topic(Bounds::default(), Overflow::Drop);
        let listeners = move || Listeners { topic: topic.clone(), subscriptions: Vec::new() };
        let listeners = system.spawn(Placement::Shard(0), SpawnOptions::named("listeners"), listeners);
        Self { system, listeners: listeners.expect("an actor starts") }
    }

    /// Publishes events for `deliveries` deliveries, rounded up to whole events. Returns when all have
    /// arrived.
    ///
    /// # Panics
    ///
    /// An event was lost.
    pub(crate) fn deliver(&self, deliveries: u64) {
        let events = deliveries.div_ceil(SUBSCRIBERS);
        let delivered = self.listeners.ask_blocking(|reply| Publish(events, reply), PATIENCE);
        assert_eq!(delivered, Ok(events * SUBSCRIBERS));
    }
}

impl Drop for Audience {
    fn drop(&mut self) {
        self.system.stop(Undelivered::Drain);
        self.system.join(PATIENCE);
    }
}
