//! Events with labels, and subscribers that are interested in some of them.

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
};

use windlass_actors::{
    Host,
    fanout::{
        Delivery, Fanout, Interest, Label, Matcher, Overflow, Payload, Predicate, SubscribeOptions,
        Subscription, Topic,
    },
};

use crate::{
    block_shard, bounds,
    common::{LONG, eventually, hosts, system},
};

/// Payload with labels and a number that predicates read.
#[derive(Debug)]
struct Labeled {
    labels: Vec<Label>,
    number: u64,
}

impl Payload for Labeled {
    fn weight(&self) -> usize {
        1
    }

    fn labels(&self) -> &[Label] {
        &self.labels
    }
}

fn exact(label: &str) -> Matcher {
    Matcher::Exact(label.into())
}

fn prefix(prefix: &str) -> Matcher {
    Matcher::Prefix(prefix.into())
}

fn options(events: usize, overflow: Overflow) -> SubscribeOptions {
    SubscribeOptions::new(bounds(events, usize::MAX), overflow)
}

fn subscribe<const N: usize>(topic: &Topic<Labeled>, matchers: [Matcher; N]) -> Subscription<Labeled> {
    topic.subscribe_to(Interest::any_of(matchers), options(99, Overflow::Close)).unwrap()
}

/// Publishes an event and returns how many subscribers it was delivered to.
fn publish(topic: &Topic<Labeled>, labels: &[&str]) -> usize {
    let labels = labels.iter().map(|label| Label::from(*label)).collect();
    let receipt = topic.publish(|number| Labeled { labels, number }).unwrap();
    let report = pollster::block_on(receipt.delivery_report(LONG));
    assert_eq!(report.shards_pending, 0);
    report.delivered
}

/// Takes all waiting deliveries, as text: `3`, `gap 4-6`, `removed`, `closed`.
fn take(subscription: &mut Subscription<Labeled>) -> String {
    let mut words = Vec::new();
    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(next) = subscription.poll_next(&mut cx) {
        match next {
            Delivery::Event(event) => words.push(event.seq().to_string()),
            Delivery::Gap(gap) => words.push(format!("gap {}-{}", gap.from, gap.to)),
            end => {
                words.push(format!("{end:?}").to_lowercase());
                break;
            }
        }
    }
    words.join(" ")
}

#[test]
fn an_event_reaches_exact_labels_prefixes_and_those_who_want_all() {
    for host in hosts() {
        let system = system(host, 1);
        let topic = Fanout::<Labeled>::start(&system).unwrap().topic(bounds(9, 1000), Overflow::Close);
        let mut all = topic.subscribe().unwrap();
        let mut gold = subscribe(&topic, [exact("prices/gold")]);
        let mut prices = subscribe(&topic, [prefix("prices/")]);
        let mut two = subscribe(&topic, [exact("news"), prefix("prices/metals")]);
        let mut none = subscribe(&topic, []);
        assert_eq!(publish(&topic, &["prices/gold"]), 3);
        assert_eq!(publish(&topic, &["prices/metals/tin"]), 3);
        assert_eq!(publish(&topic, &["prices"]), 1);
        assert_eq!(publish(&topic, &["prices2/x"]), 1);
        assert_eq!(publish(&topic, &["news"]), 2);
        assert_eq!(publish(&topic, &[]), 5, "an event without labels is for all");
        assert_eq!(take(&mut all), "1 2 3 4 5 6");
        assert_eq!(take(&mut gold), "1 6");
        assert_eq!(take(&mut prices), "1 2 6");
        assert_eq!(take(&mut two), "2 5 6");
        assert_eq!(take(&mut none), "6");
    }
}

#[test]
fn an_event_is_delivered_once_however_many_labels_match() {
    let system = system(Host::Tokio, 1);
    let topic = Fanout::<Labeled>::start(&system).unwrap().topic(bounds(9, 1000), Overflow::Close);
    let mut many = subscribe(&topic, [prefix(""), prefix("a"), prefix("a/"), prefix("a/b"), exact("a/b/c")]);
    assert_eq!(publish(&topic, &["a/b/c", "a/b/d", "a/x", "a/b/c"]), 1);
    assert_eq!(publish(&topic, &["a/b/c"]), 1);
    assert_eq!(take(&mut many), "1 2");
}

#[test]
fn a_predicate_limits_an_interest_and_its_panic_is_counted() {
    let system = system(Host::Tokio, 1);
    let topic = Fanout::<Labeled>::start(&system).unwrap().topic(bounds(9, 1000), Overflow::Close);
    let odd: Predicate<Labeled> = Arc::new(|event| match event.number {
        4 => panic!("expected by the test"),
        number => number % 2 == 1,
    });
    let interest = Interest::any_of([prefix("a")]).with_predicate(odd.clone());
    let mut some = topic.subscribe_to(interest, options(9, Overflow::Close)).unwrap();
    let mut any =
        topic.subscribe_to(Interest::all().with_predicate(odd), options(9, Overflow::Close)).unwrap();
    for labels in [&["a/x"][..], &["a/x"], &["b"], &["a/x"], &[]] {
        publish(&topic, labels);
    }
    assert_eq!(take(&mut some), "1 5");
    assert_eq!(take(&mut any), "1 3 5");
    assert_eq!(topic.stats().filter_panics, 2);
}

#[test]
fn a_full_queue_loses_only_matching_events() {
    let system = system(Host::Tokio, 1);
    let topic = Fanout::<Labeled>::start(&system).unwrap().topic(bounds(9, 1000), Overflow::Close);
    let interest = Interest::any_of([exact("a")]);
    let mut slow = topic.subscribe_to(interest.clone(), options(1, Overflow::Drop)).unwrap();
    let mut closed = topic.subscribe_to(interest, options(1, Overflow::Close)).unwrap();
    for label in ["b", "a", "b", "b", "a", "b"] {
        publish(&topic, &[label]);
    }
    assert_eq!(topic.subscribers(), 1, "a closed subscriber is unregistered");
    assert_eq!(take(&mut slow), "2 gap 5-5");
    assert_eq!(take(&mut closed), "2 gap 5-5 closed");
    publish(&topic, &["a"]);
    assert_eq!(take(&mut slow), "7");
}

#[test]
fn events_of_other_labels_are_no_gap_after_reading_history() {
    let system = system(Host::Tokio, 1);
    let topic = Fanout::<Labeled>::start(&system).unwrap().topic(bounds(9, 1000), Overflow::Close);
    let interest = Interest::any_of([exact("a")]);
    let mut reader = topic.subscribe_catching_up(interest, options(9, Overflow::Close)).unwrap();
    for label in ["a", "b", "a", "b"] {
        publish(&topic, &[label]);
    }
    assert!(reader.caught_up(2), "the history was read up to an event of another label");
    publish(&topic, &["a"]);
    assert_eq!(take(&mut reader), "3 5");
}

#[test]
fn what_a_full_relay_missed_is_a_gap_for_every_label() {
    let system = system(Host::Tokio, 1);
    let fanout = Fanout::<Labeled>::with_mailbox(&system, 4).unwrap();
    let topic = fanout.topic(bounds(9, 1000), Overflow::Drop);
    let mut all = topic.subscribe().unwrap();
    let interested = |label| topic.subscribe_to(Interest::any_of([exact(label)]), options(9, Overflow::Drop));
    let (mut a, mut b) = (interested("a").unwrap(), interested("b").unwrap());
    publish(&topic, &["a"]);
    let release = block_shard(&system);
    let send = || {
        topic.publish(|number| Labeled { labels: vec!["a".into()], number }).map(drop).unwrap();
    };
    while topic.stats().relay_rejected < 3 {
        send();
    }
    let (accepted, last) = (topic.last_seq() - 3, topic.last_seq());
    release.wait();
    eventually("the relay has room", || topic.stats().delivered == 2 * accepted);
    publish(&topic, &["a"]);
    let events = (1..=accepted).map(|seq| seq.to_string()).collect::<Vec<_>>().join(" ");
    let gap = format!("gap {}-{last}", accepted + 1);
    assert_eq!(take(&mut all), format!("{events} {gap} {}", last + 1));
    assert_eq!(take(&mut a), format!("{events} {gap} {}", last + 1));
    assert_eq!(take(&mut b), gap, "the labels of rejected events are not known");
}

/// Pseudorandom numbers (xorshift), the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    /// Returns a label of up to four segments out of a few.
    fn label(&mut self) -> String {
        let segments = 1 + self.below(4);
        (0..segments).map(|_| ["a", "b", "ab", ""][self.below(4)]).collect::<Vec<_>>().join("/")
    }

    fn matcher(&mut self) -> Matcher {
        let label = self.label();
        match self.below(5) {
            0 => prefix(""),
            1 | 2 => prefix(&label),
            _ => exact(&label),
        }
    }
}

/// The plain meaning of a matcher.
fn matches(matcher: &Matcher, label: &str) -> bool {
    match matcher {
        Matcher::Exact(exact) => **exact == *label,
        Matcher::Prefix(prefix) if prefix.is_empty() || prefix.ends_with('/') => label.starts_with(&**prefix),
        Matcher::Prefix(prefix) => label.starts_with(&format!("{}/", &**prefix)),
    }
}

/// Subscriber with the numbers of the events that it must get.
struct Modelled {
    matchers: Option<Vec<Matcher>>,
    is_odd_only: bool,
    subscription: Subscription<Labeled>,
    expected: Vec<String>,
}

impl Modelled {
    fn join(topic: &Topic<Labeled>, numbers: &mut Numbers) -> Self {
        let count = numbers.below(5);
        let matchers = (count < 4).then(|| (0..count).map(|_| numbers.matcher()).collect::<Vec<_>>());
        let is_odd_only = numbers.below(4) == 0;
        let mut interest = matchers.clone().map_or_else(Interest::all, Interest::any_of);
        if is_odd_only {
            interest = interest.with_predicate(Arc::new(|event: &Labeled| event.number % 2 == 1));
        }
        let subscription = topic.subscribe_to(interest, options(usize::MAX, Overflow::Close)).unwrap();
        Self { matchers, is_odd_only, subscription, expected: Vec::new() }
    }

    fn wants(&self, labels: &[String], number: u64) -> bool {
        let by_label = self.matchers.as_ref().is_none_or(|matchers| {
            labels.is_empty()
                || matchers.iter().any(|matcher| labels.iter().any(|label| matches(matcher, label)))
        });
        by_label && (number % 2 == 1 || !self.is_odd_only)
    }
}

#[test]
fn each_subscriber_gets_exactly_the_events_that_match_in_order() {
    let system = system(Host::Tokio, 1);
    let fanout = Fanout::<Labeled>::start(&system).unwrap();
    for seed in 1..30 {
        let topic = fanout.topic(bounds(9, 1000), Overflow::Close);
        let mut numbers = Numbers(seed * 0x9e37_79b9);
        let mut subscribers: Vec<Modelled> = Vec::new();
        for _ in 0..300 {
            match numbers.below(4) {
                0 => subscribers.push(Modelled::join(&topic, &mut numbers)),
                1 if !subscribers.is_empty() => {
                    let mut left = subscribers.swap_remove(numbers.below(subscribers.len()));
                    assert_eq!(take(&mut left.subscription), left.expected.join(" "));
                }
                _ => {
                    let count = numbers.below(4);
                    let labels: Vec<String> = (0..count).map(|_| numbers.label()).collect();
                    let number = topic.last_seq() + 1;
                    let matching = subscribers.iter_mut().filter(|all| all.wants(&labels, number));
                    let matching = matching.map(|all| all.expected.push(number.to_string())).count();
                    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
                    assert_eq!(publish(&topic, &labels), matching);
                }
            }
        }
        for mut subscriber in subscribers {
            assert_eq!(take(&mut subscriber.subscription), subscriber.expected.join(" "));
        }
        assert_eq!(topic.subscribers(), 0);
    }
}
