//! Arguments that are parts of the head, and values that the program has attached.

use std::{convert::Infallible, net::SocketAddr, ops::Deref};

use http::{HeaderMap, Method, StatusCode, Uri, Version};

use super::{FromRequestParts, RequiredState};
use crate::{
    request::{Peer, Request, RequestId},
    response::Rejection,
};

/// Logs a problem that is the server's fault and returns a `500` rejection that does not contain it.
fn internal(problem: String) -> Rejection {
    tracing::error!("answering 500: {problem}");
    Rejection::new(StatusCode::INTERNAL_SERVER_ERROR, "The server failed to handle this request.")
}

/// A clone of the value of this type that [`Router::state`](crate::Router::state) has added.
///
/// A server whose router lacks the value does not start, and a running one does not add the route:
/// [`RouterError`](crate::RouterError) names the route and the type.
#[derive(Clone, Copy, Debug, Default)]
pub struct State<T>(pub T);

impl<T: Clone + Send + Sync + 'static> FromRequestParts for State<T> {
    type Rejection = Rejection;

    const IMMEDIATE: bool = true;

    async fn from_request_parts(request: &mut Request) -> Result<Self, Rejection> {
        let value = request.need_state::<T>().map_err(|error| internal(error.to_string()));
        value.cloned().map(Self)
    }

    fn required_state() -> Option<RequiredState> {
        Some(RequiredState::of::<T>())
    }
}

impl<T> Deref for State<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// A clone of the value of this type that middleware has attached with
/// [`Request::extensions_mut`](crate::Request::extensions_mut). Without such a value the request is answered
/// with `500`; `Option<Extension<T>>` is then `None`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extension<T>(pub T);

impl<T: Clone + Send + Sync + 'static> FromRequestParts for Extension<T> {
    type Rejection = Rejection;

    const IMMEDIATE: bool = true;

    async fn from_request_parts(request: &mut Request) -> Result<Self, Rejection> {
        request.extensions().get::<T>().cloned().map(Self).ok_or_else(|| {
            let name = std::any::type_name::<T>();
            internal(format!("no middleware has attached an extension of type {name}"))
        })
    }
}

impl<T> Deref for Extension<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// The peer of the connection: `ConnectInfo<SocketAddr>`, or `ConnectInfo<Peer>` where it may be a Unix
/// socket.
#[derive(Clone, Copy, Debug)]
pub struct ConnectInfo<T>(pub T);

impl FromRequestParts for ConnectInfo<SocketAddr> {
    type Rejection = Rejection;

    const IMMEDIATE: bool = true;

    async fn from_request_parts(request: &mut Request) -> Result<Self, Rejection> {
        let missing = || {
            internal(
                "the peer has no IP address: take ConnectInfo<Peer> instead of ConnectInfo<SocketAddr>"
                    .to_owned(),
            )
        };
        request.peer().map(Self).ok_or_else(missing)
    }
}

impl FromRequestParts for ConnectInfo<Peer> {
    type Rejection = Infallible;

    const IMMEDIATE: bool = true;

    async fn from_request_parts(request: &mut Request) -> Result<Self, Infallible> {
        Ok(Self(request.raw_peer()))
    }
}

impl FromRequestParts for RequestId {
    type Rejection = Rejection;

    const IMMEDIATE: bool = true;

    async fn from_request_parts(request: &mut Request) -> Result<Self, Rejection> {
        request.id().ok_or_else(|| internal("the request has no identifier: add RequestIds".to_owned()))
    }
}

impl FromRequestParts for Method {
    type Rejection = Infallible;

    const IMMEDIATE: bool = true;

    async fn from_request_parts(request: &mut Request) -> Result<Self, Infallible> {
        Ok(request.method().clone())
    }
}

impl FromRequestParts for Version {
    type Rejection = Infallible;

    const IMMEDIATE: bool = true;

    async fn from_request_parts(request: &mut Request) -> Result<Self, Infallible> {
        Ok(request.version())
    }
}

impl FromRequestParts for Uri {
    type Rejection = Rejection;

    const IMMEDIATE: bool = true;

    async fn from_request_parts(request: &mut Request) -> Result<Self, Rejection> {
        let invalid = |error| Rejection::bad_request("invalid request target").with_source(error);
        Self::try_from(request.target().as_ref()).map_err(invalid)
    }
}

impl FromRequestParts for HeaderMap {
    type Rejection = Infallible;

    const IMMEDIATE: bool = true;

    async fn from_request_parts(request: &mut Request) -> Result<Self, Infallible> {
        Ok(request.header_map())
    }
}
