//! Broker and topic settings.

use std::time::Duration;

use windlass_actors::fanout::{Bounds, Chooser, Policy};

use super::{TopicFilter, TopicName, TopicPattern};
use crate::replay::{Durability, Retention, StoreLimits};

/// Mailbox limits, overflow policy and durability of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicPolicy {
    /// Action when a subscriber's mailbox is full. Default: drop the event for this subscriber.
    ///
    /// A [`Chooser`] decides by a callback, which receives the [`Subscriber`](super::Subscriber). Callbacks
    /// run on the blocking threads of the server's pool. By default these threads run only in idle time
    /// ([`PoolSettings::blocking_idle`](crate::PoolSettings::blocking_idle)).
    pub overflow: Policy,
    /// Capacity of a subscriber's mailbox, events. Default 64.
    pub mailbox_events: usize,
    /// Capacity of a subscriber's mailbox, bytes. Default 256 KiB.
    pub mailbox_bytes: usize,
    /// Required durability of an event before it is acknowledged and delivered. Default [`Durability::None`].
    pub durability: Durability,
}

impl Default for TopicPolicy {
    fn default() -> Self {
        let Bounds { events, bytes, .. } = Bounds::default();
        Self {
            overflow: Policy::default(),
            mailbox_events: events,
            mailbox_bytes: bytes,
            durability: Durability::None,
        }
    }
}

impl TopicPolicy {
    pub(super) fn bounds(&self) -> Bounds {
        Bounds { events: self.mailbox_events, bytes: self.mailbox_bytes }
    }
}

/// Broker settings.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BrokerSettings {
    /// Maximum number of open topics that had an event. Default 10,000. At the limit a new one replaces the
    /// least recently used topic without subscribers, whose history stays in the store. If every topic has
    /// subscribers, the limit is exceeded.
    pub topics: usize,
    /// Time after which a topic without subscribers and events is no longer open. Its history stays in the
    /// store. It is checked when a topic has its first event, and when the metrics are read. Default `None`:
    /// no limit.
    pub topic_idle: Option<Duration>,
    /// Maximum number of subscriptions of all clients. Default 1,000,000. Further ones are answered with 503.
    pub subscriptions: usize,
    /// Maximum number of subscriptions of one client. Default 10,000. Further ones are answered with 429.
    ///
    /// A client is an [address](crate::Request::client), or an IPv6 network of 64 bits. Clients behind a
    /// proxy that is not [trusted](crate::Builder::trusted_proxies) are one client. Clients without an
    /// address, such as those of a Unix socket, have no limit of their own.
    pub client_subscriptions: usize,
    /// Policy of topics that match no pattern.
    pub policy: TopicPolicy,
    /// Policies by pattern. The first pattern that matches wins. A pattern is a topic name, or a prefix
    /// followed by `*`. Default: none.
    pub patterns: Vec<(String, TopicPolicy)>,
    /// Logs of several topics. The first pattern that matches a topic wins. Default: none, each topic is a
    /// log of its own.
    ///
    /// The topics of a log share one history, one numbering of events and one retention, and a subscription
    /// can read several of them ([`Broker::subscribe_filter`](super::Broker::subscribe_filter)). The log has
    /// the durability of the policy that applies to its pattern.
    pub logs: Vec<TopicLog>,
    /// Place of an event's topic in streams of several topics. Default [`SseTopic::Envelope`].
    pub sse_topic: SseTopic,
    /// Retention of the in-memory store. Ignored by [`Broker::with_store`](super::Broker::with_store).
    pub retention: Retention,
    /// Limits of the in-memory store. Ignored by [`Broker::with_store`](super::Broker::with_store).
    pub store_limits: StoreLimits,
    /// Interval of silence after which a stream sends a comment. Default 15 s.
    ///
    /// `None` and zero disable it. The server then notices a lost peer only when it sends the next event.
    pub heartbeat: Option<Duration>,
    /// Reconnection delay, sent to clients at the start of a stream. Default `None`: clients use their own.
    pub retry: Option<Duration>,
}

impl Default for BrokerSettings {
    fn default() -> Self {
        Self {
            topics: 10_000,
            topic_idle: None,
            subscriptions: 1_000_000,
            client_subscriptions: 10_000,
            policy: TopicPolicy::default(),
            patterns: Vec::new(),
            logs: Vec::new(),
            sse_topic: SseTopic::default(),
            retention: Retention::default(),
            store_limits: StoreLimits::default(),
            heartbeat: Some(Duration::from_secs(15)),
            retry: None,
        }
    }
}

impl BrokerSettings {
    /// Returns the policy of a topic.
    pub fn policy_of(&self, topic: &TopicName) -> TopicPolicy {
        self.first_policy(|pattern| pattern_matches(pattern, topic)).clone()
    }

    /// Returns the policy of a log: that of the first pattern that has all its topics.
    pub(super) fn policy_of_log(&self, topics: &str) -> TopicPolicy {
        self.first_policy(|pattern| pattern_covers(pattern, topics)).clone()
    }

    /// Returns the policy of a subscription: that of the first pattern that has all its topics.
    pub(super) fn policy_of_filter(&self, filter: &TopicFilter) -> &TopicPolicy {
        self.first_policy(|pattern| {
            filter.patterns().iter().all(|part| match part {
                TopicPattern::Topic(topic) => pattern_matches(pattern, topic),
                TopicPattern::Below(_) => pattern_covers(pattern, &format!("{}*", part.prefix())),
            })
        })
    }

    fn first_policy(&self, applies: impl Fn(&str) -> bool) -> &TopicPolicy {
        let first = self.patterns.iter().find(|(pattern, _)| applies(pattern));
        first.map_or(&self.policy, |(_, policy)| policy)
    }

    /// Returns the overflow callbacks of all policies.
    pub(super) fn choosers(&self) -> impl Iterator<Item = &Chooser> {
        let policies = self.patterns.iter().map(|(_, policy)| policy).chain([&self.policy]);
        policies.filter_map(|policy| match &policy.overflow {
            Policy::Ask(chooser) => Some(chooser),
            Policy::Always(_) => None,
        })
    }
}

/// A log of several topics.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicLog {
    /// Name of the log. The history is stored under it, so that it survives a change of `topics`.
    pub name: String,
    /// Topics of the log: a topic name, or a prefix followed by `*`.
    pub topics: String,
}

impl TopicLog {
    /// Creates a log of the topics that a pattern stands for.
    pub fn new(name: impl Into<String>, topics: impl Into<String>) -> Self {
        Self { name: name.into(), topics: topics.into() }
    }
}

/// Returns `true` if a pattern of the settings stands for a topic.
pub(super) fn pattern_matches(pattern: &str, topic: &TopicName) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => topic.as_str().starts_with(prefix),
        None => topic.as_str() == pattern,
    }
}

/// Returns `true` if a pattern of the settings stands for all topics of another one.
fn pattern_covers(pattern: &str, other: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => other.strip_suffix('*').unwrap_or(other).starts_with(prefix),
        None => other == pattern,
    }
}

/// Place of an event's topic in event streams of several topics. Streams of one topic do not name it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SseTopic {
    /// The topic is not sent.
    None,
    /// The topic is the name of the event, in place of the publisher's name. `EventSource` dispatches such an
    /// event only to listeners for the topic, and not to `onmessage`.
    Event,
    /// The data is a JSON object, `{"topic":…,"data":…}`. The event keeps its name.
    #[default]
    Envelope,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_pattern_that_fits_wins() {
        let policy = |mailbox_events| TopicPolicy { mailbox_events, ..TopicPolicy::default() };
        let patterns = vec![
            ("news/local".to_owned(), policy(1)),
            ("news/*".to_owned(), policy(2)),
            ("*".to_owned(), policy(3)),
        ];
        let mut settings = BrokerSettings { patterns, ..BrokerSettings::default() };
        for (name, events) in [("news/local", 1), ("news/other", 2), ("sport", 3)] {
            assert_eq!(settings.policy_of(&name.parse().unwrap()).mailbox_events, events, "{name}");
        }
        settings.patterns.clear();
        assert_eq!(settings.policy_of(&"x".parse().unwrap()).mailbox_events, 64);
    }
}
