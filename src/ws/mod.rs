//! WebSockets: messages in both directions over one connection.
//!
//! It must not know connections: a connection reads and writes a socket through `SocketState`.
//!
//! Supports RFC 6455, compression (RFC 7692), and WebSockets over a stream of HTTP/2 (RFC 8441).
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
//! The handler's future stays on the connection's shard and need not be `Send`. The connection polls it in
//! the same turn of the event loop in which a message arrives. When it returns, the socket is closed with
//! code 1000, or 1011 after an error. When the client disconnects, the future is dropped at its current
//! `await`.
//!
//! [`upgrade()`] opens a socket from an ordinary handler, which has already seen the request.

mod error;
mod extractor;
mod message;
mod open;
mod prepared;
mod route;
mod scratch;
mod settings;
mod socket;
mod source;
mod state;
mod upgrade;
mod waker_slot;

pub use crate::proto::ws::{
    Closed, Code, Origins,
    deflate::{Context, Settings as Deflate},
};
pub use error::{ProtocolError, TrySendError};
pub use extractor::WebSocketUpgrade;
pub use message::{CloseFrame, Message, Outgoing};
pub use prepared::Prepared;
pub use route::{websocket, websocket_with};
pub use settings::Settings;
pub use socket::{Receiver, Sender, Socket};
pub use source::{Delivery, Source};
pub use upgrade::{Finish, upgrade};

pub(crate) use open::{OpenSocket, SocketTimeouts};
pub(crate) use scratch::recycle;
pub(crate) use source::BoxedSource;
pub(crate) use state::{ReadEvent, SocketState, SocketWakers};
pub(crate) use upgrade::{HandlerFuture, HandlerResult, Handshake, Upgrade};
