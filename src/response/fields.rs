//! The headers of a response: a short list, kept inline as long as it is short.

use http::{HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;

/// Headers kept without an allocation; most responses have a content type and one more.
const INLINE: usize = 2;

/// An ordered list of header names and values.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    list: SmallVec<[(HeaderName, HeaderValue); INLINE]>,
}

impl Fields {
    /// Sets a header, replacing earlier values of that name.
    pub fn insert(&mut self, name: HeaderName, value: HeaderValue) {
        self.remove(&name);
        self.append(name, value);
    }

    /// Adds a header beside earlier values of that name.
    pub fn append(&mut self, name: HeaderName, value: HeaderValue) {
        self.list.push((name, value));
    }

    /// Removes every value of that name.
    pub fn remove(&mut self, name: &HeaderName) {
        self.list.retain(|(known, _)| known != name);
    }

    /// Returns the first value of that name, in any case.
    pub fn first(&self, name: &str) -> Option<&HeaderValue> {
        self.list.iter().find(|(known, _)| known.as_str().eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Returns every header in order.
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.list.iter().map(|(name, value)| (name, value))
    }

    /// Returns how many headers there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Says whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

/// Converts to the `http` crate's map.
impl From<Fields> for HeaderMap {
    fn from(fields: Fields) -> Self {
        let mut map = Self::with_capacity(fields.list.len());
        for (name, value) in fields.list {
            map.append(name, value);
        }
        map
    }
}
