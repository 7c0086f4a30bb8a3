//! Helpers for running one future or call: blocking on it, racing two, catching a panic. Knows no actor and no shard.

mod block_on;
mod contain;
mod race;

pub(crate) use block_on::block_on;
pub(crate) use contain::{Payload, contain, contained, panic_message};
pub(crate) use race::{First, race};
