//! A topic the broker knows, and what a topic may be called.

use std::{
    fmt,
    net::SocketAddr,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use windlass_actors::fanout::{Policy, SubscribeOptions, Topic};

use super::{TopicPolicy, event::Stamped};
use crate::replay::{Position, Query, ReplayStore, Start, Window};

/// Bytes of a topic's name at most.
const NAME_BYTES: usize = 256;

/// One topic.
pub(super) struct Entry {
    pub(super) name: TopicName,
    /// The name as the store has it.
    pub(super) key: Bytes,
    pub(super) topic: Topic<Stamped>,
    pub(super) policy: TopicPolicy,
    /// The last position given out, as far as it is known.
    last: Mutex<Option<Position>>,
}

impl Entry {
    pub(super) fn new(name: TopicName, topic: Topic<Stamped>, policy: TopicPolicy) -> Self {
        let key = Bytes::copy_from_slice(name.as_str().as_bytes());
        Self { name, key, topic, policy, last: Mutex::default() }
    }

    /// Notes a position that was given out.
    pub(super) fn note(&self, position: Position) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.seq() < position.seq()) {
            *last = Some(position);
        }
    }

    /// Returns the last position given out, if one is known.
    pub(super) fn last(&self) -> Option<Position> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the terms on which somebody at this address subscribes.
    pub(super) fn terms(&self, peer: Option<SocketAddr>) -> SubscribeOptions {
        let terms = SubscribeOptions::new(self.policy.bounds(), self.policy.overflow.clone());
        match self.policy.overflow {
            Policy::Always(_) => terms,
            // Only a callback wants to know.
            Policy::Ask(_) => terms.with_identity(Arc::new(Subscriber { topic: self.name.clone(), peer })),
        }
    }
}

/// A subscriber of a broker's topic, as a [`Chooser`](windlass_actors::fanout::Chooser) is shown it:
/// `full.identity::<Subscriber>()`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Subscriber {
    /// What it follows.
    pub topic: TopicName,
    /// The other side of its connection, where that is known.
    pub peer: Option<SocketAddr>,
}

/// Asks the store where a topic ends that has just been opened.
pub(super) fn seek_end(entry: &Arc<Entry>, store: &dyn ReplayStore) {
    let entry = Arc::clone(entry);
    let query = Query::new(entry.key.clone(), Start::Earliest).window(Window { events: 1, bytes: 1 });
    // Without an answer it is known with the next event.
    store.read(query, Box::new(move |page| page.iter().for_each(|page| entry.note(page.end))));
}

/// The name of a topic: 1 to 256 bytes of ASCII letters, digits and `-_.~:@+`, in parts parted by `/`.
///
/// No part is empty, `.` or `..`, so that a name is also a path. Clones are cheap.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicName(Arc<str>);

impl TopicName {
    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TopicName {
    type Err = TopicNameError;

    fn from_str(name: &str) -> Result<Self, TopicNameError> {
        let is_part = |part: &str| !matches!(part, "" | "." | "..") && part.bytes().all(is_name_byte);
        match name.len() <= NAME_BYTES && name.split('/').all(is_part) {
            true => Ok(Self(name.into())),
            false => Err(TopicNameError),
        }
    }
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~:@+".contains(&byte)
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Says that a text is no topic's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicNameError;

impl fmt::Display for TopicNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a topic's name is 1 to 256 letters, digits and -_.~:@+ in parts parted by '/'")
    }
}

impl std::error::Error for TopicNameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_path_of_plain_parts() {
        for good in ["a", "news/sport", "user:7@host", "v1.2~x+y", &"x".repeat(256)] {
            assert!(good.parse::<TopicName>().is_ok(), "{good}");
        }
        for bad in
            ["", "/", "a/", "/a", "a//b", "..", "a/../b", "a b", "a\n", "ä", "a*", "a?b", &"x".repeat(257)]
        {
            assert!(bad.parse::<TopicName>().is_err(), "{bad:?}");
        }
    }
}
