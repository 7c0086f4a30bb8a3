//! Open streams by subject, and subjects that were disconnected.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Waker,
    time::{Duration, SystemTime},
};

use super::Identity;

/// Default of the number of subjects that are remembered as disconnected.
const REMEMBERED: usize = 10_000;

/// The open streams of all subjects, and the subjects that were disconnected. Clones share one set.
///
/// A program keeps a clone of [`TopicAccess::subjects`](crate::TopicAccess::subjects) to disconnect a
/// subject.
#[derive(Clone)]
pub struct Subjects(Arc<Shared>);

struct Shared {
    limit: usize,
    keep: Option<Duration>,
    table: Mutex<Table>,
    /// Number of disconnected subjects. While it is 0, requests do not lock the table.
    disconnected: AtomicUsize,
}

#[derive(Default)]
struct Table {
    next_id: u64,
    /// Open streams of each subject that has one.
    open: HashMap<Arc<str>, BTreeMap<u64, Arc<Signal>>>,
    /// Time of the last disconnect of each subject.
    disconnected: HashMap<Arc<str>, SystemTime>,
    /// Disconnected subjects, the earliest first. Has an outdated entry for each repeated disconnect.
    order: VecDeque<(Arc<str>, SystemTime)>,
}

/// Tells one stream that its subject was disconnected.
#[derive(Debug, Default)]
pub(super) struct Signal {
    is_set: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Signal {
    /// Returns `true` if the subject was disconnected.
    pub(super) fn is_set(&self) -> bool {
        self.is_set.load(Ordering::Acquire)
    }

    /// Sets the task to wake. The caller calls [`is_set`](Self::is_set) afterwards.
    pub(super) fn set_waker(&self, waker: &Waker) {
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker.clone());
    }

    fn set(&self) {
        self.is_set.store(true, Ordering::Release);
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        waker.into_iter().for_each(Waker::wake);
    }
}

/// Effect of [`Subjects::disconnect`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Disconnected {
    /// Streams that end.
    pub streams: usize,
    /// The table was full: the subject whose disconnect was the earliest was forgotten, and its tokens are
    /// accepted again.
    pub forgot_another: bool,
}

impl Default for Subjects {
    fn default() -> Self {
        Self::with_limits(REMEMBERED, None)
    }
}

impl Subjects {
    /// Creates an empty set that remembers at most `subjects` disconnected subjects, at least one, each for
    /// `keep`. `None` keeps them until the table is full. The default is 10,000 subjects and `None`.
    ///
    /// `keep` should be the longest lifetime of a token, so that a disconnected subject's tokens have expired
    /// when it is forgotten.
    pub fn with_limits(subjects: usize, keep: Option<Duration>) -> Self {
        Self(Arc::new(Shared {
            limit: subjects.max(1),
            keep,
            table: Mutex::default(),
            disconnected: AtomicUsize::new(0),
        }))
    }

    /// Ends all streams of a subject and refuses its identities that were issued until now. Identities that
    /// are issued later are accepted; a token's time of issue has whole seconds, so those of the current
    /// second are refused too.
    pub fn disconnect(&self, subject: &str) -> Disconnected {
        let now = SystemTime::now();
        let mut table = self.0.table();
        let subject: Arc<str> = subject.into();
        let is_new = table.disconnected.insert(subject.clone(), now).is_none();
        table.order.push_back((subject.clone(), now));
        let forgot_another = is_new && table.disconnected.len() > self.0.limit;
        self.0.forget(&mut table, now);
        let streams: Vec<_> =
            table.open.get(&subject).into_iter().flat_map(BTreeMap::values).cloned().collect();
        drop(table);
        streams.iter().for_each(|stream| stream.set());
        Disconnected { streams: streams.len(), forgot_another }
    }

    /// Returns `true` if the subject of an identity was disconnected after the identity was issued.
    pub(crate) fn refuse(&self, identity: &Identity) -> bool {
        if self.0.disconnected.load(Ordering::Acquire) == 0 {
            return false;
        }
        identity.subject().is_some_and(|subject| self.0.table().refuses(subject, identity.issued()))
    }

    /// Returns the number of streams of a subject.
    pub fn streams(&self, subject: &str) -> usize {
        self.0.table().open.get(subject).map_or(0, BTreeMap::len)
    }

    /// Adds a stream. Its signal is already set if the identity is refused.
    pub(super) fn open(&self, subject: &Arc<str>, issued: Option<SystemTime>) -> (u64, Arc<Signal>) {
        let signal = Arc::new(Signal::default());
        let mut table = self.0.table();
        if table.refuses(subject, issued) {
            signal.set();
        }
        let id = table.next_id;
        table.next_id += 1;
        table.open.entry(subject.clone()).or_default().insert(id, signal.clone());
        (id, signal)
    }

    /// Removes a stream.
    pub(super) fn close(&self, subject: &str, id: u64) {
        let mut table = self.0.table();
        let Some(streams) = table.open.get_mut(subject) else { return };
        streams.remove(&id);
        if streams.is_empty() {
            table.open.remove(subject);
        }
    }
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets disconnected subjects beyond the limits.
    fn forget(&self, table: &mut Table, now: SystemTime) {
        while let Some((subject, at)) = table.order.front() {
            let is_current = table.disconnected.get(subject) == Some(at);
            let age = now.duration_since(*at).unwrap_or_default();
            let is_old = self.keep.is_some_and(|keep| age > keep);
            if is_current && !is_old && table.disconnected.len() <= self.limit {
                break;
            }
            if is_current {
                table.disconnected.remove(&subject.clone());
            }
            table.order.pop_front();
        }
        // Repeated disconnects of the same subjects leave outdated entries behind a current one.
        if table.order.len() > self.limit.saturating_mul(2) {
            let Table { order, disconnected, .. } = table;
            order.retain(|(subject, at)| disconnected.get(subject) == Some(at));
        }
        self.disconnected.store(table.disconnected.len(), Ordering::Release);
    }
}

impl Table {
    fn refuses(&self, subject: &str, issued: Option<SystemTime>) -> bool {
        self.disconnected.get(subject).is_some_and(|at| issued.is_none_or(|issued| issued <= *at))
    }
}

impl fmt::Debug for Subjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.0.table();
        let (open, disconnected) = (table.open.len(), table.disconnected.len());
        f.debug_struct("Subjects").field("open", &open).field("disconnected", &disconnected).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issued(subject: &str, at: SystemTime) -> Identity {
        Identity::new(subject).issued_at(at)
    }

    #[test]
    fn a_disconnect_refuses_identities_that_were_issued_before() {
        let subjects = Subjects::default();
        let now = SystemTime::now();
        assert!(!subjects.refuse(&Identity::new("alice")));
        subjects.disconnect("alice");
        assert!(subjects.refuse(&Identity::new("alice")), "the time of issue is not known");
        assert!(subjects.refuse(&issued("alice", now)));
        assert!(!subjects.refuse(&issued("alice", now + Duration::from_secs(60))));
        assert!(!subjects.refuse(&issued("bob", now)));
        assert!(!subjects.refuse(&Identity::anonymous()));
    }

    #[test]
    fn a_full_table_forgets_the_earliest_and_says_so() {
        let subjects = Subjects::with_limits(2, None);
        assert!(!subjects.disconnect("a").forgot_another);
        assert!(!subjects.disconnect("b").forgot_another);
        assert!(!subjects.disconnect("a").forgot_another, "a is in the table already");
        assert!(subjects.disconnect("c").forgot_another);
        let refused = ["a", "b", "c"].map(|subject| subjects.refuse(&Identity::new(subject)));
        assert_eq!(refused, [true, false, true]);
        assert!((0..1000).all(|_| !subjects.disconnect("c").forgot_another));
        assert!(subjects.0.table().order.len() <= 5);
    }

    #[test]
    fn a_stream_that_opens_after_the_disconnect_of_its_subject_ends_at_once() {
        let subjects = Subjects::default();
        let alice: Arc<str> = "alice".into();
        let (first, signal) = subjects.open(&alice, None);
        assert!(!signal.is_set());
        assert_eq!(subjects.disconnect("alice").streams, 1);
        assert!(signal.is_set());
        let (second, late) = subjects.open(&alice, None);
        assert!(late.is_set());
        [first, second].into_iter().for_each(|id| subjects.close("alice", id));
        assert_eq!(subjects.streams("alice"), 0);
    }
}
