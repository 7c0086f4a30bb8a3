//! Values that all requests of a shard share.

use std::sync::{Arc, OnceLock};

use http::Extensions;
use windlass_actors::Pool;

use super::TrustedProxies;
use crate::metrics::ShardCounters;

/// Values that all requests of a shard share.
///
/// Each shard has its own copy, so that reference counts do not move cache lines between shards.
#[derive(Clone, Debug, Default)]
pub(crate) struct Context {
    /// Values of [`Router::state`](crate::Router::state).
    pub(crate) state: Extensions,
    pub(crate) trusted: TrustedProxies,
    /// The server's pool, once it has started.
    pub(crate) pool: Arc<OnceLock<Pool>>,
    /// Counters of the shard.
    pub(crate) counters: Arc<ShardCounters>,
}
