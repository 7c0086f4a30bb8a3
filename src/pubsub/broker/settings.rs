//! How a broker's topics are.

use std::time::Duration;

use windlass_actors::fanout::{Bounds, Chooser, Policy};

use super::TopicName;
use crate::replay::{Durability, Retention, StoreLimits};

/// What a topic's subscribers have, and what happens when it is not enough.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicPolicy {
    /// What happens to an event that finds a subscriber's mailbox full. Default: it is dropped for that subscriber. A
    /// [`Chooser`] is shown the [`Subscriber`](super::Subscriber) and runs on the blocking threads of the server's pool: by
    /// default in time that nobody else wants ([`PoolSettings::blocking_idle`](crate::PoolSettings::blocking_idle)).
    pub overflow: Policy,
    /// Events a subscriber's mailbox holds. Default 64.
    pub mailbox_events: usize,
    /// Bytes a subscriber's mailbox holds. Default 256 KiB.
    pub mailbox_bytes: usize,
    /// How safe an event is before its publisher is told and it is delivered. Default: not at all.
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

/// How a broker is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BrokerSettings {
    /// Topics known at once at most; one without subscribers makes room. Default 10,000.
    pub topics: usize,
    /// What topics have that no pattern names.
    pub policy: TopicPolicy,
    /// By pattern, the first that fits wins: a topic's name, or the beginning of one and a `*`.
    pub patterns: Vec<(String, TopicPolicy)>,
    /// What the store in memory keeps.
    pub retention: Retention,
    /// What the store in memory takes.
    pub store_limits: StoreLimits,
    /// How long a stream may be silent before a comment is sent. Default 15 s. `None` or zero: never, and a peer that is gone without
    /// a word is noticed with the next event.
    pub heartbeat: Option<Duration>,
    /// How long a client waits before it connects anew, told at the start of a stream. Default `None`: as it likes.
    pub retry: Option<Duration>,
}

impl Default for BrokerSettings {
    fn default() -> Self {
        Self {
            topics: 10_000,
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
    /// Returns what a topic has.
    pub fn policy_of(&self, topic: &TopicName) -> TopicPolicy {
        let fits = |pattern: &str| match pattern.strip_suffix('*') {
            Some(beginning) => topic.as_str().starts_with(beginning),
            None => topic.as_str() == pattern,
        };
        self.patterns
            .iter()
            .find(|(pattern, _)| fits(pattern))
            .map_or(&self.policy, |(_, policy)| policy)
            .clone()
    }

    /// Returns the callbacks of all policies.
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
