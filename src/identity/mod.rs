//! Identities of clients: the subject of a request, the topics that it may use, and until when.
//!
//! - `patterns`: sets of topics.
//! - `authorizer`: the trait that finds the identity of a request, and the reasons to refuse one.
//! - `subjects`: open streams by subject, and subjects that were disconnected.
//! - `lease`: the end of a stream with an identity.
//! - `jwt`: identities from JSON Web Tokens.
//!
//! This module must not know the routes of topics, the broker or connections.

mod authorizer;
#[cfg(feature = "jwt")]
pub mod jwt;
mod lease;
mod patterns;
mod subjects;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

pub use authorizer::{Authorizer, Refusal};
pub(crate) use lease::Lease;
pub use patterns::{InvalidPattern, TopicPatterns};
pub use subjects::{Disconnected, Subjects};

/// The identity of a client: its subject, and the topics that it may use. Clones are cheap.
///
/// A new identity may use no topic and does not expire.
///
/// ```
/// use windlass::identity::{Identity, TopicPatterns};
/// let topics = TopicPatterns::parse(["chat/*"])?;
/// let alice = Identity::new("alice").may_subscribe(topics);
/// assert!(alice.subscribe().contain("chat/rust") && !alice.publish().contain("chat/rust"));
/// # Ok::<(), windlass::identity::InvalidPattern>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    subject: Option<Arc<str>>,
    issued: Option<SystemTime>,
    expires: Option<SystemTime>,
    /// Time after the expiry in which the identity is still accepted.
    leeway: Duration,
    subscribe: TopicPatterns,
    publish: TopicPatterns,
}

impl Identity {
    /// Creates an identity of a subject, such as the id of a user.
    pub fn new(subject: impl Into<Arc<str>>) -> Self {
        Self { subject: Some(subject.into()), ..Self::anonymous() }
    }

    /// Creates an identity without a subject, for requests without credentials. It cannot be
    /// [disconnected](Subjects::disconnect).
    pub fn anonymous() -> Self {
        Self {
            subject: None,
            issued: None,
            expires: None,
            leeway: Duration::ZERO,
            subscribe: TopicPatterns::default(),
            publish: TopicPatterns::default(),
        }
    }

    /// Sets the time from which the identity is valid. An identity without one counts as issued before every
    /// [disconnect](Subjects::disconnect) of its subject.
    #[must_use]
    pub fn issued_at(self, issued: SystemTime) -> Self {
        Self { issued: Some(issued), ..self }
    }

    /// Sets the time at which the identity, and with it its streams, ends. `leeway` is the time after it in
    /// which the identity is still accepted, because clocks differ.
    #[must_use]
    pub fn expires_at(self, expires: SystemTime, leeway: Duration) -> Self {
        Self { expires: Some(expires), leeway, ..self }
    }

    /// Sets the topics to which the identity may subscribe.
    #[must_use]
    pub fn may_subscribe(self, subscribe: TopicPatterns) -> Self {
        Self { subscribe, ..self }
    }

    /// Sets the topics to which the identity may publish.
    #[must_use]
    pub fn may_publish(self, publish: TopicPatterns) -> Self {
        Self { publish, ..self }
    }

    /// Returns the subject; `None` if it is anonymous.
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// Returns the topics to which the identity may subscribe.
    pub fn subscribe(&self) -> &TopicPatterns {
        &self.subscribe
    }

    /// Returns the topics to which the identity may publish.
    pub fn publish(&self) -> &TopicPatterns {
        &self.publish
    }

    /// Returns the time at which the identity was issued, if it is known.
    pub fn issued(&self) -> Option<SystemTime> {
        self.issued
    }

    /// Returns the time at which the identity expires, if it does.
    pub fn expires(&self) -> Option<SystemTime> {
        self.expires
    }

    /// Returns `true` if the identity is not accepted at `now`: its expiry and its leeway have passed.
    pub fn has_expired(&self, now: SystemTime) -> bool {
        self.stream_end(now).is_some_and(|left| left.is_zero())
    }

    /// Returns the time that a stream which begins at `now` may last. `None`: without limit.
    ///
    /// It lasts until the expiry. One that begins in the leeway after it lasts until the end of the leeway.
    fn stream_end(&self, now: SystemTime) -> Option<Duration> {
        let expires = self.expires?;
        match expires.duration_since(now) {
            Ok(left) if !left.is_zero() => Some(left),
            Ok(_) => Some(self.leeway),
            Err(past) => Some(self.leeway.saturating_sub(past.duration())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_lasts_until_the_expiry_or_within_the_leeway_until_its_end() {
        let expires = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
        let identity = Identity::new("alice").expires_at(expires, Duration::from_secs(30));
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        for (now, left) in [(90, 10), (99, 1), (100, 30), (101, 29), (129, 1), (130, 0), (1000, 0)] {
            assert_eq!(identity.stream_end(at(now)), Some(Duration::from_secs(left)), "{now}");
            assert_eq!(identity.has_expired(at(now)), left == 0, "{now}");
        }
        assert!(!Identity::new("alice").has_expired(at(1 << 40)));
    }
}
