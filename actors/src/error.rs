//! Errors of this crate. Imports nothing of the crate.

use std::{error::Error, fmt, io, sync::Arc};

/// Reason why a message was not accepted, with the message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TellError<M> {
    /// The mailbox is full. Try again later, or drop the message.
    Full(M),
    /// The receiver is draining or has ended. No further message will be accepted.
    Closed(M),
}

impl<M> TellError<M> {
    /// Returns the message.
    pub fn into_message(self) -> M {
        match self {
            Self::Full(message) | Self::Closed(message) => message,
        }
    }

    /// Returns `true` for [`Full`](Self::Full): sending may succeed later.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }
}

impl<M> fmt::Debug for TellError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_full() { "Full(..)" } else { "Closed(..)" })
    }
}

impl<M> fmt::Display for TellError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_full() {
            "the mailbox of the receiver is full, try again later"
        } else {
            "the receiver is stopping or has ended"
        })
    }
}

impl<M> Error for TellError<M> {}

/// Error of a send to a receiver that is draining or has ended. Holds the message that was not accepted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Closed<M>(pub M);

impl<M> fmt::Debug for Closed<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Closed(..)")
    }
}

impl<M> fmt::Display for Closed<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the receiver is stopping or has ended")
    }
}

impl<M> Error for Closed<M> {}

/// Reason why a question has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AskError {
    /// The timeout has expired. The actor may still handle the question.
    Timeout,
    /// The reply was dropped without an answer: by the actor, by its panic or by its exit.
    NoReply,
    /// The actor is draining or has exited, and did not accept the question.
    Closed,
    /// The call would block the thread of a shard, which must never block.
    OnShard,
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timeout => "the actor did not answer within the timeout",
            Self::NoReply => "the reply was dropped without an answer",
            Self::Closed => "the actor is stopping or has exited",
            Self::OnShard => "a shard's thread must not block: use the async method instead",
        })
    }
}

impl Error for AskError {}

/// Reason why an actor was not registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegisterError {
    /// An actor with the same message type is registered under this name already.
    Taken,
    /// The actor has exited.
    Exited,
}

impl fmt::Display for RegisterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Taken => "an actor with this message type is registered under this name already",
            Self::Exited => "the actor has exited",
        })
    }
}

impl Error for RegisterError {}

/// Reason why an actor was not spawned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpawnError {
    /// The system has no shard of this index.
    NoSuchShard {
        /// The requested index.
        shard: usize,
        /// The number of shards.
        shards: usize,
    },
    /// Too many actors wait to be started on that shard.
    Full,
    /// The shard or the whole system is stopping or has stopped.
    Stopped,
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchShard { shard, shards } => {
                write!(f, "there is no shard {shard}: the system has {shards} shards, counted from 0")
            }
            Self::Full => f.write_str("too many actors wait to be started on the shard, try again later"),
            Self::Stopped => f.write_str("the shard is stopping or has stopped"),
        }
    }
}

impl Error for SpawnError {}

/// Reason why the requested cores cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CoresError {
    /// The configuration asks for zero shards.
    NoShards,
    /// The configuration lists a core that this process may not run on.
    UnknownCore {
        /// The listed core.
        core: usize,
        /// The cores this process may run on.
        allowed: Vec<usize>,
    },
    /// The kernel does not report the cores that this process may run on.
    Unavailable,
}

impl fmt::Display for CoresError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoShards => f.write_str("the configuration asks for no shard: at least one is required"),
            Self::UnknownCore { core, allowed } => {
                write!(f, "this process may not run on core {core}, allowed cores: {allowed:?}")
            }
            Self::Unavailable => {
                f.write_str("the kernel does not report the cores that this process may run on")
            }
        }
    }
}

impl Error for CoresError {}

/// Failure of one shard.
#[derive(Clone, Debug)]
pub struct ShardFailure {
    /// The shard's index.
    pub shard: usize,
    /// The cause of the failure.
    pub cause: FailureCause,
}

/// Cause of a shard's failure.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum FailureCause {
    /// The kernel refused the thread, the executor or the doorbell of the shard.
    Host(Arc<io::Error>),
    /// The factory of the driver failed.
    Factory(Arc<io::Error>),
    /// The driver returned an error.
    Driver(Arc<io::Error>),
    /// The driver, its factory or the host panicked. Holds the message of the panic.
    Panic(String),
}

impl fmt::Display for ShardFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shard {}: ", self.shard)?;
        match &self.cause {
            FailureCause::Host(error) => write!(f, "cannot start: {error}"),
            FailureCause::Factory(error) => write!(f, "its driver cannot start: {error}"),
            FailureCause::Driver(error) => write!(f, "its driver failed: {error}"),
            FailureCause::Panic(message) => write!(f, "panicked: {message}"),
        }
    }
}

impl Error for ShardFailure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.cause {
            FailureCause::Host(error) | FailureCause::Factory(error) | FailureCause::Driver(error) => {
                Some(error.as_ref())
            }
            FailureCause::Panic(_) => None,
        }
    }
}

/// Reason why a system did not start. Shards that did start have been stopped again.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The requested cores cannot be used.
    Cores(CoresError),
    /// Failures of shards, at least one.
    Shards(Vec<ShardFailure>),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cores(error) => error.fmt(f),
            Self::Shards(failures) => {
                for (i, failure) in failures.iter().enumerate() {
                    write!(f, "{}{failure}", if i == 0 { "" } else { "; " })?;
                }
                Ok(())
            }
        }
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Cores(error) => Some(error),
            Self::Shards(failures) => failures.first().map(|failure| failure as &(dyn Error + 'static)),
        }
    }
}

impl From<CoresError> for StartError {
    fn from(error: CoresError) -> Self {
        Self::Cores(error)
    }
}

/// Reason why a function on a pool has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolError {
    /// The queue of the pool is full.
    Full,
    /// The pool is stopping or has stopped.
    Stopped,
    /// The function panicked.
    Panicked,
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the queue of the pool is full, try again later",
            Self::Stopped => "the pool is stopping or has stopped",
            Self::Panicked => "the function that the pool ran panicked",
        })
    }
}

impl Error for PoolError {}
