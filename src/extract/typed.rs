//! The path parameters, the query, a JSON body or a form as a type of the program.

use http::Method;
use serde::de::DeserializeOwned;

use super::{FromRequest, FromRequestParts};
use crate::{
    request::Request,
    response::{Json, Rejection},
};

/// The path parameters of the route, percent-decoded.
///
/// `Path<u32>` takes one parameter, `Path<(u32, String)>` all of them in their order, and a struct or a map
/// takes them by name. For errors see [`Request::params_as`].
///
/// ```
/// use windlass::{extract::Path, get};
/// let one = get("/items/{id}", |Path(id): Path<u32>| format!("item {id}"));
/// let two = get("/{user}/items/{id}", |Path((user, id)): Path<(String, u32)>| format!("{user} {id}"));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts for Path<T> {
    type Rejection = Rejection;

    const IMMEDIATE: bool = true;

    async fn from_request_parts(request: &mut Request) -> Result<Self, Rejection> {
        request.params_as().map(Self)
    }
}

/// The query of the request. See [`Request::query_as`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts for Query<T> {
    type Rejection = Rejection;

    const IMMEDIATE: bool = true;

    async fn from_request_parts(request: &mut Request) -> Result<Self, Rejection> {
        request.query_as().map(Self)
    }
}

/// A form: the query of a GET or HEAD request ([`Request::query_as`]), otherwise the body
/// ([`Request::form`]).
#[derive(Clone, Copy, Debug, Default)]
pub struct Form<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequest for Form<T> {
    type Rejection = Rejection;

    async fn from_request(mut request: Request) -> Result<Self, Rejection> {
        if matches!(*request.method(), Method::GET | Method::HEAD) {
            return request.query_as().map(Self);
        }
        request.form().await.map(Self)
    }
}

/// The body as JSON. See [`Request::json`].
impl<T: DeserializeOwned + Send> FromRequest for Json<T> {
    type Rejection = Rejection;

    async fn from_request(mut request: Request) -> Result<Self, Rejection> {
        request.json().await.map(Self)
    }
}
