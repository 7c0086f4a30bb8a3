//! Connections: makes requests of received bytes, and bytes to send of replies. It reads and writes no
//! sockets and must not know which engine drives it.
//!
//! One shard owns a connection for its whole life. The parts, from the outside in:
//!
//! - [`connections`] passes the events of an engine and of the shard to the shard's connections.
//! - [`connection`] is one connection: [`io`] and [`timers`], which are the same under every protocol,
//!   optionally [`tls`], and the [`current`] protocol.
//! - `h1`, `h2` and `ws` are the protocols, behind the interface in [`protocol`].
//! - [`outlet`] is the direct way of an event to a stream of any of them.
//! - [`exchange`] and [`run`] serve all of them: parts of a request and its reply, and how handlers are run.
//! - [`env`] is what the connections of a shard share, [`message`] what other threads send to them.

mod connection;
mod connections;
mod current;
mod env;
mod exchange;
mod h1;
#[cfg(feature = "http2")]
mod h2;
mod io;
mod linger;
mod message;
mod outlet;
mod preamble;
mod protocol;
mod run;
mod timers;
mod tls;
#[cfg(feature = "ws")]
mod ws;

pub(crate) use connection::Spare;
pub(crate) use connections::Connections;
pub(crate) use env::{Common, Env, ListenerEnv, Transport};
pub(crate) use message::{DrainCounts, Msg, Outcome};
pub(crate) use outlet::ONLY_STREAM;
