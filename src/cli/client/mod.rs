//! Building blocks of a measuring client. They must not know the server.
//!
//! `windlass load` and the load generator of the benches use them, so both count, check and report in the
//! same way. The I/O is the caller's.
//!
//! - [`fault`]: errors of a server under load, counted by kind.
//! - [`latency`]: histogram of response times.
//! - [`pacing`]: arrival times of an open-loop load.
//! - [`totals`], [`report`]: counters of a run, and their formats.
//! - [`response`]: strict parser of HTTP/1.1 responses.
//! - `http2`: HTTP/2 connections.
//! - `frames`: WebSocket messages.
//! - [`payload`]: data of events and messages, which a reply must repeat.
//! - [`events`], [`follower`]: server-sent events, and the order in which a subscriber must receive them.

pub mod events;
pub mod fault;
pub mod follower;
#[cfg(feature = "ws")]
pub mod frames;
#[cfg(feature = "http2")]
pub mod http2;
pub mod latency;
pub mod pacing;
pub mod payload;
pub mod report;
pub mod response;
pub mod totals;
