//! Response headers.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// An ordered list of header names and values.
///
/// The first `Content-Type` comes first, whenever it was added. A list with no other header allocates
/// nothing.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    /// First `Content-Type`. Stored separately, because many responses have no other header.
    content_type: Option<HeaderValue>,
    others: Vec<(HeaderName, HeaderValue)>,
}

impl Fields {
    /// Sets a header. Replaces all values of that name.
    pub fn insert(&mut self, name: HeaderName, value: HeaderValue) {
        self.remove(&name);
        self.append(name, value);
    }

    /// Adds a header. Keeps other values of that name.
    pub fn append(&mut self, name: HeaderName, value: HeaderValue) {
        if name == header::CONTENT_TYPE && self.content_type.is_none() {
            self.content_type = Some(value);
        } else {
            self.others.push((name, value));
        }
    }

    /// Removes all values of a header.
    pub fn remove(&mut self, name: &HeaderName) {
        if *name == header::CONTENT_TYPE {
            self.content_type = None;
        }
        self.others.retain(|(known, _)| known != name);
    }

    /// Returns the first value of a header, or `None` without that header. The name is case-insensitive.
    pub fn first(&self, name: &str) -> Option<&HeaderValue> {
        self.iter().find(|(known, _)| known.as_str().eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Returns all headers: the first `Content-Type`, then the others in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        let content_type = self.content_type.iter().map(|value| (&header::CONTENT_TYPE, value));
        content_type.chain(self.others.iter().map(|(name, value)| (name, value)))
    }

    /// Returns the number of header lines: each value of a repeated name counts.
    pub fn len(&self) -> usize {
        usize::from(self.content_type.is_some()) + self.others.len()
    }

    /// Returns `true` if there are no headers.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Converts from the `http` crate's map.
impl From<HeaderMap> for Fields {
    fn from(map: HeaderMap) -> Self {
        let mut fields = Self::default();
        let mut last = None;
        for (name, value) in map {
            // The map yields a name once, and `None` for each further value of that name.
            last = name.or(last);
            if let Some(name) = &last {
                fields.append(name.clone(), value);
            }
        }
        fields
    }
}

/// Converts to the `http` crate's map.
impl From<Fields> for HeaderMap {
    fn from(fields: Fields) -> Self {
        let mut map = Self::with_capacity(fields.len());
        if let Some(content_type) = fields.content_type {
            map.append(header::CONTENT_TYPE, content_type);
        }
        for (name, value) in fields.others {
            map.append(name, value);
        }
        map
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_type_is_a_header_like_others() {
        let mut fields = Fields::default();
        let (html, json) =
            (HeaderValue::from_static("text/html"), HeaderValue::from_static("application/json"));
        fields.append(header::AGE, HeaderValue::from_static("1"));
        fields.append(header::CONTENT_TYPE, html.clone());
        fields.append(header::CONTENT_TYPE, json.clone());
        let types: Vec<_> = fields.iter().filter(|(name, _)| **name == header::CONTENT_TYPE).collect();
        assert_eq!(types.len(), 2);
        assert_eq!((fields.len(), fields.first("Content-Type")), (3, Some(&html)));
        fields.insert(header::CONTENT_TYPE, json.clone());
        assert_eq!((fields.len(), fields.first("content-type")), (2, Some(&json)));
        fields.remove(&header::CONTENT_TYPE);
        assert_eq!((fields.len(), fields.first("content-type")), (1, None));
        assert_eq!(HeaderMap::from(fields).len(), 1);
    }
}
