//! Replay store tests: positions, pages, retention and crash recovery.
//!
//! `WINDLASS_REPLAY_ROUNDS` multiplies the number of kills and power cuts; `WINDLASS_REPLAY_SEED` repeats a
//! run. See `scripts/replay-crash.sh`.
#![allow(clippy::unwrap_used)]
#![cfg_attr(not(feature = "durable"), allow(dead_code, reason = "only the crash tests use these helpers"))]

mod broken_stores;
mod common;
#[cfg(feature = "durable")]
mod cut;
#[cfg(feature = "durable")]
mod disk;
#[cfg(feature = "durable")]
mod durable;
#[cfg(feature = "durable")]
mod failures;
mod filters;
#[cfg(feature = "durable")]
mod format1;
#[cfg(feature = "durable")]
mod kill;
mod logs;
mod memory;
mod model;
#[cfg(feature = "durable")]
mod oracle;
mod position;
