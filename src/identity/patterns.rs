//! Sets of topics, as patterns.

use std::{fmt, sync::Arc};

/// Placeholder for the subject in a pattern.
const SUBJECT: &str = "{sub}";

/// A set of topics: names, and prefixes. Clones are cheap.
///
/// A pattern is the name of a topic, a prefix followed by `/*`, or `*` for all topics. `prices/*` contains
/// `prices/oil` and `prices/metals/gold`, but not `prices`.
///
/// ```
/// use windlass::identity::TopicPatterns;
/// let topics = TopicPatterns::parse_for(Some("alice"), ["news", "users/{sub}/*"])?;
/// assert!(topics.contain("news") && topics.contain("users/alice/mail"));
/// assert!(!topics.contain("news/sport") && !topics.contain("users/bob/mail"));
/// # Ok::<(), windlass::identity::InvalidPattern>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicPatterns(Arc<[Pattern]>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Name(Box<str>),
    /// Everything that begins with this text, which is empty or ends with `/`.
    Prefix(Box<str>),
}

impl TopicPatterns {
    /// Parses patterns. An empty list contains no topic.
    ///
    /// # Errors
    ///
    /// A pattern is empty, or has a `*` elsewhere than at the end after a `/`, or a placeholder.
    pub fn parse<S: AsRef<str>>(patterns: impl IntoIterator<Item = S>) -> Result<Self, InvalidPattern> {
        Self::parse_for(None, patterns)
    }

    /// Like [`parse`](Self::parse), with the subject in place of each `{sub}`.
    ///
    /// # Errors
    ///
    /// Those of `parse`; and a pattern has the placeholder, but there is no subject, or it cannot be a
    /// segment of a topic's name. A subject with `/` or `*` would otherwise name other topics.
    pub fn parse_for<S: AsRef<str>>(
        subject: Option<&str>,
        patterns: impl IntoIterator<Item = S>,
    ) -> Result<Self, InvalidPattern> {
        let patterns = patterns.into_iter().map(|pattern| Pattern::parse(subject, pattern.as_ref()));
        patterns.collect::<Result<_, _>>().map(Self)
    }

    /// Returns `true` if the set contains the topic of this name.
    ///
    /// For a pattern in place of a name, returns `true` if the set contains all topics of the pattern and the
    /// set's own pattern shows it: a prefix that is as long or shorter.
    pub fn contain(&self, topic: &str) -> bool {
        self.0.iter().any(|pattern| match pattern {
            Pattern::Name(name) => **name == *topic,
            Pattern::Prefix(prefix) => topic.starts_with(&**prefix),
        })
    }

    /// Returns `true` if the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Pattern {
    fn parse(subject: Option<&str>, text: &str) -> Result<Self, InvalidPattern> {
        let expanded = match (text.contains(SUBJECT), subject) {
            (false, _) => text.to_owned(),
            (true, Some(subject)) if is_segment(subject) => text.replace(SUBJECT, subject),
            (true, Some(_)) => return Err(InvalidPattern::Subject),
            (true, None) => return Err(InvalidPattern::Syntax),
        };
        let (stem, is_prefix) = match expanded.strip_suffix('*') {
            Some(stem) if stem.is_empty() || stem.ends_with('/') => (stem, true),
            Some(_) => return Err(InvalidPattern::Syntax),
            None => (expanded.as_str(), false),
        };
        if stem.contains(['*', '{', '}']) || expanded.is_empty() {
            return Err(InvalidPattern::Syntax);
        }
        Ok(if is_prefix { Self::Prefix(stem.into()) } else { Self::Name(stem.into()) })
    }
}

/// Returns `true` for one segment of a topic's name.
fn is_segment(text: &str) -> bool {
    let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~:@+".contains(&byte);
    !matches!(text, "" | "." | "..") && text.bytes().all(is_name_byte)
}

/// Error of a pattern that names no set of topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidPattern {
    /// The pattern is no name, no prefix followed by `/*`, and not `*`.
    Syntax,
    /// The subject cannot replace the placeholder, because it cannot be a segment of a topic's name.
    Subject,
}

impl fmt::Display for InvalidPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => "invalid pattern: expected a topic's name, a prefix followed by /*, or *",
            Self::Subject => "the subject cannot be a segment of a topic's name, as {sub} in a pattern needs",
        })
    }
}

impl std::error::Error for InvalidPattern {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_name_or_a_prefix_of_whole_segments() {
        let topics = TopicPatterns::parse(["news", "prices/*"]).unwrap();
        for (topic, contained) in [
            ("news", true),
            ("news/sport", false),
            ("newspaper", false),
            ("prices", false),
            ("prices/oil", true),
            ("prices/metals/gold", true),
            ("prices2/oil", false),
            ("prices/*", true),
            ("prices/metals/*", true),
            ("*", false),
            ("price*", false),
        ] {
            assert_eq!(topics.contain(topic), contained, "{topic}");
        }
        assert!(TopicPatterns::parse(["*"]).unwrap().contain("anything/*"));
        assert!(!TopicPatterns::default().contain("news"));
        for invalid in ["", "a*", "*/a", "a/*/b", "a/**", "**", "{sub}", "a/{user}", "a/{"] {
            assert_eq!(TopicPatterns::parse([invalid]), Err(InvalidPattern::Syntax), "{invalid}");
        }
    }

    #[test]
    fn a_subject_cannot_widen_a_pattern() {
        let parse = |subject, pattern| TopicPatterns::parse_for(Some(subject), [pattern]);
        let own = parse("alice", "chat/{sub}/*").unwrap();
        assert!(own.contain("chat/alice/inbox") && !own.contain("chat/alicia/inbox"));
        for subject in ["*", "a/*", "a/b", "/", "", ".", "..", "a*", "{sub}", "a b", "ä", "a\0"] {
            for pattern in ["{sub}", "chat/{sub}", "chat/{sub}/*"] {
                assert_eq!(parse(subject, pattern), Err(InvalidPattern::Subject), "{subject:?} in {pattern}");
            }
            assert!(parse(subject, "news").is_ok(), "{subject:?} is not in the pattern");
        }
    }
}
