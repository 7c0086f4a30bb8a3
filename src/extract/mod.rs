//! Extractors: arguments of handlers, made from the request; must not know routes, connections or protocols.
//!
//! The names, the order and the outcomes are those of axum. An extractor that reads only the head implements
//! [`FromRequestParts`]. One that takes the body implements [`FromRequest`] and must be the last argument.
//!
//! ```
//! use std::sync::Arc;
//! use windlass::{Json, Router, TestClient, extract::{Path, Query, State}, get, post};
//!
//! #[derive(serde::Deserialize)]
//! struct Page { from: u32 }
//! #[derive(serde::Deserialize, serde::Serialize)]
//! struct Item { name: String }
//!
//! async fn root() -> &'static str { "hello" }
//! async fn list(State(prefix): State<Arc<str>>, Path(user): Path<String>, page: Query<Page>) -> String {
//!     format!("{prefix} of {user} from {}", page.0.from)
//! }
//! async fn add(Path(user): Path<String>, Json(item): Json<Item>) -> Json<Item> {
//!     Json(Item { name: format!("{user}'s {}", item.name) })
//! }
//!
//! let router = Router::new()
//!     .state(Arc::<str>::from("items"))
//!     .route(get("/", root))
//!     .route(get("/{user}/items", list))
//!     .route(post("/{user}/items", add));
//! let client = TestClient::new(router)?;
//! assert_eq!(client.get("/ann/items?from=3").body(), "items of ann from 3");
//! assert_eq!(client.get("/ann/items?from=x").status(), 400);
//! # Ok::<(), windlass::StartError>(())
//! ```
//!
//! | extractor | gives | refuses with |
//! |---|---|---|
//! | [`Path<T>`](Path) | the path parameters: one value, a tuple, a struct or a map | `400`; `500` if the type does not fit the parameters of the route |
//! | [`Query<T>`](Query) | the query | `400` |
//! | [`State<T>`](State) | a value of [`Router::state`](crate::Router::state) | nothing: the server does not start without the value |
//! | [`Extension<T>`](Extension) | a value that middleware has attached | `500` |
//! | [`ConnectInfo<T>`](ConnectInfo) | the address of the peer | `500` for `SocketAddr` on a Unix socket |
//! | [`RequestId`](crate::middleware::RequestId) | the identifier of the request | `500` if it has none |
//! | `Method`, `Uri`, `Version`, `HeaderMap` | that part of the head | `Uri`: `400` for a target that the `http` crate does not accept |
//! | [`Json<T>`](crate::Json) | the body as JSON | `415`, `400`, `422`, `413` |
//! | [`Form<T>`](Form) | the query of GET and HEAD, else the body as a form | `400`, `415`, `422`, `413` |
//! | [`Multipart`] | a form with files, field by field | `400`, `415`, `413` |
//! | `WebSocketUpgrade` of [`ws`](crate::ws) | the handshake of a WebSocket | `400`, `426` and others of RFC 6455 |
//! | `Bytes`, `String` | the whole body | `413`; `400` for a body that is not complete, or a `String` that is not UTF-8 |
//! | [`Body`](crate::Body), [`Request`] | the body or the request as it is | nothing |
//! | `Option<T>` | `None` where the part is absent, see [`OptionalFromRequestParts`] | as `T` where it is invalid |
//! | `Result<T, T::Rejection>` | the outcome of `T` | nothing |

mod body;
mod head;
#[cfg(feature = "multipart")]
mod multipart;
mod optional;
#[cfg(feature = "json")]
mod typed;

use std::{convert::Infallible, fmt, future::Future};

use http::Extensions;

use crate::{request::Request, response::IntoResponse};

pub use head::{ConnectInfo, Extension, State};
#[cfg(feature = "multipart")]
pub use multipart::{Field, Multipart};
pub use optional::{OptionalFromRequest, OptionalFromRequestParts};
#[cfg(feature = "json")]
pub use typed::{Form, Path, Query};

/// Marker of [`FromRequest`] arguments that implement [`FromRequestParts`].
#[derive(Debug)]
pub struct ViaParts(());

/// Marker of [`FromRequest`] arguments that take the whole request.
#[derive(Debug)]
pub struct ViaRequest(());

/// A type of state that a handler needs. The server checks that the router has it, at the start and when it
/// adds a route later.
#[derive(Clone, Copy)]
pub struct RequiredState {
    name: &'static str,
    is_in: fn(&Extensions) -> bool,
}

impl RequiredState {
    /// Requires a value of this type.
    pub fn of<T: Clone + Send + Sync + 'static>() -> Self {
        Self { name: std::any::type_name::<T>(), is_in: |state| state.get::<T>().is_some() }
    }

    /// Returns the name of the type.
    pub fn type_name(&self) -> &'static str {
        self.name
    }

    /// Returns `true` if the router's values include one of this type.
    pub(crate) fn is_in(&self, state: &Extensions) -> bool {
        (self.is_in)(state)
    }
}

impl fmt::Debug for RequiredState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RequiredState").field(&self.name).finish()
    }
}

/// An argument of a handler that reads the head of the request and leaves its body alone.
///
/// ```
/// use windlass::{Rejection, Request, extract::FromRequestParts, get, http::StatusCode};
///
/// struct User(String);
///
/// impl FromRequestParts for User {
///     type Rejection = Rejection;
///     async fn from_request_parts(request: &mut Request) -> Result<Self, Rejection> {
///         let refused = Rejection::new(StatusCode::UNAUTHORIZED, "who are you?");
///         request.header("x-user").map(|name| Self(name.to_owned())).ok_or(refused)
///     }
/// }
///
/// let route = get("/me", |User(name): User| format!("you are {name}"));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an argument that a handler can take in this place",
    label = "expected an extractor of `windlass::extract`",
    note = "`Json`, `Form`, `String`, `Bytes`, `Body` and `Request` take the body: they must be the last \
            argument"
)]
pub trait FromRequestParts: Sized {
    /// The response to a request that lacks the argument or has an invalid one.
    type Rejection: IntoResponse;

    /// `true` if the future of [`from_request_parts`](Self::from_request_parts) is always ready when it is
    /// first polled. If all arguments of a handler are immediate, the server stores no future for them. If
    /// the future is pending nevertheless, the error is logged and the request answered with `500`. Default:
    /// `false`.
    const IMMEDIATE: bool = false;

    /// Makes the argument, or the response that rejects the request. Then the handler is not called.
    fn from_request_parts(
        request: &mut Request,
    ) -> impl Future<Output = Result<Self, Self::Rejection>> + Send;

    /// The state that the argument needs. Default: none.
    fn required_state() -> Option<RequiredState> {
        None
    }
}

/// An argument of a handler that takes the whole request. A handler has at most one, as its last argument.
///
/// Types that implement [`FromRequestParts`] can be the last argument too. The parameter `M` distinguishes
/// the two kinds and is inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an argument that a handler can take",
    label = "expected an extractor of `windlass::extract`, or `windlass::Request`"
)]
pub trait FromRequest<M = ViaRequest>: Sized {
    /// The response to a request that lacks the argument or has an invalid one.
    type Rejection: IntoResponse;

    /// See [`FromRequestParts::IMMEDIATE`].
    const IMMEDIATE: bool = false;

    /// Makes the argument, or the response that rejects the request. Then the handler is not called.
    fn from_request(request: Request) -> impl Future<Output = Result<Self, Self::Rejection>> + Send;

    /// The state that the argument needs. Default: none.
    fn required_state() -> Option<RequiredState> {
        None
    }
}

impl<T: FromRequestParts> FromRequest<ViaParts> for T {
    type Rejection = T::Rejection;

    const IMMEDIATE: bool = T::IMMEDIATE;

    async fn from_request(mut request: Request) -> Result<Self, Self::Rejection> {
        T::from_request_parts(&mut request).await
    }

    fn required_state() -> Option<RequiredState> {
        T::required_state()
    }
}

impl FromRequest for Request {
    type Rejection = Infallible;

    const IMMEDIATE: bool = true;

    fn from_request(request: Request) -> impl Future<Output = Result<Self, Infallible>> + Send {
        std::future::ready(Ok(request))
    }
}
