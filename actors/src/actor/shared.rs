//! State that all actors of one system share.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicU64},
};

use super::registry::Registry;
use crate::shard::ShardGroup;

/// Counters of a system's actors and messages since its start.
#[derive(Debug, Default)]
pub(crate) struct ActorCounters {
    pub(crate) started: AtomicU64,
    pub(crate) stopped: AtomicU64,
    pub(crate) panicked: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) restarted: AtomicU64,
    pub(crate) restart_limit_reached: AtomicU64,
    /// Messages that actors handled after their stop began.
    pub(crate) messages_drained: AtomicU64,
    /// Messages that were accepted into a mailbox or a shard's inbox and never handled.
    pub(crate) messages_dropped: Arc<AtomicU64>,
}

/// Shards, counters and registry of a system.
pub(crate) struct SystemShared {
    pub(crate) group: Arc<ShardGroup>,
    pub(crate) counters: ActorCounters,
    pub(crate) registry: Registry,
}

impl SystemShared {
    /// Creates the shared state of a system without actors.
    pub(crate) fn new(group: Arc<ShardGroup>, registry: Registry) -> Arc<Self> {
        Arc::new(Self { group, counters: ActorCounters::default(), registry })
    }
}

impl fmt::Debug for SystemShared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemShared").field("group", &self.group).finish_non_exhaustive()
    }
}
