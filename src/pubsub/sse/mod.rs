//! Event streams that a handler writes to one client each.
//!
//! ```
//! use windlass::{Request, Router, broker::Event, event_stream, sse::Client};
//!
//! async fn count(_: Request, client: Client) {
//!     for n in 0_u32.. {
//!         if client.send(Event::new(n.to_string())).await.is_err() {
//!             return;
//!         }
//!     }
//! }
//!
//! let router = Router::new().route(event_stream("/count", count));
//! # let _ = router;
//! ```
//!
//! The server sends the response head at once and then runs the handler's future on the connection's shard.
//! The future need not be `Send`. When it returns, the stream ends after the events in the queue. When the
//! client disconnects, the future is dropped at its current `await`.
//!
//! [`Client`] is a handle that can be cloned and used from any thread. [`respond()`] starts a stream from an
//! ordinary handler, which has already seen the request.
//!
//! For events that go to many clients use a [`broker`](crate::broker). A client can receive the events of its
//! topics in addition to the handler's own ([`Client::subscribe`]).

// This module must not know connections. A stream is a response body with a queue behind it.

mod body;
mod client;
mod error;
mod queue;
mod recorder;
mod replay;
mod respond;
#[cfg(feature = "stream")]
mod response;
mod route;
mod settings;

pub use client::Client;
pub use error::{Closed, SendError, SubscribeError};
pub use replay::Replay;
pub use respond::respond;
#[cfg(feature = "stream")]
pub use response::Sse;
pub use route::{event_stream, event_stream_with};
pub use settings::{Overflow, Settings};
