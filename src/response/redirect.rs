//! Redirects.

use http::StatusCode;

use super::{IntoResponse, Response};

/// A redirect with one of three statuses. [`Response::redirect`] takes any status. An invalid location, such
/// as one with a line break, becomes a `500` response.
///
/// ```
/// use windlass::{Redirect, post};
/// let route = post("/login", || Redirect::to("/account"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    status: StatusCode,
    location: String,
}

impl Redirect {
    /// Redirects with `303 See Other`: the client sends a GET to `location`. For the answer to a form.
    pub fn to(location: &str) -> Self {
        Self { status: StatusCode::SEE_OTHER, location: location.to_owned() }
    }

    /// Redirects with `307 Temporary Redirect`: the client repeats its request with the same method and body.
    pub fn temporary(location: &str) -> Self {
        Self { status: StatusCode::TEMPORARY_REDIRECT, ..Self::to(location) }
    }

    /// Redirects with `308 Permanent Redirect`: as [`temporary`](Self::temporary), and clients may remember
    /// it.
    pub fn permanent(location: &str) -> Self {
        Self { status: StatusCode::PERMANENT_REDIRECT, ..Self::to(location) }
    }
}

impl IntoResponse for Redirect {
    fn into_response(self) -> Response {
        Response::redirect(self.status, &self.location)
    }
}
