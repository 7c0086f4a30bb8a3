//! How an actor ended, as told to those who ask. Names no other module.

use std::{fmt, sync::Arc, time::Duration};

/// Names one actor of the process; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ActorId(pub(crate) u64);

impl fmt::Display for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Says that an actor ended for good, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ActorExit {
    /// The actor.
    pub id: ActorId,
    /// The name it was spawned with.
    pub name: Arc<str>,
    /// The index of the shard it lived on.
    pub shard: usize,
    /// Why it ended.
    pub reason: ExitReason,
}

impl fmt::Display for ActorExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the actor '{}' on shard {} {}", self.name, self.shard, self.reason)
    }
}

/// Why one life of an actor ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExitReason {
    /// Nobody could tell it anything any more: its last address was dropped.
    Unreferenced,
    /// It was told to end: by [`Addr::stop`](crate::Addr::stop), by its parent, or with its system.
    StopRequested,
    /// It said [`Flow::Stop`](crate::Flow::Stop).
    Stopped,
    /// It said [`Flow::Fail`](crate::Flow::Fail); the text is the error's.
    Failed(Arc<str>),
    /// It panicked; the text is the panic's message.
    Panicked(Arc<str>),
    /// It was dropped where it stood: its time to end ran out, its shard ended, or it never came to begin.
    Aborted,
}

impl ExitReason {
    /// Says whether it failed or panicked.
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::Panicked(_))
    }
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreferenced => f.write_str("was forgotten"),
            Self::StopRequested => f.write_str("was told to end"),
            Self::Stopped => f.write_str("stopped"),
            Self::Failed(error) => write!(f, "failed: {error}"),
            Self::Panicked(panic) => write!(f, "panicked: {panic}"),
            Self::Aborted => f.write_str("was dropped"),
        }
    }
}

/// Tells a parent that a life of its child ended, and what comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChildExit {
    /// The child and why its latest life ended.
    pub exit: ActorExit,
    /// What comes next.
    pub decision: RestartDecision,
    /// Lives that ended by a failure or a panic since the parent was told the last time.
    pub failures: u64,
}

impl fmt::Display for ChildExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.exit.fmt(f)?;
        match self.decision {
            RestartDecision::Restart { delay } => write!(f, ", restarts in {delay:?}"),
            RestartDecision::Stop => Ok(()),
            RestartDecision::LimitReached => f.write_str(", too often to be restarted"),
        }
    }
}

/// What comes after a life of an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RestartDecision {
    /// The next one.
    Restart {
        /// The wait before it.
        delay: Duration,
    },
    /// None: it was told to end, or its [`Restart`](crate::Restart) policy wants none.
    Stop,
    /// None, although its policy wants one: too many within the window.
    LimitReached,
}
