//! A listener: an address, the protocols that its connections carry before HTTP, and its routes.

#[cfg(feature = "tls")]
use crate::tls::Tls;
use crate::{
    conn::Transport,
    net::{Listen, ListenError},
    routing::router::Router,
    server::operations::Operations,
};

/// An address to listen on, and the settings of its connections. Argument of
/// [`Builder::listener`](crate::Builder::listener).
///
/// A listener serves the routes of [`Builder::router`](crate::Builder::router), unless it has a
/// [router](Self::router) or [operations](Self::operations) of its own:
///
/// ```
/// use windlass::{Listener, Operations, Router, Server, get};
///
/// let admin = Router::new().route(get("/admin", || "for operators"));
/// let server = Server::builder()
///     .listen("127.0.0.1:0")
///     .router(Router::new().route(get("/", || "for everybody")))
///     .listener(Listener::new("127.0.0.1:0").router(admin).operations(Operations::usual()))
///     .start()?;
/// # drop(server);
/// # Ok::<(), windlass::StartError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Listener {
    pub(super) listen: Result<Listen, ListenError>,
    pub(super) transport: Transport,
    pub(super) router: Option<Router>,
    pub(super) operations: Operations,
}

impl Listener {
    /// Creates a listener for plain HTTP. The address is a [`SocketAddr`](std::net::SocketAddr), a
    /// [`Listen`], or a text such as `127.0.0.1:8080` or `unix:/run/app.sock`. With port 0 the system selects
    /// a free port.
    ///
    /// A text that is no address makes the start of the server fail.
    pub fn new(address: impl TryInto<Listen, Error: Into<ListenError>>) -> Self {
        Self {
            listen: address.try_into().map_err(Into::into),
            transport: Transport::default(),
            router: None,
            operations: Operations::default(),
        }
    }

    /// Expects a PROXY preamble, version 1 or 2, at the start of each connection.
    ///
    /// The server trusts the preamble, so only the proxy must be able to reach the address.
    #[must_use]
    pub fn proxied(mut self) -> Self {
        self.transport.is_proxied = true;
        self
    }

    /// Expects a TLS handshake at the start of each connection, after the PROXY preamble if there is one.
    ///
    /// A client that sends plain HTTP gets a plain `400` response, and the connection is closed.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.transport.tls = Some(tls);
        self
    }

    /// Expects HTTP/2 from the first byte. Has no effect with TLS.
    ///
    /// On other listeners without TLS a client selects HTTP/2 by its connection preface, so a client whose
    /// first bytes are no valid preface is answered in HTTP/1.1. Here it is answered in HTTP/2.
    #[cfg(feature = "http2")]
    #[must_use]
    pub fn http2_only(mut self) -> Self {
        self.transport.is_http2_only = true;
        self
    }

    /// Serves these routes on this listener, in place of those of
    /// [`Builder::router`](crate::Builder::router).
    ///
    /// The router has its own middleware, state and handlers for unmatched paths. Metrics count a route by
    /// its method and path: routes of several routers with the same ones are counted together.
    /// [`Server::listener_routes`](crate::Server::listener_routes) changes these routes while the server
    /// runs.
    #[must_use]
    pub fn router(self, router: Router) -> Self {
        Self { router: Some(router), ..self }
    }

    /// Adds paths for metrics and health checks to this listener. It then serves no routes of
    /// [`Builder::router`](crate::Builder::router): without a [router](Self::router) of its own it serves
    /// only these paths.
    #[must_use]
    pub fn operations(self, operations: Operations) -> Self {
        Self { operations, ..self }
    }

    /// Returns `true` if the listener has routes of its own.
    pub(super) fn has_routes(&self) -> bool {
        self.router.is_some() || self.operations != Operations::default()
    }
}
