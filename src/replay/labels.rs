//! Short lists of texts: the labels and the tags of an event.

use std::{fmt, ops::Deref, slice, sync::Arc};

use bytes::Bytes;

/// Labels or tags of an event, as a slice of texts.
///
/// A list of at most one text allocates nothing. A clone shares the bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Labels(List);

#[derive(Clone, PartialEq, Eq)]
enum List {
    One(Bytes),
    /// `None` is the empty list, and `Some` has at least two texts. In this form the type has the size of
    /// [`Bytes`].
    Other(Option<Arc<[Bytes]>>),
}

impl Labels {
    /// Creates an empty list.
    pub const fn new() -> Self {
        Self(List::Other(None))
    }

    /// Returns the texts in order.
    pub fn as_slice(&self) -> &[Bytes] {
        match &self.0 {
            List::One(text) => slice::from_ref(text),
            List::Other(texts) => texts.as_deref().unwrap_or_default(),
        }
    }

    /// Returns the total length of the texts in bytes.
    pub(super) fn total_bytes(&self) -> usize {
        self.iter().map(Bytes::len).sum()
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for Labels {
    type Target = [Bytes];

    fn deref(&self) -> &[Bytes] {
        self.as_slice()
    }
}

impl From<Bytes> for Labels {
    /// Creates a list of one text.
    fn from(text: Bytes) -> Self {
        Self(List::One(text))
    }
}

impl<T: Into<Bytes>> FromIterator<T> for Labels {
    fn from_iter<I: IntoIterator<Item = T>>(texts: I) -> Self {
        let mut texts = texts.into_iter().map(Into::into);
        match (texts.next(), texts.next()) {
            (None, _) => Self::new(),
            (Some(text), None) => Self::from(text),
            (Some(first), Some(second)) => {
                Self(List::Other(Some([first, second].into_iter().chain(texts).collect())))
            }
        }
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_slice().fmt(f)
    }
}
