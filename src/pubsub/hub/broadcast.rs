//! What became of a message.

use std::{fmt, time::Duration};

use windlass_actors::fanout::{DeliveryReport, Overflow, Receipt};

use super::Message;

/// A message that was broadcast. Dropping it costs nothing and changes nothing.
#[derive(Debug)]
pub struct Sent(Result<Receipt<Message>, BroadcastError>);

/// How far a message got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Confirmed {
    /// Mailboxes that took it.
    pub taken: usize,
    /// Why another did not, if one did not: the first there was.
    pub first_error: Option<BroadcastError>,
}

/// Why a message did not get into a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BroadcastError {
    /// The hub was given to no server, or that one has not started.
    NotStarted,
    /// The hub was closed.
    Closed,
    /// This member's mailbox was full, and this happened to the member.
    Full(u64, Overflow),
    /// A shard had no room for the message: its members are treated as if their mailboxes had been full.
    ShardFull,
    /// A shard had not answered in time.
    Late,
}

impl fmt::Display for BroadcastError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted => f.write_str("the hub's server has not started"),
            Self::Closed => f.write_str("the hub is closed"),
            Self::Full(member, Overflow::Drop) => write!(f, "the mailbox of member {member} was full"),
            Self::Full(member, Overflow::Remove) => {
                write!(f, "member {member} was removed: its mailbox was full")
            }
            Self::Full(member, Overflow::Close) => {
                write!(f, "member {member} was closed: its mailbox was full")
            }
            Self::ShardFull => f.write_str("a shard had no room for the message"),
            Self::Late => f.write_str("a shard had not answered in time"),
        }
    }
}

impl std::error::Error for BroadcastError {}

impl Sent {
    pub(super) fn new(receipt: Receipt<Message>) -> Self {
        Self(Ok(receipt))
    }

    pub(super) fn nobody(why: BroadcastError) -> Self {
        Self(Err(why))
    }

    /// Returns how many members the hub had.
    pub fn members(&self) -> usize {
        self.0.as_ref().map_or(0, Receipt::subscribers)
    }

    /// Waits until every shard has handed the message out, for `timeout` at most, and tells what became of it.
    ///
    /// # Cancel safety
    ///
    /// It may be dropped and called again.
    pub async fn confirmed(&self, timeout: Duration) -> Confirmed {
        let receipt = match &self.0 {
            Ok(receipt) => receipt,
            Err(why) => return Confirmed { taken: 0, first_error: Some(*why) },
        };
        let report = receipt.delivery_report(timeout).await;
        Confirmed { taken: report.delivered, first_error: first_error(&report) }
    }
}

fn first_error(delivered: &DeliveryReport) -> Option<BroadcastError> {
    match delivered.first_lost {
        Some((member, overflow)) => Some(BroadcastError::Full(member, overflow)),
        None if delivered.shards_full > 0 => Some(BroadcastError::ShardFull),
        None if delivered.shards_pending > 0 => Some(BroadcastError::Late),
        None => None,
    }
}
