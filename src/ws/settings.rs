//! Settings of the WebSockets of a route.

use std::time::Duration;

use super::{Deflate, Origins};
use crate::proto::ws::{Policy, Subprotocols};

/// Settings of the WebSockets of a route.
///
/// The server's [`Limits`](crate::Limits) and [`Timeouts`](crate::Timeouts) apply to everything that is not
/// set here.
///
/// ```
/// use windlass::ws::{Deflate, Origins, Settings};
/// let settings = Settings::new()
///     .subprotocols(["chat.v2", "chat.v1"])
///     .origins(Origins::SameOr(vec!["https://app.example.com".into()]))
///     .compression(Deflate::default())
///     .message_bytes(64 * 1024);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub(super) policy: Policy,
    pub(super) message_bytes: Option<usize>,
    pub(super) outbound_bytes: Option<usize>,
    pub(super) ping: Option<Option<Duration>>,
    pub(super) pong: Option<Option<Duration>>,
    pub(super) close: Option<Duration>,
}

impl Settings {
    /// Creates the default settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the supported subprotocols, in order of preference. Default: none.
    ///
    /// The server selects the first one that the client offers too. If the client offers none of them, the
    /// socket opens without a subprotocol.
    #[must_use]
    pub fn subprotocols<S: Into<String>>(mut self, protocols: impl IntoIterator<Item = S>) -> Self {
        let protocols = protocols.into_iter().map(Into::into).collect();
        self.policy.subprotocols = Subprotocols::Supported(protocols);
        self
    }

    /// Selects the first subprotocol that the client offers, whatever its name.
    ///
    /// For servers whose messages have one format. A browser closes a socket for which it has offered
    /// subprotocols and the server has selected none. Overrides [`subprotocols`](Self::subprotocols).
    #[must_use]
    pub fn any_subprotocol(mut self) -> Self {
        self.policy.subprotocols = Subprotocols::FirstOffered;
        self
    }

    /// Sets the origins whose pages may connect. Other pages get `403`. Default: [`Origins::Same`].
    #[must_use]
    pub fn origins(mut self, origins: Origins) -> Self {
        self.policy.origins = origins;
        self
    }

    /// Enables compression with clients that offer it (permessage-deflate, RFC 7692). Default: disabled.
    #[must_use]
    pub fn compression(mut self, deflate: Deflate) -> Self {
        self.policy.deflate = Some(deflate);
        self
    }

    /// Sets the maximum size of a received message, bytes. Default:
    /// [`Limits::ws_message_bytes`](crate::Limits::ws_message_bytes).
    #[must_use]
    pub fn message_bytes(self, bytes: usize) -> Self {
        Self { message_bytes: Some(bytes), ..self }
    }

    /// Sets the capacity of the outbound queue, bytes. An empty queue accepts a message of any size. Default:
    /// [`Limits::ws_outbound_bytes`](crate::Limits::ws_outbound_bytes).
    #[must_use]
    pub fn outbound_bytes(self, bytes: usize) -> Self {
        Self { outbound_bytes: Some(bytes), ..self }
    }

    /// Sets the interval of silence after which the client is pinged. `None` disables pings. Default:
    /// [`Timeouts::ws_ping`](crate::Timeouts::ws_ping).
    #[must_use]
    pub fn ping(self, interval: Option<Duration>) -> Self {
        Self { ping: Some(interval), ..self }
    }

    /// Sets the longest wait for the answer to a ping; any bytes of the client are one. `None` waits without
    /// limit. Default: [`Timeouts::ws_pong`](crate::Timeouts::ws_pong).
    #[must_use]
    pub fn pong(self, timeout: Option<Duration>) -> Self {
        Self { pong: Some(timeout), ..self }
    }

    /// Sets the longest duration of the closing handshake. Default:
    /// [`Timeouts::ws_close`](crate::Timeouts::ws_close).
    #[must_use]
    pub fn close(self, timeout: Duration) -> Self {
        Self { close: Some(timeout), ..self }
    }
}
