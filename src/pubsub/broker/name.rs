//! Topic names.

use std::{fmt, str::FromStr, sync::Arc};

/// Longest name of a topic, bytes.
const NAME_BYTES: usize = 256;

/// The name of a topic.
///
/// A name is 1 to 256 bytes of ASCII letters, digits and `-_.~:@+`, in segments separated by `/`. No segment
/// is empty, `.` or `..`, so a name is a valid URL path. Clones are cheap.
///
/// ```
/// use windlass::broker::TopicName;
/// assert!("news/sport".parse::<TopicName>().is_ok());
/// assert!("news//sport".parse::<TopicName>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicName(pub(super) Arc<str>);

impl TopicName {
    /// Returns the name as a string.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TopicName {
    type Err = TopicNameError;

    fn from_str(name: &str) -> Result<Self, TopicNameError> {
        let is_segment =
            |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(is_name_byte);
        match name.len() <= NAME_BYTES && name.split('/').all(is_segment) {
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

/// The error for a text that is not a valid topic name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicNameError;

impl fmt::Display for TopicNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "invalid topic name: expected 1 to 256 letters, digits and -_.~:@+, in segments separated by '/'",
        )
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
