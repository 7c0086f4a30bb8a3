//! Exits of actors: who exited, for which reason, and what the supervisor decided. Imports nothing of the
//! crate.

use std::{fmt, sync::Arc, time::Duration};

/// Id of an actor, unique in the process and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ActorId(pub(crate) u64);

impl fmt::Display for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Exit of an actor.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ActorExit {
    /// Id of the actor that exited.
    pub id: ActorId,
    /// Name that the actor was spawned with.
    pub name: Arc<str>,
    /// Index of the actor's shard.
    pub shard: usize,
    /// The reason of the exit.
    pub reason: ExitReason,
}

impl fmt::Display for ActorExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "actor '{}' on shard {} {}", self.name, self.shard, self.reason)
    }
}

/// Reason for the end of one run of an actor.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExitReason {
    /// The actor's last address was dropped, so nobody could send it a message.
    Unreferenced,
    /// [`Addr::stop`](crate::Addr::stop), the actor's parent or its system stopped it.
    StopRequested,
    /// The actor returned [`Flow::Stop`](crate::Flow::Stop).
    Stopped,
    /// The actor returned [`Flow::Fail`](crate::Flow::Fail). Holds the text of the error.
    Failed(Arc<str>),
    /// The actor or its factory panicked. Holds the message of the panic.
    Panicked(Arc<str>),
    /// The actor was dropped without an orderly end: its grace was over, its shard ended, or it never
    /// started.
    Aborted,
}

impl ExitReason {
    /// Returns `true` for [`Failed`](Self::Failed) and [`Panicked`](Self::Panicked).
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::Panicked(_))
    }
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreferenced => f.write_str("exited because its last address was dropped"),
            Self::StopRequested => f.write_str("stopped on request"),
            Self::Stopped => f.write_str("stopped itself"),
            Self::Failed(error) => write!(f, "failed: {error}"),
            Self::Panicked(panic) => write!(f, "panicked: {panic}"),
            Self::Aborted => f.write_str("was dropped without an orderly end"),
        }
    }
}

/// End of one run of a child, as reported to its parent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChildExit {
    /// The child, and the reason for the end of its latest run.
    pub exit: ActorExit,
    /// The supervisor's decision about the next run.
    pub decision: RestartDecision,
    /// Number of runs that ended with a failure or a panic since the last report to the parent.
    pub failures: u64,
}

impl fmt::Display for ChildExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.exit.fmt(f)?;
        match self.decision {
            RestartDecision::Restart { delay } => write!(f, ", restarting in {delay:?}"),
            RestartDecision::Stop => Ok(()),
            RestartDecision::LimitReached => f.write_str(", restart limit reached"),
        }
    }
}

/// Decision of the supervisor after one run of an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RestartDecision {
    /// The actor restarts after a delay.
    Restart {
        /// Time from the end of this run to the next run.
        delay: Duration,
    },
    /// The actor exits: its stop was requested, it was aborted, or its [`Restart`](crate::Restart) policy
    /// does not cover the reason.
    Stop,
    /// The actor exits although its policy covers the reason: it has reached its restart limit.
    LimitReached,
}

impl RestartDecision {
    /// Returns `true` if another run follows.
    pub(crate) fn is_restart(self) -> bool {
        matches!(self, Self::Restart { .. })
    }
}
