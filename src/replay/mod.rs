//! Stores of published events; must not know subscribers, connections or HTTP.
//!
//! A [`ReplayStore`] keeps *logs*. A log is an ordered history of events with one numbering. An event has
//! labels, by default only the name of its log. The store gives each event a [`Position`] and reads events
//! back from a position on, all of them or those that a [`Filter`] chooses. The broker owns a store. It
//! appends once per publish, delivers the event when the append completes, and reads older events for a
//! subscriber that missed them.
//!
//! - [`MemoryStore`]: a ring of events per log, lost when the process ends.
//! - [`DurableStore`](durable::DurableStore) (feature `durable`): a file, written by one thread with group
//!   commit.
//! - A store of your own: implement [`ReplayStore`] and test it with [`conformance`].
//!
//! # Positions
//!
//! A position is `<epoch>-<seq>`. The epoch is a random number that belongs to the store. The number `seq`
//! increases by one with each event of a log. So a store can judge any position without having recorded it:
//!
//! - A position with another epoch, or above the last one assigned, is a [`Reset`].
//! - If events after the position have been removed or were lost in a crash, the page reports a [`Gap`] with
//!   both ends.
//! - Otherwise the page continues directly after the position.
//!
//! # Filters and gaps
//!
//! The numbers of a filtered page are not consecutive, and that is no gap. A store knows for each label the
//! largest number of an event that retention has removed. So a filtered read reports a gap only if an event
//! may be missing that the filter matches:
//!
//! - Retention has removed an event with a matching label after the position asked for. What other rules than
//!   those about labels say of a removed event is not known, so each such event counts.
//! - Numbers were lost in a crash, or an event is damaged.
//!
//! Retention keeps the newest events of each label ([`Retention::label_events`]), so a busy label does not
//! push out those of a quiet one.
//!
//! # Callbacks instead of futures
//!
//! [`ReplayStore::append`] takes a callback and returns at once. It is not an `async fn`, for three reasons:
//!
//! - The order of the calls is the order in the store. A future starts when it is first polled, so it cannot
//!   promise that.
//! - Many appends are in flight at a time, so that one commit carries them all.
//! - The callback runs on the thread that knows the order, so delivering the event needs no further thread
//!   switch.
//!
//! Other callers use [`append_blocking`](ReplayStore::append_blocking) or `append_async`.
//!
//! # Reading while events arrive
//!
//! Subscribe first, then read pages until [`Page::has_more`] returns `false`. Then continue with the events
//! delivered since the subscription, and drop those that are not above [`Page::resume`]. This way no event is
//! missed or duplicated, because every event whose completion has run is in every later page.
mod clock;
mod completion;
pub mod conformance;
#[cfg(feature = "durable")]
pub mod durable;
mod error;
mod event;
mod filter;
mod fingerprint;
mod label_table;
mod labels;
mod memory;
mod page;
mod page_builder;
#[cfg(feature = "durable")]
mod panic;
mod position;
mod settings;
mod store;

pub use clock::Clock;
pub use completion::{Completion, StoreFuture, completion};
pub use error::{ErrorKind, Operation, StoreError};
pub use event::{Append, Attributes, Durability, EVENT_OVERHEAD_BYTES, Event, MAX_LABELS, MAX_TAGS};
pub use filter::{EventHeader, Filter, Matcher};
pub use labels::Labels;
pub use memory::MemoryStore;
pub use page::{Continuity, Gap, GapReason, Page, Query, Reset, Start, Window};
pub use page_builder::{Entry, PageBuilder};
pub use position::{Epoch, Position, PositionError};
pub use settings::{
    ID_OVERHEAD_BYTES, KEY_OVERHEAD_BYTES, LABEL_OVERHEAD_BYTES, LOG_OVERHEAD_BYTES, LogInfo, Retention,
    RetentionPolicy, StoreLimits,
};
pub use store::{Appended, RejectedAppend, ReplayStore};
