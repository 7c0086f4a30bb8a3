//! The listeners of a server, as its builder collects them.

use super::{builder::Builder, listener::Listener};
#[cfg(feature = "tls")]
use crate::tls::Tls;
use crate::{
    net::{Listen, ListenError},
    routing::router::Router,
};

impl Builder {
    /// Adds a listener. [`listen`](Self::listen) and alike are short for listeners without routes of their
    /// own.
    #[must_use]
    pub fn listener(mut self, listener: Listener) -> Self {
        self.listeners.push(listener);
        self
    }

    /// Adds an address to listen on. See [`Listener::new`].
    #[must_use]
    pub fn listen(self, address: impl TryInto<Listen, Error: Into<ListenError>>) -> Self {
        self.listener(Listener::new(address))
    }

    /// Adds an address to listen on that serves these routes, in place of those of
    /// [`router`](Self::router). See [`Listener::router`].
    #[must_use]
    pub fn listen_with(
        self,
        address: impl TryInto<Listen, Error: Into<ListenError>>,
        router: Router,
    ) -> Self {
        self.listener(Listener::new(address).router(router))
    }

    /// Adds an address whose connections start with a PROXY preamble. See [`Listener::proxied`].
    #[must_use]
    pub fn listen_proxied(self, address: impl TryInto<Listen, Error: Into<ListenError>>) -> Self {
        self.listener(Listener::new(address).proxied())
    }

    /// Adds an address whose connections start with a TLS handshake. See [`Listener::tls`].
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn listen_tls(self, address: impl TryInto<Listen, Error: Into<ListenError>>, tls: Tls) -> Self {
        self.listener(Listener::new(address).tls(tls))
    }

    /// Adds an address whose connections start with a PROXY preamble and then a TLS handshake. See
    /// [`Listener::proxied`] and [`Listener::tls`].
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn listen_proxied_tls(
        self,
        address: impl TryInto<Listen, Error: Into<ListenError>>,
        tls: Tls,
    ) -> Self {
        self.listener(Listener::new(address).proxied().tls(tls))
    }

    /// Adds an address whose clients speak HTTP/2 from the first byte, without TLS. See
    /// [`Listener::http2_only`].
    #[cfg(feature = "http2")]
    #[must_use]
    pub fn listen_http2(self, address: impl TryInto<Listen, Error: Into<ListenError>>) -> Self {
        self.listener(Listener::new(address).http2_only())
    }

    /// Adds an address like [`listen_http2`](Self::listen_http2) does, whose connections start with a PROXY
    /// preamble. See [`Listener::proxied`].
    #[cfg(feature = "http2")]
    #[must_use]
    pub fn listen_proxied_http2(self, address: impl TryInto<Listen, Error: Into<ListenError>>) -> Self {
        self.listener(Listener::new(address).http2_only().proxied())
    }
}
