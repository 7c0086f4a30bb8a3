//! Event streams of a handler's own: one client each, with a queue, topics beside it, and history if wanted.
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
//! The answer's head is sent at once; then the handler's future runs on the connection's shard, and need not be `Send`.
//! It runs until it returns, which ends the stream behind what was sent, or until the client is gone, which drops it where it
//! waits. [`Client`] is a handle that may be cloned and sent from anywhere. [`respond`] answers from within an ordinary
//! handler, which has seen the request.
//!
//! For events that many clients shall have there is the [`broker`](crate::pubsub::broker); a client can follow its topics beside
//! what the handler sends ([`Client::subscribe`]).

mod body;
mod client;
mod queue;
mod replay;
mod respond;
mod route;
mod settings;

pub use client::{Client, Closed, SubscribeError};
pub use replay::{Replay, SendError};
pub(crate) use respond::Opening;
pub use respond::respond;
pub use route::{event_stream, event_stream_with};
pub use settings::{Settings, WhenFull};
