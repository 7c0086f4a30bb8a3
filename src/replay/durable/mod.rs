//! The durable store: topics in one redb file, written by one thread; must not know subscribers or shards.
//!
//! # How it writes
//!
//! Appends are messages to the writer thread over a bounded queue. The writer takes what waits, gives the events their
//! numbers, puts them and the rows of their topics into one transaction, trims what retention no longer keeps in the same
//! transaction, commits, and completes them in order. Under load many appends share a commit by themselves.
//!
//! # What survives what
//!
//! | acknowledged as | by | `kill -9` | power cut |
//! |---|---|---|---|
//! | [`Fsynced`](super::Durability::Fsynced) | a commit with redb's `Immediate`: the file is synced before the completion runs | survives | survives |
//! | [`Buffered`](super::Durability::Buffered) | a commit with redb's `None`; a synced one follows within [`Options::buffered_interval`] | lost if it comes before that | the same |
//! | [`None`](super::Durability::None) | a commit with redb's `None`; synced with the next that must be, when much waits, or after 5 s | lost | lost |
//!
//! redb keeps commits without durability in the process's memory and goes back to the last synced one when it opens a
//! file after a crash, so a kill loses as much as a power cut does, and never half a transaction. Synced commits save the
//! allocator's state (redb's quick repair, at the price of a second sync), so opening after a crash does not walk the file.
//!
//! # Positions after a crash
//!
//! A position told must never come again for another event, not even when the event was lost. So before numbers are told that
//! no synced commit holds, a block of them is leased: a synced commit says that all below the lease may have been told.
//! An open after a crash goes on behind the lease and what lies between is a gap. The first event below `Fsynced` of a topic
//! therefore waits for a sync; a lease is renewed, with the syncs that come anyway, when half of it is used, and grows with
//! the topic's rate. A topic that only ever had `Fsynced` events needs no lease and has no gap. A clean close gives leases back.
//!
//! A file restored from a copy knows nothing of the positions told since: delete the file instead, so that a new epoch begins.
//!
//! # How it reads
//!
//! Pages are read from snapshots (MVCC) on the store's reader threads, or with [`read_blocking`] on the caller's, beside
//! the writer.
//!
//! # When the disk fails
//!
//! Each append of the failed commit is told. The file is opened again, at most every 100 ms to 5 s; until that works,
//! appends and reads fail at once with [`ErrorKind::Unavailable`]. What was acknowledged below `Fsynced` and not synced
//! is then lost, as in a crash: readers see a gap, and [`Options::on_error`] is told. An append below `Fsynced` that fails
//! so leaves a number out once the file is open, because whoever fans out may have handed the event on: it is in nobody's
//! history, and that too is a gap. A damaged
//! file is an error where redb notices and where it panics; where it panics in a panic the process ends. So a file left
//! without a close three times in a row is checked as a whole when it is opened, as [`Options::verify`] always does.
//!
//! [`read_blocking`]: super::ReplayStore::read_blocking
//! [`ErrorKind::Unavailable`]: super::ErrorKind::Unavailable
mod commit;
mod database;
mod disk;
mod files;
mod missed;
mod options;
mod queue;
mod reader;
mod store;
mod tables;
mod topics;
mod trim;
mod writer;

#[doc(hidden)]
pub use disk::{Disk, Disks};
pub use options::{ErrorHook, Options};
pub use store::{Counters, DurableStore};
