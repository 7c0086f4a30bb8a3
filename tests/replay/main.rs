//! The replay stores: positions, pages, what is kept, what survives.
//!
//! `WINDLASS_REPLAY_ROUNDS` multiplies the kills and power cuts, `WINDLASS_REPLAY_SEED` repeats a run; see
//! `scripts/replay-crash.sh`.
#![allow(clippy::unwrap_used)]
#![cfg_attr(
    not(feature = "durable"),
    allow(dead_code, reason = "what crashes need is only used where they are tested")
)]

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
#[cfg(feature = "durable")]
mod kill;
mod memory;
#[cfg(feature = "durable")]
mod oracle;
mod position;
