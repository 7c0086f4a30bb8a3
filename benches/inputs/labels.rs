//! Subscribers of one topic with labels, on one shard.

use std::time::Duration;

use windlass::actors::{
    Actor, Addr, Context, Cores, Flow, Host, Placement, Reply, SpawnOptions, System, Undelivered,
    fanout::{
        Bounds, Delivery, Fanout, Interest, Label, Matcher, Overflow, Payload, SubscribeOptions,
        Subscription, Topic, TopicError,
    },
};

/// Label of the published events.
const LABEL: &str = "prices/metals/gold";
/// Timeout that no run reaches.
const TIMEOUT: Duration = Duration::from_secs(600);

/// Event with one label.
struct Labeled(Label);

impl Payload for Labeled {
    fn weight(&self) -> usize {
        8
    }

    fn labels(&self) -> &[Label] {
        std::slice::from_ref(&self.0)
    }
}

/// Subscribers of a topic: those that the events match, and others.
#[derive(Clone)]
pub(crate) struct Mix {
    /// Number of subscribers that match.
    matching: usize,
    /// Interest of these: the label itself, or a prefix of it.
    by_prefix: bool,
    /// Number of subscribers that match nothing, each with an interest of its own.
    others: usize,
    /// Interests of the others: labels or prefixes.
    others_by_prefix: bool,
}

impl Mix {
    /// Returns this many subscribers of the label.
    pub(crate) const fn of_label(matching: usize) -> Self {
        Self { matching, by_prefix: false, others: 0, others_by_prefix: false }
    }

    /// Lets the subscribers subscribe to a prefix of the label.
    pub(crate) const fn by_prefix(self) -> Self {
        Self { by_prefix: true, ..self }
    }

    /// Adds subscribers of other labels, or of other prefixes.
    pub(crate) const fn among(self, others: usize, by_prefix: bool) -> Self {
        Self { others, others_by_prefix: by_prefix, ..self }
    }

    fn interests(&self) -> impl Iterator<Item = (bool, Matcher)> {
        let matcher = |by_prefix, exact: String, prefix: String| match by_prefix {
            true => Matcher::Prefix(prefix.into()),
            false => Matcher::Exact(exact.into()),
        };
        let matching = matcher(self.by_prefix, LABEL.to_owned(), "prices/metals".to_owned());
        let others_by_prefix = self.others_by_prefix;
        let others = (0..self.others)
            .map(move |n| matcher(others_by_prefix, format!("prices/other/{n}"), format!("prices/{n}")));
        others.map(|other| (false, other)).chain(std::iter::repeat_n((true, matching), self.matching))
    }
}

/// Request to publish a number of events one after the other, answered with the number of deliveries.
struct Publish(u64, Reply<u64>);

/// Actor that publishes to the topic and owns all its subscriptions.
struct Subscribers {
    topic: Topic<Labeled>,
    mix: Mix,
    matching: Vec<Subscription<Labeled>>,
    others: Vec<Subscription<Labeled>>,
}

impl Subscribers {
    async fn subscribe(&mut self, cx: &Context<Publish>) -> Result<(), TopicError> {
        for (is_matching, matcher) in self.mix.clone().interests() {
            let interest = Interest::any_of([matcher]);
            let subscription = loop {
                match self.topic.subscribe_to(interest.clone(), SubscribeOptions::default()) {
                    Err(TopicError::Busy) => cx.sleep(Duration::from_millis(1)).await,
                    subscribed => break subscribed?,
                }
            };
            if is_matching { &mut self.matching } else { &mut self.others }.push(subscription);
        }
        Ok(())
    }
}

impl Actor for Subscribers {
    type Msg = Publish;

    async fn handle(&mut self, Publish(events, reply): Publish, cx: &mut Context<Publish>) -> Flow {
        if let Err(error) = self.subscribe(cx).await {
            return Flow::fail(error);
        }
        let (mut delivered, label) = (0, Label::from(LABEL));
        for _ in 0..events {
            drop(self.topic.publish(|_| Labeled(label.clone())));
            for subscription in &mut self.matching {
                delivered += u64::from(matches!(subscription.next().await, Delivery::Event(_)));
            }
        }
        reply.send(delivered);
        Flow::Continue
    }
}

/// Delivers `deliveries` events, rounded up to a multiple of the subscribers that match.
///
/// # Panics
///
/// If the shard cannot be started, or an event is lost.
pub(crate) fn deliver(mix: Mix, deliveries: u64) {
    let system = System::builder().cores(Cores::Unpinned(1)).host(Host::Tokio).start();
    let system = system.expect("shard should start");
    let fanout = Fanout::start(&system).expect("relay should start");
    let topic = fanout.topic(Bounds::default(), Overflow::Drop);
    let matching = mix.matching as u64;
    let subscribers = move || Subscribers {
        topic: topic.clone(),
        mix: mix.clone(),
        matching: Vec::new(),
        others: Vec::new(),
    };
    let subscribers = system.spawn(Placement::Shard(0), SpawnOptions::named("subscribers"), subscribers);
    let subscribers: Addr<Publish> = subscribers.expect("actor should start");
    let events = deliveries.div_ceil(matching);
    let delivered = subscribers.ask_blocking(|reply| Publish(events, reply), TIMEOUT);
    assert_eq!(delivered, Ok(events * matching));
    system.stop(Undelivered::Drain);
    system.join(TIMEOUT);
}
