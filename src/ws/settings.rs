//! How the sockets of a route are.

use std::time::Duration;

use super::{Deflate, Origins};
use crate::proto::ws::Policy;

/// How the sockets of a route are. What is not set is as the server's [`Limits`](crate::Limits) and
/// [`Timeouts`](crate::Timeouts) say.
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
    /// Makes settings that leave everything as it is by default.
    pub fn new() -> Self {
        Self::default()
    }

    /// Offers subprotocols, the one wanted most first. The first that the client offers too is taken; if it offers none
    /// of them the socket opens without one. Default: none.
    #[must_use]
    pub fn subprotocols<S: Into<String>>(mut self, protocols: impl IntoIterator<Item = S>) -> Self {
        self.policy.protocols = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// Says pages of which origins may connect; others get `403`. Default: the server's own ([`Origins::Same`]).
    #[must_use]
    pub fn origins(mut self, origins: Origins) -> Self {
        self.policy.origins = origins;
        self
    }

    /// Compresses with clients that offer it (permessage-deflate, RFC 7692). Default: never.
    #[must_use]
    pub fn compression(mut self, deflate: Deflate) -> Self {
        self.policy.deflate = Some(deflate);
        self
    }

    /// Sets the largest message, bytes, instead of [`Limits::ws_message_bytes`](crate::Limits::ws_message_bytes).
    #[must_use]
    pub fn message_bytes(self, bytes: usize) -> Self {
        Self { message_bytes: Some(bytes), ..self }
    }

    /// Sets how much may wait for the client, bytes, instead of
    /// [`Limits::ws_outbound_bytes`](crate::Limits::ws_outbound_bytes).
    #[must_use]
    pub fn outbound_bytes(self, bytes: usize) -> Self {
        Self { outbound_bytes: Some(bytes), ..self }
    }

    /// Sets after which silence the client is asked whether it is there, instead of
    /// [`Timeouts::ws_ping`](crate::Timeouts::ws_ping).
    #[must_use]
    pub fn ping(self, interval: Option<Duration>) -> Self {
        Self { ping: Some(interval), ..self }
    }

    /// Sets how long the client may leave that unanswered, instead of
    /// [`Timeouts::ws_pong`](crate::Timeouts::ws_pong).
    #[must_use]
    pub fn pong(self, timeout: Option<Duration>) -> Self {
        Self { pong: Some(timeout), ..self }
    }

    /// Sets how long closing may take, instead of [`Timeouts::ws_close`](crate::Timeouts::ws_close).
    #[must_use]
    pub fn close(self, timeout: Duration) -> Self {
        Self { close: Some(timeout), ..self }
    }
}
