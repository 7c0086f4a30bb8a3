//! HTML responses.

use http::{HeaderValue, header};

use super::{IntoResponse, Response};

/// A response of type `text/html; charset=utf-8`.
///
/// ```
/// use windlass::{Html, get};
/// let route = get("/", || Html("<h1>hello</h1>"));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Html<T>(pub T);

impl<T: IntoResponse> IntoResponse for Html<T> {
    fn into_response(self) -> Response {
        let mut response = self.0.into_response();
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        response.fields_mut().insert(header::CONTENT_TYPE, html);
        response
    }
}
