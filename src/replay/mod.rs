//! Stores of published events; must not know subscribers, connections or HTTP.
//!
//! A [`ReplayStore`] gives each event of a topic a [`Position`] and reads events back from a position on. The broker
//! owns a store. It appends once per publish, delivers the event when the append completes, and reads older events
//! for a subscriber that missed them.
//!
//! - [`MemoryStore`]: a ring per topic, gone with the process.
//! - [`DurableStore`](durable::DurableStore) (feature `durable`): a file, written by one thread with group commit.
//! - Yours: implement [`ReplayStore`]; [`conformance`] tests it.
//!
//! # Positions
//!
//! `<epoch>-<seq>`. The epoch is drawn with the store and kept with it; the number rises by one from event to event of
//! a topic. So a position can be judged without having been kept: of another epoch, or beyond the end, it is a
//! [`Reset`]; before the oldest event held, or in a range lost to a crash, there is a [`Gap`] of known ends; else the
//! events after it follow.
//!
//! # Why completions
//!
//! [`ReplayStore::append`] takes a callback and returns at once; it is no `async fn`. The order of the calls is the order
//! of the store, which a future, that begins when it is first polled, cannot promise; many appends are in flight, so that one
//! commit carries them; and the callback runs on the thread that knows the order, so handing the event on costs no
//! further hop. For other callers there are [`append_blocking`](ReplayStore::append_blocking) and `append_async`.
//!
//! # Reading while events go on
//!
//! Subscribe first, then read pages until [`Page::has_more`] says no, then go on with what was delivered meanwhile,
//! dropping what is not above [`Page::resume`]: no event is missed, none comes twice. That holds because a completion
//! that has run is in every later page.
mod answer;
mod clock;
pub mod conformance;
mod contain;
#[cfg(feature = "durable")]
pub mod durable;
mod error;
mod event;
mod memory;
mod page;
mod position;
mod settings;
mod store;

pub use answer::{Answer, pair};
pub use clock::Clock;
pub use error::{ErrorKind, Operation, StoreError};
pub use event::{Append, EVENT_OVERHEAD_BYTES, Event};
pub use memory::MemoryStore;
pub use page::{Continuity, Extent, Gap, Page, Query, Reset, Start, Window};
pub use position::{Epoch, Position, PositionError};
pub use settings::{Retention, StoreLimits, TopicInfo};
pub use store::{Appended, Completion, Durability, Refused, ReplayStore};
