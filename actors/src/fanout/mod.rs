//! Fan-out: one event to very many subscribers, none of which can delay another. This folder must not know
//! HTTP or stores.
//!
//! ```text
//!  publish ──► Topic ────────────► Relay ──────────► Queue ──► Subscription
//!  any thread  one lock: numbers   an actor on each  one for   polled by
//!              and sends an event  shard             each sub- its owner
//!              to the relays                         scriber
//! ```
//!
//! A [`Topic`] numbers its events, or takes the numbers of a store, and sends each event, in order, to the
//! relays of the shards that have subscribers. A relay delivers the events of all topics to the subscribers
//! of its shard: it appends an event to their queues and wakes those that wait. They handle it later. So
//! publishing touches no state of a subscriber but its queue.
//!
//! Every queue is bounded in events and bytes. The [`Policy`] of a subscriber decides what happens to an
//! event that finds its queue full. Each case is counted. A subscriber that lost events gets a [`Gap`] before
//! the next event.
//!
//! An event may have [labels](Payload::labels), and a subscriber an [`Interest`] in some of them. A relay
//! finds the subscribers of a label by hash, and those of a prefix in a tree of segments. So the cost of an
//! event depends on the number of subscribers that it matches, and not on the number of the others.
//!
//! A relay whose mailbox is full misses a whole event. The subscribers of its shard are then treated as if
//! their queues had been full.

mod chooser;
mod counters;
mod delivery;
mod event;
mod gap;
mod interest;
mod leaves;
mod members;
mod options;
mod overflow;
mod prefixes;
mod queue;
mod receipt;
mod relay;
mod shared;
mod start;
mod subscription;
mod topic;

pub use chooser::{Chooser, ChooserOptions, FullQueue};
pub use counters::TopicStats;
pub use delivery::DeliveryReport;
pub use event::{Delivery, Event, Filter, Payload};
pub use gap::Gap;
pub use interest::{Interest, Label, Matcher, Predicate};
pub use options::{Policy, SubscribeOptions};
pub use overflow::{Bounds, Identity, Overflow};
pub use receipt::Receipt;
pub use start::Fanout;
pub use subscription::Subscription;
pub use topic::{Topic, TopicError};
