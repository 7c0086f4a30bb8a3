//! What the actors of one system share.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicU64},
};

use super::registry::Registry;
use crate::shard::ShardGroup;

/// Counts of a system's actors and messages since its start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) started: AtomicU64,
    pub(crate) stopped: AtomicU64,
    pub(crate) panicked: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) restarted: AtomicU64,
    pub(crate) restart_limit_reached: AtomicU64,
    /// Messages handled after the stop began.
    pub(crate) drained: AtomicU64,
    /// Messages taken into a mailbox and never handled.
    pub(crate) refused: Arc<AtomicU64>,
}

/// The shards, the counters and the registry that all actors of a system share.
pub(crate) struct SystemShared {
    pub(crate) group: Arc<ShardGroup>,
    pub(crate) counters: Counters,
    pub(crate) registry: Registry,
}

impl SystemShared {
    pub(crate) fn new(group: Arc<ShardGroup>, registry: Registry) -> Arc<Self> {
        Arc::new(Self { group, counters: Counters::default(), registry })
    }
}

impl fmt::Debug for SystemShared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemShared").field("group", &self.group).finish_non_exhaustive()
    }
}
