//! Bounded mailboxes: many sending threads, one receiver. This folder must not know shards or actors: senders
//! wake the receiver.
//!
//! `tests/mailbox_model.rs` compiles this folder with loom's atomics and a replacement for the channel.

mod receiver;
mod shared;

pub(crate) use receiver::Receiver;
pub(crate) use shared::{Envelope, Mailbox};
