//! The opening handshake of a WebSocket as an argument of a handler.

use std::{fmt, future::Future, sync::Arc};

use http::{Method, Version};

use super::{Finish, Settings, Socket, upgrade};
use crate::{
    extract::FromRequestParts,
    proto::ws::{Opening, Origins, Policy, accept},
    request::Request,
    response::Response,
};

/// The handshake of a WebSocket, as an argument of a GET handler. Its response opens the socket.
///
/// A request that opens no WebSocket is answered with an error, and the handler is not called. A page of
/// another origin is refused by [`on_upgrade`](Self::on_upgrade), unless the [settings](Self::settings)
/// permit it. [`websocket`](crate::websocket) is shorter for a route without other arguments.
///
/// ```
/// use windlass::{Response, Router, TestClient, extract::Path, get};
/// use windlass::ws::{Message, Socket, WebSocketUpgrade};
///
/// async fn join(upgrade: WebSocketUpgrade, Path(room): Path<String>) -> Response {
///     upgrade.on_upgrade(move |mut socket: Socket| async move {
///         socket.send(format!("welcome to {room}")).await
///     })
/// }
/// let client = TestClient::new(Router::new().route(get("/rooms/{room}", join)))?;
/// assert_eq!(client.websocket("/rooms/tea").recv(), Some(Message::Text("welcome to tea".to_owned())));
/// assert_eq!(client.get("/rooms/tea").status(), 426);
/// # Ok::<(), windlass::StartError>(())
/// ```
pub struct WebSocketUpgrade {
    method: Method,
    version: Version,
    host: Option<String>,
    protocol: Option<Vec<u8>>,
    fields: Vec<(Vec<u8>, Vec<u8>)>,
    settings: Settings,
}

impl WebSocketUpgrade {
    /// Sets the supported subprotocols, in order of preference. See [`Settings::subprotocols`].
    #[must_use]
    pub fn protocols<S: Into<String>>(self, protocols: impl IntoIterator<Item = S>) -> Self {
        Self { settings: self.settings.subprotocols(protocols), ..self }
    }

    /// Sets all settings. Replaces those that were set before.
    #[must_use]
    pub fn settings(self, settings: Settings) -> Self {
        Self { settings, ..self }
    }

    /// Returns the response that opens the socket, or the one that refuses it.
    ///
    /// The server calls `handler` on the connection's shard after it has written the response head, and polls
    /// its future there.
    pub fn on_upgrade<F, Fut>(self, handler: F) -> Response
    where
        F: FnOnce(Socket) -> Fut + Send + 'static,
        Fut: Future<Output: Finish> + 'static,
    {
        upgrade::answer(&self.opening(), self.pairs(), &Arc::new(self.settings.clone()), handler)
    }

    fn opening(&self) -> Opening<'_> {
        Opening {
            method: &self.method,
            version: self.version,
            authority: self.host.as_deref().map(str::as_bytes),
            protocol: self.protocol.as_deref(),
        }
    }

    fn pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
        self.fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice()))
    }
}

impl FromRequestParts for WebSocketUpgrade {
    type Rejection = Response;

    const IMMEDIATE: bool = true;

    async fn from_request_parts(request: &mut Request) -> Result<Self, Response> {
        if let Some(refused) = upgrade::refuse_body(request) {
            return Err(refused);
        }
        let this = Self {
            method: request.method().clone(),
            version: request.version(),
            host: request.original_host().map(str::to_owned),
            protocol: request.protocol().map(<[u8]>::to_vec),
            fields: request.header_pairs().map(|(name, value)| (name.to_vec(), value.to_vec())).collect(),
            settings: Settings::default(),
        };
        // The origin is checked later, with the settings of the handler.
        let policy = Policy { origins: Origins::Any, ..Policy::default() };
        match accept(&this.opening(), this.pairs(), &policy) {
            Ok(_) => Ok(this),
            Err(refusal) => Err(upgrade::refuse(refusal, this.version)),
        }
    }
}

impl fmt::Debug for WebSocketUpgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketUpgrade").field("host", &self.host).finish_non_exhaustive()
    }
}
