//! Engines that move bytes between sockets and connections; must not know protocols, routes or handlers.
//!
//! - `engine`: the interface. An [`Engine`] drives sockets and calls an [`EventHandler`], which owns the
//!   protocol.
//! - `ring` (io_uring) and `epoll`: the two engines for sockets. They pass the same tests.
//! - `memory`: an engine without sockets, for the test client.
//! - `listen`: addresses and listening sockets.
//! - `socket`, `accept`, `slots`, `buffer_pool`: the parts that the engines share.
//! - `outbox`: the queue of bytes that a connection wants to send.

#[cfg(any(feature = "io-uring", feature = "epoll"))]
mod accept;
#[cfg(any(feature = "io-uring", feature = "epoll"))]
mod buffer_pool;
mod engine;
#[cfg(feature = "epoll")]
pub mod epoll;
mod listen;
pub(crate) mod memory;
pub mod outbox;
#[cfg(feature = "io-uring")]
pub mod ring;
mod slots;
#[cfg(any(feature = "io-uring", feature = "epoll"))]
mod socket;
#[cfg(test)]
#[cfg(any(feature = "io-uring", feature = "epoll"))]
mod tests;

pub use engine::{Accepted, Closed, Connection, Ending, Engine, EngineOptions, EventHandler};
pub(crate) use listen::inherit;
pub use listen::{BindError, Bound, Listen, ListenError, ListenOptions, bind};
pub use outbox::Outbox;
pub use slots::ConnId;
pub use windlass_actors::Wait;
