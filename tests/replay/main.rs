//! The replay stores: positions, pages, what is kept, what survives.
#![allow(clippy::unwrap_used)]

mod common;
mod liars;
mod memory;
mod position;
