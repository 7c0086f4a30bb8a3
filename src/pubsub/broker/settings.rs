//! Broker and topic settings.

use std::time::Duration;

use windlass_actors::fanout::{Bounds, Chooser, Policy};

use super::TopicName;
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
        let matches = |pattern: &str| match pattern.strip_suffix('*') {
            Some(prefix) => topic.as_str().starts_with(prefix),
            None => topic.as_str() == pattern,
        };
        self.patterns
            .iter()
            .find(|(pattern, _)| matches(pattern))
            .map_or(&self.policy, |(_, policy)| policy)
            .clone()
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
