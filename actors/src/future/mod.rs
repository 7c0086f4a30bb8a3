//! Running a single future or call: block on it, race two, catch its panic. This folder must not know actors
//! or shards.

mod block_on;
mod catch_panic;
mod race;

pub(crate) use block_on::{block_on, block_on_until};
pub(crate) use catch_panic::{PanicPayload, catch_panic, catch_panic_async, panic_message};
pub(crate) use race::{Either, race};
