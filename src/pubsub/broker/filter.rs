//! Filters: the topics that a subscription reads.

use std::{fmt, str::FromStr, sync::Arc};

use bytes::Bytes;
use windlass_actors::fanout::{Interest, Matcher};

use super::{TopicName, TopicNameError};
use crate::{
    pubsub::event::EncodedEvent,
    replay::{self, Labels},
};

/// Maximum number of topics and patterns in a filter.
const MAX_PARTS: usize = 100;
/// Maximum number of tags in a filter.
const MAX_TAGS: usize = replay::MAX_TAGS;

/// A topic, or a pattern of topics.
///
/// A pattern ends in `/*` and stands for all topics below the part before it, however many segments they
/// have: `prices/*` for `prices/gold` and `prices/metals/tin`, but not for `prices`. The pattern `*` stands
/// for all topics.
///
/// ```
/// use windlass::broker::TopicPattern;
///
/// let prices: TopicPattern = "prices/*".parse()?;
/// assert!(prices.matches(&"prices/gold".parse()?));
/// assert!(!prices.matches(&"prices".parse()?));
/// # Ok::<(), windlass::broker::TopicNameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TopicPattern {
    /// The topic with this name.
    Topic(TopicName),
    /// The topics below this name. `None`: all topics.
    Below(Option<TopicName>),
}

impl TopicPattern {
    /// Returns `true` if the pattern stands for this topic.
    pub fn matches(&self, topic: &TopicName) -> bool {
        match self {
            Self::Topic(name) => name == topic,
            Self::Below(None) => true,
            Self::Below(Some(name)) => {
                topic.as_str().strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('/'))
            }
        }
    }

    /// Returns the text that the names of all topics begin with, which is the whole name of a single topic.
    pub(super) fn prefix(&self) -> String {
        match self {
            Self::Topic(name) => name.to_string(),
            Self::Below(None) => String::new(),
            Self::Below(Some(name)) => format!("{name}/"),
        }
    }
}

impl FromStr for TopicPattern {
    type Err = TopicNameError;

    fn from_str(text: &str) -> Result<Self, TopicNameError> {
        match text.strip_suffix('*') {
            None => text.parse().map(Self::Topic),
            Some("") => Ok(Self::Below(None)),
            Some(below) => {
                let name = below.strip_suffix('/').ok_or(TopicNameError)?;
                name.parse().map(|name| Self::Below(Some(name)))
            }
        }
    }
}

impl fmt::Display for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(name) => name.fmt(f),
            Self::Below(None) => f.write_str("*"),
            Self::Below(Some(name)) => write!(f, "{name}/*"),
        }
    }
}

/// The topics and tags that a subscription reads, all of one log. Clones are cheap.
///
/// By default each topic is a log of its own. [`BrokerSettings::logs`](super::BrokerSettings::logs) joins
/// topics in one log, so that one subscription can read several of them.
///
/// ```
/// use windlass::broker::TopicFilter;
///
/// let filter = TopicFilter::parse(["news", "prices/*"])?;
/// assert!(filter.matches(&"prices/gold".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicFilter {
    patterns: Patterns,
    tags: Labels,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Patterns {
    /// The common case allocates nothing.
    One(TopicPattern),
    Many(Arc<[TopicPattern]>),
}

impl TopicFilter {
    /// Creates a filter of topics and patterns. An event that several of them match is received once.
    ///
    /// # Errors
    ///
    /// A text is not a topic or a pattern, or there are none or more than 100.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, TopicFilterError> {
        let mut patterns = Vec::new();
        for text in texts {
            if patterns.len() == MAX_PARTS {
                return Err(TopicFilterError::TooMany);
            }
            patterns.push(text.parse().map_err(TopicFilterError::Name)?);
        }
        patterns.sort_unstable();
        patterns.dedup();
        match patterns.len() {
            0 => Err(TopicFilterError::Empty),
            1 => Ok(Self { patterns: Patterns::One(patterns.remove(0)), tags: Labels::new() }),
            _ => Ok(Self { patterns: Patterns::Many(patterns.into()), tags: Labels::new() }),
        }
    }

    /// Adds tags, each `key=value`, that an event must have, all of them.
    ///
    /// # Errors
    ///
    /// A text has no `=` after a key, or there are more than 8.
    pub fn with_tags<T: Into<Bytes>>(
        self,
        tags: impl IntoIterator<Item = T>,
    ) -> Result<Self, TopicFilterError> {
        let tags: Labels = self.tags.iter().cloned().chain(tags.into_iter().map(Into::into)).collect();
        if tags.len() > MAX_TAGS {
            return Err(TopicFilterError::TooMany);
        }
        match tags.iter().all(|tag| tag.iter().position(|byte| *byte == b'=').is_some_and(|at| at > 0)) {
            true => Ok(Self { tags, ..self }),
            false => Err(TopicFilterError::Tag),
        }
    }

    /// Returns the topics and patterns.
    pub fn patterns(&self) -> &[TopicPattern] {
        match &self.patterns {
            Patterns::One(pattern) => std::slice::from_ref(pattern),
            Patterns::Many(patterns) => patterns,
        }
    }

    /// Returns the topic if the filter has no other and no pattern.
    pub fn topic(&self) -> Option<&TopicName> {
        match &self.patterns {
            Patterns::One(TopicPattern::Topic(topic)) => Some(topic),
            Patterns::One(_) | Patterns::Many(_) => None,
        }
    }

    /// Returns `true` if the filter has this topic. Does not look at tags.
    pub fn matches(&self, topic: &TopicName) -> bool {
        self.patterns().iter().any(|pattern| pattern.matches(topic))
    }

    /// Returns the interest of a subscription to a log. `is_shared`: the log has several topics.
    pub(super) fn interest(&self, is_shared: bool) -> Interest<EncodedEvent> {
        let matcher = |pattern: &TopicPattern| match pattern {
            TopicPattern::Topic(name) => Matcher::Exact(name.0.clone().into()),
            TopicPattern::Below(name) => Matcher::Prefix(name.as_ref().map_or("", TopicName::as_str).into()),
        };
        let interest = match is_shared {
            true => Interest::any_of(self.patterns().iter().map(matcher)),
            false => Interest::all(),
        };
        if self.tags.is_empty() {
            return interest;
        }
        let tags = self.tags.clone();
        interest.with_predicate(Arc::new(move |event| tags.iter().all(|tag| event.tags.contains(tag))))
    }

    /// Returns the filter of the stored events. `is_shared`: the log has several topics.
    pub(super) fn stored(&self, is_shared: bool) -> replay::Filter {
        let matcher = |pattern: &TopicPattern| match pattern {
            TopicPattern::Topic(name) => {
                replay::Matcher::label(Bytes::copy_from_slice(name.as_str().as_bytes()))
            }
            TopicPattern::Below(_) => replay::Matcher::prefix(pattern.prefix()),
        };
        let filter = match is_shared {
            true => replay::Filter::any_of(self.patterns().iter().map(matcher)),
            false => replay::Filter::all(),
        };
        if self.tags.is_empty() { filter } else { filter.with_tags(self.tags.iter().cloned()) }
    }
}

impl From<TopicName> for TopicFilter {
    fn from(topic: TopicName) -> Self {
        Self { patterns: Patterns::One(TopicPattern::Topic(topic)), tags: Labels::new() }
    }
}

impl fmt::Display for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, pattern) in self.patterns().iter().enumerate() {
            let separator = if index > 0 { ", " } else { "" };
            write!(f, "{separator}{pattern}")?;
        }
        Ok(())
    }
}

/// The error for topics that cannot be one subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopicFilterError {
    /// A text is not a topic name or a pattern.
    Name(TopicNameError),
    /// There is no topic.
    Empty,
    /// There are more than 100 topics and patterns, or more than 8 tags.
    TooMany,
    /// A tag is not `key=value`.
    Tag,
    /// The topics are not in one log.
    SeveralLogs,
}

impl fmt::Display for TopicFilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) => error.fmt(f),
            Self::Empty => f.write_str("no topic given"),
            Self::TooMany => f.write_str("too many topics or tags: at most 100 topics and 8 tags"),
            Self::Tag => f.write_str("invalid tag: expected key=value"),
            Self::SeveralLogs => f.write_str(
                "the topics are in several logs: join them with [[topics.log]] in the configuration, \
                 or use one subscription for each log",
            ),
        }
    }
}

impl std::error::Error for TopicFilterError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_stands_for_the_topics_below_a_name() {
        let matches = |pattern: &str, topic: &str| {
            pattern.parse::<TopicPattern>().unwrap().matches(&topic.parse().unwrap())
        };
        assert!(matches("a/*", "a/b") && matches("a/*", "a/b/c") && matches("*", "a"));
        assert!(matches("a/b", "a/b") && !matches("a/b", "a/bc"));
        assert!(!matches("a/*", "a") && !matches("a/*", "ab") && !matches("a/b/*", "a/c"));
        for bad in ["", "/*", "a*", "a/*/b", "**", "*/a", "a//*", "a/../*"] {
            assert!(bad.parse::<TopicPattern>().is_err(), "{bad}");
        }
        for text in ["a", "a/*", "*"] {
            assert_eq!(text.parse::<TopicPattern>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_filter_has_each_pattern_once_and_checks_its_tags() {
        let filter = TopicFilter::parse(["b/*", "a", "b/*"]).unwrap();
        assert_eq!(filter.to_string(), "a, b/*");
        assert_eq!(filter.topic(), None);
        assert_eq!(TopicFilter::parse([]), Err(TopicFilterError::Empty));
        assert_eq!(TopicFilter::parse(["a"; 101]), Err(TopicFilterError::TooMany));
        let one = TopicFilter::parse(["a"]).unwrap();
        assert_eq!(one.topic().unwrap().as_str(), "a");
        assert!(one.clone().with_tags(["k=v", "k="]).is_ok());
        assert_eq!(one.clone().with_tags(["=v"]), Err(TopicFilterError::Tag));
        assert_eq!(one.with_tags(["k=v"; 9]), Err(TopicFilterError::TooMany));
    }
}
