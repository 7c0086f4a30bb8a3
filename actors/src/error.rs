//! What can go wrong, and whose fault it is. Names no other module.

use std::{error::Error, fmt, io, sync::Arc};

/// Says why a message was not taken, and gives it back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TellError<M> {
    /// The mailbox holds as many messages as it may: back off or shed.
    Full(M),
    /// The receiver has ended: no message will be taken any more.
    Closed(M),
}

impl<M> TellError<M> {
    /// Takes the message back.
    pub fn into_message(self) -> M {
        match self {
            Self::Full(message) | Self::Closed(message) => message,
        }
    }

    /// Says whether waiting may help.
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
        f.write_str(if self.is_full() { "the mailbox is full" } else { "the receiver has ended" })
    }
}

impl<M> Error for TellError<M> {}

/// Says that the receiver has ended, and gives the message back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Closed<M>(pub M);

impl<M> fmt::Debug for Closed<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Closed(..)")
    }
}

impl<M> fmt::Display for Closed<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the receiver has ended")
    }
}

impl<M> Error for Closed<M> {}

/// Says why a question has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AskError {
    /// No answer within the time allowed. The actor may still handle the message.
    Timeout,
    /// The actor, or its panic, or its end, dropped the reply without answering.
    NoReply,
    /// The actor has ended and did not take the message.
    Closed,
    /// A blocking call on a shard's thread, which must never block.
    OnShard,
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timeout => "no answer in time",
            Self::NoReply => "the reply was dropped unanswered",
            Self::Closed => "the actor has ended",
            Self::OnShard => "a shard's thread must not block: use ask, not ask_blocking",
        })
    }
}

impl Error for AskError {}

/// Says why an actor was not entered in a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegisterError {
    /// An actor that lives and takes the same messages has the name.
    Taken,
    /// The actor has ended.
    Exited,
}

impl fmt::Display for RegisterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Taken => "the name is taken",
            Self::Exited => "the actor has ended",
        })
    }
}

impl Error for RegisterError {}

/// Says why an actor was not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpawnError {
    /// The system has no shard of this index.
    NoSuchShard {
        /// The index asked for.
        shard: usize,
        /// How many shards there are.
        shards: usize,
    },
    /// Too many starts wait for that shard: it does not keep up.
    Full,
    /// The system, or that shard, is stopping or has stopped.
    Stopped,
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchShard { shard, shards } => {
                write!(f, "shard {shard} was asked for, there are {shards}")
            }
            Self::Full => f.write_str("the shard has too many actors waiting to be started"),
            Self::Stopped => f.write_str("the shard has stopped"),
        }
    }
}

impl Error for SpawnError {}

/// Says why the cores asked for cannot be had. The fault is the caller's or the machine's.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CoresError {
    /// Zero shards were asked for.
    NoShards,
    /// This process may not run on that core.
    UnknownCore {
        /// The core asked for.
        core: usize,
        /// The cores this process may run on.
        allowed: Vec<usize>,
    },
    /// The system does not say which cores this process may run on.
    Unavailable,
}

impl fmt::Display for CoresError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoShards => f.write_str("at least one shard is needed"),
            Self::UnknownCore { core, allowed } => {
                write!(f, "core {core} is not one of the cores this process may run on: {allowed:?}")
            }
            Self::Unavailable => f.write_str("the system does not say which cores this process may run on"),
        }
    }
}

impl Error for CoresError {}

/// Tells which shard failed, and of what.
#[derive(Clone, Debug)]
pub struct ShardFailure {
    /// The shard's index.
    pub shard: usize,
    /// What it failed of.
    pub cause: FailureCause,
}

/// What a shard failed of.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum FailureCause {
    /// The system refused its thread, its executor or its doorbell.
    Host(Arc<io::Error>),
    /// Its driver could not be made.
    Factory(Arc<io::Error>),
    /// Its driver reported a fatal error.
    Driver(Arc<io::Error>),
    /// Its driver panicked; the text is the panic's message.
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

/// Says why a system did not start. Every shard that did start has been stopped again.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The cores asked for cannot be had.
    Cores(CoresError),
    /// These shards failed; never empty.
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

/// Says why a function given to a pool has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolError {
    /// The lane's queue is full: the pool does not keep up.
    Full,
    /// The pool has stopped.
    Stopped,
    /// The function panicked.
    Panicked,
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the pool's queue is full",
            Self::Stopped => "the pool has stopped",
            Self::Panicked => "the job panicked",
        })
    }
}

impl Error for PoolError {}
