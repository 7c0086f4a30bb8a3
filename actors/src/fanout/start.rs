//! Starting the relays of a system, and creating topics on them.

use std::{fmt, sync::Arc, time::Instant};

use super::{
    event::Payload,
    leaves::PendingLeaves,
    options::{Policy, SubscribeOptions},
    overflow::Bounds,
    relay::{Relay, RelayHandle},
    topic::Topic,
};
use crate::{
    actor::{Placement, Restart, SpawnOptions},
    error::SpawnError,
    shard::Deadline,
    system::System,
};

/// Default capacity of a relay's mailbox, in events and changes of subscriptions.
const RELAY_MAILBOX: usize = 4096;

/// Relays of a system, one on each shard, on which topics are created. Clones are cheap.
pub struct Fanout<P: Payload> {
    relays: Arc<[RelayHandle<P>]>,
}

impl<P: Payload> Fanout<P> {
    /// Starts a relay on each shard. The relays exit with the system.
    ///
    /// # Errors
    ///
    /// The system is stopping, or too many actors wait to be started on a shard.
    pub fn start(system: &System) -> Result<Self, SpawnError> {
        Self::with_mailbox(system, RELAY_MAILBOX)
    }

    /// Starts a relay on each shard. `mailbox` is the capacity of each relay, in events and changes of
    /// subscriptions.
    ///
    /// # Errors
    ///
    /// The same as for [`start`](Self::start).
    pub fn with_mailbox(system: &System, mailbox: usize) -> Result<Self, SpawnError> {
        let options = SpawnOptions { mailbox, restart: Restart::Always, ..SpawnOptions::named("relay") };
        let spawn = |shard| {
            let leaves = Arc::<PendingLeaves>::default();
            let shared = Arc::clone(&leaves);
            let factory = move || Relay::new(Arc::clone(&shared));
            let address = system.spawn(Placement::Shard(shard), options.clone(), factory)?;
            Ok(RelayHandle { address, leaves })
        };
        let relays = (0..system.shards()).map(spawn).collect::<Result<Arc<[_]>, _>>()?;
        Ok(Self { relays })
    }

    /// Returns a future that ends at `deadline`, wherever it is polled.
    pub fn deadline(&self, deadline: Instant) -> Deadline {
        Deadline::new(deadline, Some(Arc::clone(self.relays[0].address.remote())))
    }

    /// Creates a topic. Its subscribers use these bounds and this policy unless they choose their own.
    pub fn topic(&self, bounds: Bounds, policy: impl Into<Policy>) -> Topic<P> {
        Topic::new(Arc::clone(&self.relays), SubscribeOptions::new(bounds, policy))
    }
}

impl<P: Payload> Clone for Fanout<P> {
    fn clone(&self) -> Self {
        Self { relays: Arc::clone(&self.relays) }
    }
}

impl<P: Payload> fmt::Debug for Fanout<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fanout").field("shards", &self.relays.len()).finish()
    }
}
