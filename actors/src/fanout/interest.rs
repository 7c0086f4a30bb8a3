//! Labels of events, and the interests of subscribers in them. Imports nothing of the crate.

use std::{fmt, ops::Deref, sync::Arc};

/// Label of an event, such as the name of one of several topics that share a numbering. It consists of
/// segments separated by `/`. Clones share the text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Label(Arc<str>);

impl Deref for Label {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<T: Into<Arc<str>>> From<T> for Label {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

/// Condition on a label.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Matcher {
    /// Matches the equal label.
    Exact(Label),
    /// Matches the labels that begin with these segments and have at least one more. The empty prefix matches
    /// every label. The last `/` may be left out: `prices` and `prices/` match `prices/a` and `prices/a/b`,
    /// but not `prices` or `prices2`.
    Prefix(Label),
}

impl Matcher {
    /// Returns the matcher with a `/` at the end of a prefix that is not empty.
    fn normalized(self) -> Self {
        match &self {
            Self::Prefix(prefix) if !prefix.is_empty() && !prefix.ends_with('/') => {
                Self::Prefix(format!("{}/", prefix.0).into())
            }
            Self::Prefix(_) | Self::Exact(_) => self,
        }
    }
}

/// Function that returns `true` for the events that a subscriber wants. It gets the payload.
///
/// It runs on the shards, so it must be quick. The subscriber does not get an event for which it panics.
pub type Predicate<P> = Arc<dyn Fn(&P) -> bool + Send + Sync>;

/// Interest of a subscriber: the events of a topic that it gets. Default: all. Clones share the conditions.
///
/// An event without labels matches the matchers of every interest.
pub struct Interest<P> {
    /// `None` for every label.
    matchers: Option<Arc<[Matcher]>>,
    predicate: Option<Predicate<P>>,
}

impl<P> Interest<P> {
    /// Creates an interest in all events.
    pub fn all() -> Self {
        Self { matchers: None, predicate: None }
    }

    /// Creates an interest in the events with a label that one of the matchers matches. Such an event is
    /// delivered once, however many labels match. Without a matcher no event with labels is delivered.
    pub fn any_of(matchers: impl IntoIterator<Item = Matcher>) -> Self {
        let mut matchers: Vec<_> = matchers.into_iter().map(Matcher::normalized).collect();
        matchers.sort_unstable();
        matchers.dedup();
        Self { matchers: Some(matchers.into()), predicate: None }
    }

    /// Adds a condition on the payload. It is checked after the labels.
    #[must_use]
    pub fn with_predicate(self, predicate: Predicate<P>) -> Self {
        Self { predicate: Some(predicate), ..self }
    }

    /// Returns `true` if the interest has no condition.
    pub fn is_all(&self) -> bool {
        self.matchers.is_none() && self.predicate.is_none()
    }

    /// Returns the matchers, each once; `None` for every label.
    pub(super) fn matchers(&self) -> Option<&[Matcher]> {
        self.matchers.as_deref()
    }

    pub(super) fn predicate(&self) -> Option<&Predicate<P>> {
        self.predicate.as_ref()
    }
}

impl<P> Default for Interest<P> {
    fn default() -> Self {
        Self::all()
    }
}

impl<P> Clone for Interest<P> {
    fn clone(&self) -> Self {
        Self { matchers: self.matchers.clone(), predicate: self.predicate.clone() }
    }
}

impl<P> fmt::Debug for Interest<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Interest");
        debug.field("matchers", &self.matchers).field("has_predicate", &self.predicate.is_some()).finish()
    }
}
