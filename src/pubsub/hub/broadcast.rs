//! The result of a broadcast.

use std::{fmt, time::Duration};

use windlass_actors::fanout::{DeliveryReport, Overflow, Receipt};

use super::Message;

/// A message that was broadcast. Dropping it has no effect.
#[derive(Debug)]
pub struct Sent(Result<Receipt<Message>, BroadcastError>);

/// Delivery counts of a broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Confirmed {
    /// Number of mailboxes that accepted the message.
    pub accepted: usize,
    /// First error, if the message did not get to every mailbox or not every shard has answered.
    pub first_error: Option<BroadcastError>,
}

/// Errors of a broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BroadcastError {
    /// The hub belongs to no server, or its server has not started.
    NotStarted,
    /// The hub is closed, or its server drains.
    Closed,
    /// The mailbox of this member was full. The overflow policy applied this action.
    Full(u64, Overflow),
    /// The relay of a shard had no room for the message. None of its members got it; the overflow policy
    /// applied to them all.
    ShardFull,
    /// A shard did not answer in time.
    TimedOut,
}

impl fmt::Display for BroadcastError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted => f.write_str("the hub belongs to no server, or its server has not started"),
            Self::Closed => f.write_str("the hub is closed"),
            Self::Full(member, Overflow::Drop) => {
                write!(f, "the mailbox of member {member} is full, message dropped")
            }
            Self::Full(member, Overflow::Remove) => {
                write!(f, "the mailbox of member {member} is full, member removed")
            }
            Self::Full(member, Overflow::Close) => {
                write!(f, "the mailbox of member {member} is full, member closed")
            }
            Self::ShardFull => f.write_str("a shard has no room for the message"),
            Self::TimedOut => f.write_str("a shard did not answer in time"),
        }
    }
}

impl std::error::Error for BroadcastError {}

impl Sent {
    pub(super) fn new(receipt: Receipt<Message>) -> Self {
        Self(Ok(receipt))
    }

    pub(super) fn failed(error: BroadcastError) -> Self {
        Self(Err(error))
    }

    /// Returns the number of members at the time of the broadcast.
    pub fn members(&self) -> usize {
        self.0.as_ref().map_or(0, Receipt::subscribers)
    }

    /// Waits until every shard has added the message to its members' mailboxes, and returns the counts.
    ///
    /// Returns incomplete counts and [`BroadcastError::TimedOut`] after `timeout`.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped and the method called again.
    pub async fn confirmed(&self, timeout: Duration) -> Confirmed {
        let receipt = match &self.0 {
            Ok(receipt) => receipt,
            Err(error) => return Confirmed { accepted: 0, first_error: Some(*error) },
        };
        let report = receipt.delivery_report(timeout).await;
        Confirmed { accepted: report.delivered, first_error: first_error(&report) }
    }
}

fn first_error(report: &DeliveryReport) -> Option<BroadcastError> {
    match report.first_lost {
        Some((member, overflow)) => Some(BroadcastError::Full(member, overflow)),
        None if report.shards_full > 0 => Some(BroadcastError::ShardFull),
        None if report.shards_pending > 0 => Some(BroadcastError::TimedOut),
        None => None,
    }
}
