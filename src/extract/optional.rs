//! Optional arguments, and arguments whose rejection the handler gets as an `Err`.

use std::{convert::Infallible, future::Future};

use super::{Extension, FromRequest, FromRequestParts, RequiredState};
#[cfg(feature = "json")]
use crate::{
    extract::Path,
    response::{Json, Rejection},
};
use crate::{request::Request, response::IntoResponse};

/// An argument that a handler can take as `Option<Self>`.
///
/// It is `None` if the request lacks that part. A request with an invalid part is rejected, so that a mistake
/// of the client does not look like an absent value.
pub trait OptionalFromRequestParts: Sized {
    /// The response to a request that has an invalid argument.
    type Rejection: IntoResponse;

    /// Makes the argument, `None` if it is absent, or the response that rejects the request.
    fn from_request_parts(
        request: &mut Request,
    ) -> impl Future<Output = Result<Option<Self>, Self::Rejection>> + Send;
}

/// An argument that takes the body and that a handler can take as `Option<Self>`.
///
/// [`Json`](crate::Json) implements it: `Option<Json<T>>` is `None` if the request has no `Content-Type`.
pub trait OptionalFromRequest: Sized {
    /// The response to a request that has an invalid argument.
    type Rejection: IntoResponse;

    /// Makes the argument, `None` if it is absent, or the response that rejects the request.
    fn from_request(request: Request) -> impl Future<Output = Result<Option<Self>, Self::Rejection>> + Send;
}

impl<T: OptionalFromRequestParts> FromRequestParts for Option<T> {
    type Rejection = T::Rejection;

    async fn from_request_parts(request: &mut Request) -> Result<Self, T::Rejection> {
        T::from_request_parts(request).await
    }
}

impl<T: OptionalFromRequest> FromRequest for Option<T> {
    type Rejection = T::Rejection;

    async fn from_request(request: Request) -> Result<Self, T::Rejection> {
        T::from_request(request).await
    }
}

impl<T: Clone + Send + Sync + 'static> OptionalFromRequestParts for Extension<T> {
    type Rejection = Infallible;

    async fn from_request_parts(request: &mut Request) -> Result<Option<Self>, Infallible> {
        Ok(request.extensions().get::<T>().cloned().map(Self))
    }
}

#[cfg(feature = "json")]
impl<T: serde::de::DeserializeOwned + Send> OptionalFromRequestParts for Path<T> {
    type Rejection = Rejection;

    async fn from_request_parts(request: &mut Request) -> Result<Option<Self>, Rejection> {
        if request.params().next().is_none() {
            return Ok(None);
        }
        <Self as FromRequestParts>::from_request_parts(request).await.map(Some)
    }
}

#[cfg(feature = "json")]
impl<T: serde::de::DeserializeOwned + Send> OptionalFromRequest for Json<T> {
    type Rejection = Rejection;

    async fn from_request(request: Request) -> Result<Option<Self>, Rejection> {
        if request.content_type().is_none() {
            return Ok(None);
        }
        <Self as FromRequest>::from_request(request).await.map(Some)
    }
}

impl<T: FromRequestParts> FromRequestParts for Result<T, T::Rejection> {
    type Rejection = Infallible;

    const IMMEDIATE: bool = T::IMMEDIATE;

    async fn from_request_parts(request: &mut Request) -> Result<Self, Infallible> {
        Ok(T::from_request_parts(request).await)
    }

    fn required_state() -> Option<RequiredState> {
        T::required_state()
    }
}

impl<T: FromRequest> FromRequest for Result<T, T::Rejection> {
    type Rejection = Infallible;

    const IMMEDIATE: bool = T::IMMEDIATE;

    async fn from_request(request: Request) -> Result<Self, Infallible> {
        Ok(T::from_request(request).await)
    }

    fn required_state() -> Option<RequiredState> {
        T::required_state()
    }
}
