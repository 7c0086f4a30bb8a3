//! A file that is ready to be sent: its content or the open file, and its fields.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::HeaderValue;

use super::{
    coding::Coding,
    disk::{FileStat, OpenedFile},
};

/// Last second of the year 9999, the last one that a date can show, in seconds since 1970.
const LAST_SECOND: u64 = 253_402_300_799;

/// Age of a change before which the content may change again within the same time stamp. It is far above the
/// granularity of all file systems but FAT, which has 2 s.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// Validators of a file (RFC 9110 §8.8).
///
/// The entity tag consists of the time of the last change in nanoseconds, the length and the inode. Each
/// replacement by a rename has another inode, and each write another time, unless it follows the one before
/// within the granularity of the file system's clock. So a file that was changed in the last two seconds has
/// a weak tag: a range of it is never combined with earlier bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Validators {
    pub(super) tag: HeaderValue,
    pub(super) is_strong: bool,
    /// Time of the last change, in seconds since 1970.
    pub(super) modified_seconds: u64,
}

impl Validators {
    /// Returns the validators of a file whose state was read at `now`.
    pub(super) fn of(stat: &FileStat, now: SystemTime) -> Self {
        let (seconds, nanos) = stat.modified;
        let modified_seconds = u64::try_from(seconds).unwrap_or(0).min(LAST_SECOND);
        let modified = UNIX_EPOCH + Duration::new(modified_seconds, nanos.min(999_999_999));
        let is_strong = now.duration_since(modified).is_ok_and(|age| age >= SETTLED_AFTER);
        let weak = if is_strong { "" } else { "W/" };
        let (length, inode) = (stat.len_bytes, stat.identity.1);
        let tag = format!("{weak}\"{seconds:x}.{nanos:x}-{length:x}-{inode:x}\"");
        let tag = HeaderValue::try_from(tag).unwrap_or_else(|_| HeaderValue::from_static("W/\"\""));
        Self { tag, is_strong, modified_seconds }
    }

    /// Returns the value of `Last-Modified`.
    pub(super) fn last_modified(&self) -> HeaderValue {
        let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(self.modified_seconds));
        HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

/// Number of files that a route has open.
#[derive(Debug, Default)]
pub(super) struct OpenFiles(AtomicUsize);

impl OpenFiles {
    /// Counts a file. Returns `None` if `limit` files are open.
    pub(super) fn add(self: &Arc<Self>, limit: usize) -> Option<OpenCount> {
        let next = |open: usize| (open < limit).then_some(open + 1);
        self.0.fetch_update(Relaxed, Relaxed, next).is_ok().then(|| OpenCount(self.clone()))
    }
}

/// Counts an open file until it is dropped.
#[derive(Debug)]
pub(super) struct OpenCount(Arc<OpenFiles>);

impl Drop for OpenCount {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

/// A file that stays open while it is sent.
pub(super) struct OpenFile {
    pub(super) file: Box<dyn OpenedFile>,
    /// State of the file when it was opened.
    pub(super) stat: FileStat,
    _count: OpenCount,
}

impl OpenFile {
    pub(super) fn new(file: Box<dyn OpenedFile>, stat: FileStat, count: OpenCount) -> Self {
        Self { file, stat, _count: count }
    }
}

/// Content of a file.
#[derive(Clone)]
pub(super) enum Content {
    /// All bytes of a small file.
    Cached(Bytes),
    /// A file that is read while it is sent.
    Open(Arc<OpenFile>),
}

/// One of the files behind a name: the file itself, or a compressed one beside it.
#[derive(Clone)]
pub(super) struct Representation {
    pub(super) stat: FileStat,
    pub(super) content: Content,
    pub(super) validators: Validators,
    pub(super) last_modified: HeaderValue,
}

impl Representation {
    pub(super) fn new(stat: FileStat, content: Content, now: SystemTime) -> Self {
        let validators = Validators::of(&stat, now);
        let last_modified = validators.last_modified();
        Self { stat, content, validators, last_modified }
    }

    /// Returns the length in bytes.
    pub(super) fn len_bytes(&self) -> u64 {
        self.stat.len_bytes
    }

    /// Returns the number of bytes that the content occupies in the cache.
    fn cached_bytes(&self) -> usize {
        match &self.content {
            Content::Cached(bytes) => bytes.len(),
            Content::Open(_) => 0,
        }
    }
}

/// A file, ready to be sent.
pub(super) struct Entry {
    /// Value of `Content-Type`.
    pub(super) content_type: HeaderValue,
    /// Value of `Cache-Control`.
    pub(super) cache_control: Option<HeaderValue>,
    pub(super) plain: Representation,
    /// Compressed files, in the order of preference.
    pub(super) coded: Vec<(Coding, Representation)>,
}

impl Entry {
    /// Returns the number of bytes that the entry counts in the cache.
    pub(super) fn cost_bytes(&self) -> usize {
        /// Fields, places in tables, and the kernel's state of an open file.
        const OVERHEAD_BYTES: usize = 1024;
        let coded = self.coded.iter().map(|(_, representation)| representation);
        coded.chain([&self.plain]).map(|each| each.cached_bytes() + OVERHEAD_BYTES).sum()
    }
}

/// Result of a lookup.
#[derive(Clone)]
pub(super) enum Found {
    /// A file.
    File(Arc<Entry>),
    /// A directory whose name lacks the slash at the end.
    Directory,
    /// There is no regular file of that name below the root.
    Missing,
    /// The process may not read the file.
    Forbidden,
    /// The file cannot be served at present. The cause is a metric label.
    Unavailable(&'static str),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::disk::FileKind;

    fn validators(modified: (i64, u32), now: u64) -> Validators {
        let stat = FileStat { kind: FileKind::Regular, len_bytes: 10, identity: (1, 2), modified };
        Validators::of(&stat, UNIX_EPOCH + Duration::from_secs(now))
    }

    #[test]
    fn a_tag_is_strong_two_seconds_after_the_change() {
        assert_eq!(validators((100, 7), 103).tag, "\"64.7-a-2\"");
        for (now, is_strong) in [(50, false), (100, false), (102, false), (103, true), (1000, true)] {
            let validators = validators((100, 1), now);
            assert_eq!(validators.is_strong, is_strong, "{now}");
            assert_eq!(validators.tag.as_bytes().starts_with(b"W/"), !is_strong, "{now}");
        }
    }

    #[test]
    fn times_that_no_date_can_show_are_the_nearest_ones() {
        assert_eq!(validators((-5, 0), 100).last_modified(), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(validators((i64::MAX, 0), 100).last_modified(), "Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
