//! Fan-out: one event to very many subscribers, none of which can delay another.
//!
//! ```text
//!  publish ─► Topic (assigns the number) ─► Relay of each shard that has subscribers ─► Queue ─► Subscription
//!  any thread  one lock, held for the        an actor: one message an event             one a     whoever
//!              numbering and the sends       and shard                                  subscriber  polls it
//! ```
//!
//! A [`Topic`] numbers its events and hands each to the relays of the shards that have subscribers, in order. A
//! relay appends it to the queues of its shard's subscribers and wakes those that wait. What a subscriber does with
//! an event (send it to a peer, handle it) happens later, in its own turn: publishing touches nobody's state.
//!
//! Every queue is bounded in events and bytes. What happens to an event that finds one full is the subscriber's
//! [`Policy`], fixed or asked for; each way is counted, and a subscriber that lost events is told which before the next one. A shard
//! whose relay is full misses the event as a whole: its subscribers are treated as if their queues had been full.

mod chooser;
mod counts;
mod delivery;
mod event;
mod gap;
mod leaves;
mod options;
mod overflow;
mod queue;
mod receipt;
mod relay;
mod shared;
mod subscription;
mod topic;

use std::{fmt, sync::Arc, time::Instant};

use crate::{
    actor::{Placement, Restart, SpawnOptions},
    error::SpawnError,
    shard::Deadline,
    system::System,
};

pub use chooser::{Chooser, ChooserOptions, FullQueue};
pub use counts::TopicStats;
pub use delivery::DeliveryReport;
pub use event::{Delivery, Event, Filter, Payload};
pub use gap::Gap;
pub use options::{Policy, SubscribeOptions};
pub use overflow::{Bounds, Identity, Overflow};
pub use receipt::Receipt;
pub use subscription::{Subscription, TopicError};
pub use topic::Topic;

use leaves::Absent;
use relay::{Relay, RelayHandle};

/// Events and changes of subscriptions that may wait for one shard's relay.
const RELAY_MAILBOX: usize = 4096;

/// The relays of a system, one on each shard: what topics are made on. Clones are cheap.
pub struct Fanout<P: Payload> {
    relays: Arc<[RelayHandle<P>]>,
}

impl<P: Payload> Fanout<P> {
    /// Starts a relay on each shard. They end with the system.
    ///
    /// # Errors
    ///
    /// The system is stopping, or a shard takes no actors at the moment.
    pub fn start(system: &System) -> Result<Self, SpawnError> {
        Self::with_mailbox(system, RELAY_MAILBOX)
    }

    /// Like [`start`](Self::start), with room for `mailbox` events and changes in each relay.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn with_mailbox(system: &System, mailbox: usize) -> Result<Self, SpawnError> {
        let options = SpawnOptions { mailbox, restart: Restart::Always, ..SpawnOptions::named("relay") };
        let relay = |shard| {
            let absent = Arc::<Absent>::default();
            let theirs = Arc::clone(&absent);
            let address = system
                .spawn(Placement::Shard(shard), options.clone(), move || Relay::new(Arc::clone(&theirs)))?;
            Ok(RelayHandle { address, absent })
        };
        let relays = (0..system.shards()).map(relay).collect::<Result<Arc<[_]>, _>>()?;
        Ok(Self { relays })
    }

    /// Makes a future that ends at `at`, wherever it is polled.
    pub fn deadline(&self, at: Instant) -> Deadline {
        Deadline::new(at, Arc::clone(self.relays[0].address.remote()))
    }

    /// Makes a topic whose subscribers have such queues unless they ask for others.
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
