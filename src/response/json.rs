//! JSON responses.

use http::{HeaderValue, StatusCode};
use serde::Serialize;

use super::{IntoResponse, Response, plain};

/// A response with a JSON body. Requires the feature `json`.
///
/// A value that cannot be serialized, such as a map whose keys are not strings, is logged and becomes a `500`
/// response. [`Request::json`](crate::Request::json) parses a JSON request.
///
/// ```
/// use windlass::{Json, Request};
///
/// #[derive(serde::Serialize)]
/// struct Sum { sum: u64 }
///
/// fn sum(request: Request) -> Json<Sum> {
///     let terms = request.query_value("terms").unwrap_or_default();
///     Json(Sum { sum: terms.split(',').filter_map(|term| term.parse::<u64>().ok()).sum() })
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(bytes) => Response::typed(HeaderValue::from_static("application/json"), bytes),
            Err(error) => {
                tracing::error!(%error, "failed to serialize a response as JSON, answering 500");
                plain(StatusCode::INTERNAL_SERVER_ERROR, "The server failed to handle this request.\n")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_written_or_a_500() {
        let fine = Json([1, 2]).into_response();
        assert_eq!(
            (fine.body().as_bytes(), fine.header("content-type").unwrap().to_str().unwrap()),
            (Some(&b"[1,2]"[..]), "application/json")
        );
        let keyed = std::collections::HashMap::from([(vec![1], 2)]);
        assert_eq!(Json(keyed).into_response().status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
