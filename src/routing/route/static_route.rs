//! Routes with a fixed response.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};

use super::{Action, Route};
use crate::{
    request::Request,
    response::{Fields, IntoResponse, Response},
    routing::handler::{ErasedHandler, erase},
};

/// A fixed response. The route table compiles it to the bytes that are sent.
#[derive(Debug)]
pub(crate) struct StaticResponse {
    pub(crate) status: StatusCode,
    pub(crate) fields: Fields,
    pub(crate) body: Bytes,
}

/// Creates a GET route with a fixed response. It is the fastest kind of route: the server sends prebuilt
/// bytes.
///
/// ```
/// use windlass::{Response, static_route};
/// let route = static_route("/robots.txt", Response::text("User-agent: *\nDisallow:\n"));
/// ```
///
/// With middleware around it, the response is served by an inline handler, so that the middleware runs. A
/// parameter in the path does not change the response.
///
/// # Panics
///
/// The body of the response is a channel or a source or has trailers, or the status is 1xx.
pub fn static_route(path: impl Into<String>, response: impl IntoResponse) -> Route {
    let mut response = response.into_response();
    let (status, fields) = (response.status(), response.fields().clone());
    assert!(!status.is_informational(), "a static route needs a final status, not 1xx");
    let Ok(body) = response.take_body().into_bytes() else {
        panic!("a static route needs a complete body without trailers, not a channel or a source");
    };
    Route::with_action(
        Some(Method::GET),
        path.into(),
        Action::Static(Arc::new(StaticResponse { status, fields, body })),
    )
}

impl StaticResponse {
    /// Returns an ordinary response that shares the body.
    pub(crate) fn to_response(&self) -> Response {
        let mut response = Response::status_only(self.status);
        *response.fields_mut() = self.fields.clone();
        response.with_body(self.body.clone())
    }

    /// Returns a handler that answers with this response.
    pub(crate) fn as_handler(self: &Arc<Self>) -> Arc<dyn ErasedHandler> {
        let this = self.clone();
        erase(move |_: Request| this.to_response())
    }
}
