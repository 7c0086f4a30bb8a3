//! The durable store: logs in one redb file, written by one thread; must not know subscribers or shards.
//!
//! # Writing
//!
//! Appends go to the writer thread over a bounded queue. The writer takes all queued appends, assigns their
//! numbers, and stores the events and the rows of their logs in one transaction. The same transaction
//! removes the events that retention no longer keeps. Then the writer commits and completes the appends in
//! order. Under load, many appends share one commit.
//!
//! # Durability
//!
//! | acknowledged as | commit | after `kill -9` | after a power cut |
//! |---|---|---|---|
//! | [`Fsynced`](super::Durability::Fsynced) | redb's `Immediate`: the file is synced before the completion runs | kept | kept |
//! | [`Buffered`](super::Durability::Buffered) | redb's `None`; a synced commit follows within [`Options::buffered_interval`] | lost if not synced | lost if not synced |
//! | [`None`](super::Durability::None) | redb's `None`; synced together with other events, by amount, or after 5 s | lost if not synced | lost if not synced |
//!
//! redb keeps commits without durability in the memory of the process. After a crash it opens the file in the
//! state of the last synced commit. So `kill -9` loses as much as a power cut, and never a part of a
//! transaction. A synced commit saves redb's allocator state (quick repair), which costs a second sync. In
//! return, opening after a crash does not scan the file.
//!
//! # Positions after a crash
//!
//! A position that was acknowledged must never stand for another event, even if the crash lost the event. So
//! before the writer acknowledges a number without a sync, it leases a block of numbers: a synced commit
//! stores the end of the block. After a crash, numbering continues after the lease, and readers see the
//! numbers in between as a gap.
//!
//! - The first event of a log below `Fsynced` waits for a sync that stores the lease.
//! - Later syncs renew a lease once less than half of it is left. The size of the block grows with the
//!   log's rate.
//! - A log with only `Fsynced` events has no lease and no gap.
//! - A clean close removes the leases.
//!
//! A file restored from a backup does not contain the positions assigned since. Delete the file instead of
//! restoring it, so that a new epoch begins.
//!
//! # Labels, keys and ids
//!
//! Besides the events, the file has the largest removed number of each label, the idempotency keys and the
//! ids of publishers, each in a table of its own. They change in the transaction of their event, so after a
//! crash they match the events. A log whose events have only its name as a label has no rows there. The
//! writer keeps in memory which events the labels of a log claim. It reads them from the file when the log is
//! first used with other labels.
//!
//! # Forgotten logs
//!
//! A log is forgotten when there are too many, or when all logs together exceed their bytes. New logs start
//! above its last number. A commit that forgets a log is synced, because readers see the raised start.
//!
//! # Damaged events
//!
//! Each event has a checksum. Readers of a damaged event receive a gap, and
//! [`Counters::damaged`](Counters::damaged) counts it. Only the first one is logged.
//!
//! # Formats
//!
//! The store writes format 2. When it opens a file of format 1, it converts the file, in several commits. An
//! interrupted conversion continues at the next opening.
//!
//! # Reading
//!
//! The reader threads read pages from snapshots (MVCC), concurrently with the writer. [`read_blocking`] reads
//! on the calling thread.
//!
//! # Disk failures
//!
//! - Every append of the failed commit receives the error.
//! - The store reopens the file after a pause, which grows from 100 ms to 5 s. Until that succeeds, appends
//!   and reads fail with [`ErrorKind::Unavailable`].
//! - Events that were acknowledged but not synced are lost, as in a crash. Readers see a gap, and
//!   [`Options::on_error`] is called.
//! - The failure is logged once, with its cause, and so is the recovery. Until then
//!   [`failure`](super::ReplayStore::failure) returns it, and the server is not ready.
//! - A file that was deleted, moved away or replaced takes no more events: nothing is acknowledged for a file
//!   without a name. It can still be read, and works again when it is put back.
//! - A failed append below `Fsynced` uses up a number once the file is open again. Its event may have reached
//!   subscribers but is not stored, so readers see a gap.
//!
//! A damaged file is an error if redb detects the damage or panics. A panic inside a panic ends the process.
//! So after three consecutive ends without a close, the store verifies the whole file when it opens, as
//! [`Options::verify`] always does.
//!
//! [`read_blocking`]: super::ReplayStore::read_blocking
//! [`ErrorKind::Unavailable`]: super::ErrorKind::Unavailable
mod commit;
mod database;
mod directory;
mod disk;
mod errors;
mod failed_appends;
mod format1;
mod health;
mod keys;
mod location;
mod logs;
mod options;
mod queue;
mod reader;
mod record;
mod shared;
mod store;
mod tables;
mod trim;
mod writer;

#[doc(hidden)]
pub use disk::{Disk, DiskOpener};
#[doc(hidden)]
pub use errors::is_guarded;
pub use options::{ErrorHook, Options};
pub use shared::Counters;
pub use store::DurableStore;
