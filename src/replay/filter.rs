//! Filters: the choice of the events that a reader of a log receives.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use bytes::Bytes;

use super::Labels;

/// Choice of events by their labels, tags and other attributes. A clone is cheap.
///
/// ```
/// use windlass::replay::{Filter, Labels, Matcher};
///
/// let filter = Filter::any_of([Matcher::label("news"), Matcher::prefix("prices/")]);
/// assert!(filter.matches(&["prices/gold".into()], &[], false));
/// assert!(!filter.matches(&["sport".into()], &[], false));
/// let german = filter.with_tags(["language=de"]);
/// assert!(german.matches(&["news".into()], &["region=at".into(), "language=de".into()], false));
/// assert!(!german.matches(&["news".into()], &[], false));
/// assert!(Filter::all().is_all());
/// ```
#[derive(Clone, Default)]
pub struct Filter(Option<Arc<Rules>>);

/// Rules that an event must pass, all of them.
#[derive(Clone, Default)]
struct Rules {
    /// Labels of which the event must have one. `None`: any labels.
    labels: Option<LabelRules>,
    /// Tags that the event must have.
    tags: Labels,
    predicate: Option<Predicate>,
}

#[derive(Clone, Default, PartialEq, Eq)]
struct LabelRules {
    /// Sorted.
    exact: Vec<Bytes>,
    prefixes: Vec<Bytes>,
}

/// Function that chooses events by their header.
type Predicate = Arc<dyn Fn(&EventHeader<'_>) -> bool + Send + Sync>;

/// Rule about one label.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Matcher {
    /// The label with exactly this text.
    Label(Bytes),
    /// Every label that begins with this text.
    Prefix(Bytes),
}

/// Attributes of an event that a filter may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventHeader<'a> {
    /// Labels of the event.
    pub labels: &'a [Bytes],
    /// Tags of the event.
    pub tags: &'a [Bytes],
    /// Whether the event is private.
    pub private: bool,
}

impl Matcher {
    /// Creates a rule for exactly this label.
    pub fn label(text: impl Into<Bytes>) -> Self {
        Self::Label(text.into())
    }

    /// Creates a rule for every label that begins with this text.
    pub fn prefix(text: impl Into<Bytes>) -> Self {
        Self::Prefix(text.into())
    }
}

impl Filter {
    /// Returns the filter that every event passes.
    pub const fn all() -> Self {
        Self(None)
    }

    /// Returns a filter for the events with at least one label that one of the matchers accepts. Without
    /// matchers no event passes.
    pub fn any_of(matchers: impl IntoIterator<Item = Matcher>) -> Self {
        let mut labels = LabelRules::default();
        for matcher in matchers {
            match matcher {
                Matcher::Label(label) => labels.exact.push(label),
                Matcher::Prefix(prefix) => labels.prefixes.push(prefix),
            }
        }
        labels.exact.sort_unstable();
        labels.exact.dedup();
        Self(Some(Arc::new(Rules { labels: Some(labels), ..Rules::default() })))
    }

    /// Returns a filter for the events whose header the function accepts.
    ///
    /// The function runs on the threads that read the store, with locks held, so it must be quick and must
    /// not block. If it panics, the event does not pass.
    pub fn predicate(accepts: Arc<dyn Fn(&EventHeader<'_>) -> bool + Send + Sync>) -> Self {
        Self(Some(Arc::new(Rules { predicate: Some(accepts), ..Rules::default() })))
    }

    /// Adds tags that an event must have, all of them.
    #[must_use]
    pub fn with_tags<T: Into<Bytes>>(self, tags: impl IntoIterator<Item = T>) -> Self {
        let mut rules = self.0.map(Arc::unwrap_or_clone).unwrap_or_default();
        let added = tags.into_iter().map(Into::into);
        rules.tags = rules.tags.iter().cloned().chain(added).collect();
        Self(Some(Arc::new(rules)))
    }

    /// Returns `true` if every event passes because the filter has no rule.
    pub fn is_all(&self) -> bool {
        self.0.is_none()
    }

    /// Returns `true` if an event with these attributes passes.
    pub fn matches(&self, labels: &[Bytes], tags: &[Bytes], private: bool) -> bool {
        let Some(rules) = &self.0 else { return true };
        let has_label = rules.labels.is_none() || labels.iter().any(|label| self.accepts_label(label));
        has_label && self.accepts_rest(&EventHeader { labels, tags, private })
    }

    /// Returns `true` if the filter has rules about labels.
    pub(super) fn has_label_rules(&self) -> bool {
        self.label_rules().is_some()
    }

    /// Returns the labels that the filter accepts, without those of prefixes.
    pub(super) fn exact_labels(&self) -> &[Bytes] {
        self.label_rules().map_or(&[], |rules| &rules.exact)
    }

    /// Returns the prefixes of the labels that the filter accepts.
    pub(super) fn label_prefixes(&self) -> &[Bytes] {
        self.label_rules().map_or(&[], |rules| &rules.prefixes)
    }

    fn label_rules(&self) -> Option<&LabelRules> {
        self.0.as_ref().and_then(|rules| rules.labels.as_ref())
    }

    /// Returns `true` if an event with this label can pass.
    pub(super) fn accepts_label(&self, label: &[u8]) -> bool {
        let Some(rules) = self.label_rules() else { return true };
        rules.exact.binary_search_by(|exact| exact.as_ref().cmp(label)).is_ok()
            || rules.prefixes.iter().any(|prefix| label.starts_with(prefix))
    }

    /// Returns `true` if the tags and the predicate accept an event.
    pub(super) fn accepts_rest(&self, event: &EventHeader<'_>) -> bool {
        let Some(rules) = &self.0 else { return true };
        rules.tags.iter().all(|tag| event.tags.contains(tag))
            && rules.predicate.as_ref().is_none_or(|accepts| call(&**accepts, event))
    }
}

/// Calls a predicate. One that panics refuses the event; the panic hook has reported it.
fn call(accepts: &(dyn Fn(&EventHeader<'_>) -> bool + Send + Sync), event: &EventHeader<'_>) -> bool {
    // The predicate is foreign code, and the event is only read.
    catch_unwind(AssertUnwindSafe(|| accepts(event))).unwrap_or(false)
}

/// Filters are equal if they have the same rules. Predicates are equal if they are the same function object.
impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(a), Some(b)) => {
                let same_predicate = match (&a.predicate, &b.predicate) {
                    (None, None) => true,
                    (Some(a), Some(b)) => Arc::ptr_eq(a, b),
                    _ => false,
                };
                same_predicate && a.labels == b.labels && a.tags == b.tags
            }
            _ => false,
        }
    }
}

impl Eq for Filter {}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(rules) = &self.0 else { return f.write_str("Filter(all)") };
        let mut out = f.debug_struct("Filter");
        if let Some(labels) = &rules.labels {
            out.field("labels", &labels.exact).field("prefixes", &labels.prefixes);
        }
        out.field("tags", &rules.tags).field("has_predicate", &rules.predicate.is_some()).finish()
    }
}
