//! A topic's subscribers on one shard, who take every event before the next one is published.

use std::time::Duration;

use windlass::actors::{
    Actor, Addr, Context, Cores, Flow, Host, Placement, Reply, SpawnOptions, System, Undelivered,
    fanout::{Bounds, Delivery, Fanout, Overflow, Subscription, Topic},
};

/// Subscribers of the topic.
pub(crate) const SUBSCRIBERS: u64 = 100;
/// Longer than any run.
const PATIENCE: Duration = Duration::from_secs(600);

/// Publish so many events, one after the other, and say how many deliveries there were.
struct Publish(u64, Reply<u64>);

struct Listeners {
    topic: Topic<Vec<u8>>,
    subscriptions: Vec<Subscription<Vec<u8>>>,
}

impl Listeners {
    /// Publishes one event and returns how many got it.
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

/// A shard with all of them.
pub(crate) struct Audience {
    system: System,
    listeners: Addr<Publish>,
}

impl Audience {
    /// Starts the shard on an executor of this kind.
    ///
    /// # Panics
    ///
    /// The shard cannot be started.
    pub(crate) fn start(host: Host) -> Self {
        let system = System::builder().cores(Cores::Unpinned(1)).host(host).start().expect("a shard starts");
        let fanout = Fanout::start(&system).expect("a relay starts");
        let topic = fanout.topic(Bounds::default(), Overflow::Drop);
        let listeners = move || Listeners { topic: topic.clone(), subscriptions: Vec::new() };
        let listeners = system.spawn(Placement::Shard(0), SpawnOptions::named("listeners"), listeners);
        Self { system, listeners: listeners.expect("an actor starts") }
    }

    /// Delivers `deliveries`, rounded up to whole events; returns when all have arrived.
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
