//! Actors on pinned shards.
mod driver;
pub use driver::{Driver, Wait};
