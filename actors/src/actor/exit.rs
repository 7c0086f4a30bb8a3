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
pub struct Ended {
    /// The actor.
    pub id: ActorId,
    /// The name it was spawned with.
    pub name: Arc<str>,
    /// The index of the shard it lived on.
    pub shard: usize,
    /// Why it ended.
    pub why: Why,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the actor '{}' on shard {} {}", self.name, self.shard, self.why)
    }
}

/// Why one life of an actor ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// Nobody could tell it anything any more: its last address was dropped.
    Forgotten,
    /// It was told to end: by [`Addr::stop`](crate::Addr::stop), by its parent, or with its system.
    Told,
    /// It said [`Flow::Stop`](crate::Flow::Stop).
    Stopped,
    /// It said [`Flow::Fail`](crate::Flow::Fail); the text is the error's.
    Failed(Arc<str>),
    /// It panicked; the text is the panic's message.
    Panicked(Arc<str>),
    /// It was dropped where it stood: its time to end ran out, its shard ended, or it never came to begin.
    Dropped,
}

impl Why {
    /// Says whether it failed or panicked.
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::Panicked(_))
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forgotten => f.write_str("was forgotten"),
            Self::Told => f.write_str("was told to end"),
            Self::Stopped => f.write_str("stopped"),
            Self::Failed(error) => write!(f, "failed: {error}"),
            Self::Panicked(panic) => write!(f, "panicked: {panic}"),
            Self::Dropped => f.write_str("was dropped"),
        }
    }
}

/// Tells a parent that a life of its child ended, and what comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChildEnd {
    /// The child and why its latest life ended.
    pub ended: Ended,
    /// What comes next.
    pub then: Then,
    /// Lives that ended by a failure or a panic since the parent was told the last time.
    pub failures: u64,
}

impl fmt::Display for ChildEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ended.fmt(f)?;
        match self.then {
            Then::Restarts { after } => write!(f, ", restarts in {after:?}"),
            Then::Ends => Ok(()),
            Then::GivesUp => f.write_str(", too often to be restarted"),
        }
    }
}

/// What comes after a life of an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Then {
    /// The next one.
    Restarts {
        /// The wait before it.
        after: Duration,
    },
    /// None: it was told to end, or its [`Restart`](crate::Restart) policy wants none.
    Ends,
    /// None, although its policy wants one: too many within the window.
    GivesUp,
}
