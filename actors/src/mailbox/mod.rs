//! Bounded mailboxes from many threads to one receiver. Knows no actor and no shard: whoever sends also wakes.
//!
//! `tests/mailbox_model.rs` compiles this folder over loom's atomics and a stand-in for its channel.

mod receiver;
mod shared;

pub(crate) use receiver::Intake;
pub(crate) use shared::{Letter, Mailbox};
