//! WebSocket: messages both ways on one connection (RFC 6455), compressed if wanted (RFC 7692), over HTTP/1.1 and over a
//! stream of HTTP/2 (RFC 8441).
//!
//! ```
//! use windlass::{Router, websocket, ws::Socket};
//!
//! async fn echo(mut socket: Socket) {
//!     while let Some(Ok(message)) = socket.recv().await {
//!         if socket.send(message).await.is_err() {
//!             return;
//!         }
//!     }
//! }
//!
//! let router = Router::new().route(websocket("/echo", echo));
//! # let _ = router;
//! ```
//!
//! The handler's future lives on its connection's shard and is polled by the connection itself, in the turn in which a
//! message came; it need not be `Send`. It runs until it returns, which closes the socket with code 1000, or until the
//! client is gone, which drops it where it waits. [`upgrade`] answers from within an ordinary handler, which has seen
//! the request.

mod error;
mod message;
mod opened;
mod prepared;
mod route;
mod scratch;
mod settings;
mod socket;
mod source;
mod state;
mod upgrade;
mod waiter;

pub use crate::proto::ws::{
    Closed, Code, Origins,
    deflate::{Context, Settings as Deflate},
};
pub use error::{ProtocolError, TrySendError};
pub use message::{CloseFrame, Message, Outgoing};
pub use prepared::Prepared;
pub use route::{websocket, websocket_with};
pub use settings::Settings;
pub use socket::{Receiver, Sender, Socket};
pub use source::{Delivery, Source};
pub use upgrade::{Finish, upgrade};

pub(crate) use opened::{Clocks, Opened};
pub(crate) use scratch::recycle;
pub(crate) use source::{BoxedSource, piece};
pub(crate) use state::{State, Took, Wakers};
pub(crate) use upgrade::{Finished, Running, Upgrade, Verdict, answer};
