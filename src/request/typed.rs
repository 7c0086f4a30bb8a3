//! Conversion of a request's query, path and body to types of the program.

use http::StatusCode;
use serde::de::DeserializeOwned;

use super::{Request, params};
use crate::response::Rejection;

impl Request {
    /// Parses the query. Requires the feature `json`.
    ///
    /// Use a `Vec` for a repeated key, and an `Option` or `#[serde(default)]` for an optional one.
    ///
    /// ```
    /// use windlass::{Rejection, Request};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Page { from: u64, #[serde(default)] tag: Vec<String> }
    ///
    /// fn list(request: Request) -> Result<String, Rejection> {
    ///     let page: Page = request.query_as()?;
    ///     Ok(format!("from {} with {} tags", page.from, page.tag.len()))
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// `400` if the query does not match the type. The text names a missing key. For an invalid value it
    /// names the problem, not always the key.
    pub fn query_as<T: DeserializeOwned>(&self) -> Result<T, Rejection> {
        let read = serde_html_form::from_str(self.query().unwrap_or_default());
        read.map_err(|error| invalid(StatusCode::BAD_REQUEST, "query", error))
    }

    /// Parses the path parameters: a single one, a tuple of all in their order, or a type with fields of
    /// their names. Requires the feature `json`.
    ///
    /// # Errors
    ///
    /// `400` if a parameter is invalid. The text describes the problem. `500`, and a log line, if the route
    /// has another number of parameters than the type, or none of a field's name.
    pub fn params_as<T: DeserializeOwned>(&self) -> Result<T, Rejection> {
        params::read(self)
    }

    /// Parses the body as JSON. Requires the feature `json`.
    ///
    /// ```
    /// use windlass::{Json, Rejection, Request};
    ///
    /// #[derive(serde::Deserialize, serde::Serialize)]
    /// struct Point { x: f64, y: f64 }
    ///
    /// async fn mirror(mut request: Request) -> Result<Json<Point>, Rejection> {
    ///     let point: Point = request.json().await?;
    ///     Ok(Json(Point { x: point.y, y: point.x }))
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// - `415` if the content type is neither `application/json` nor `application/…+json`.
    /// - `400` if the body is not valid JSON or not complete.
    /// - `422` if the JSON does not match the type.
    /// - `413` on a [streamed](crate::Route::streamed) route if the body is larger than 1 MiB.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the body is lost.
    pub async fn json<T: DeserializeOwned>(&mut self) -> Result<T, Rejection> {
        self.expect_content("application/json", |kind| {
            kind == "application/json" || kind.starts_with("application/") && kind.ends_with("+json")
        })?;
        let body = self.whole_body().await?;
        serde_json::from_slice(&body).map_err(|error| {
            let status =
                if error.is_data() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::BAD_REQUEST };
            invalid(status, "request body", error)
        })
    }

    /// Parses the body as a form (`application/x-www-form-urlencoded`). Requires the feature `json`.
    ///
    /// # Errors
    ///
    /// - `415` if the content type is not that of a form.
    /// - `400` if the body is not complete.
    /// - `422` if the form does not match the type.
    /// - `413` if the body is too large, as for [`json`](Self::json).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the body is lost.
    pub async fn form<T: DeserializeOwned>(&mut self) -> Result<T, Rejection> {
        const FORM: &str = "application/x-www-form-urlencoded";
        self.expect_content(FORM, |kind| kind == FORM)?;
        let body = self.whole_body().await?;
        serde_html_form::from_bytes(&body)
            .map_err(|error| invalid(StatusCode::UNPROCESSABLE_ENTITY, "form", error))
    }

    fn expect_content(&self, wanted: &str, matches: impl Fn(&str) -> bool) -> Result<(), Rejection> {
        let kind = self.content_type().and_then(|kind| kind.split(';').next()).unwrap_or_default();
        if matches(&kind.trim().to_ascii_lowercase()) {
            return Ok(());
        }
        Err(Rejection::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("unsupported content type: expected {wanted}"),
        ))
    }
}

fn invalid(
    status: StatusCode,
    what: &str,
    error: impl std::error::Error + Send + Sync + 'static,
) -> Rejection {
    Rejection::new(status, format!("invalid {what}: {error}")).with_source(error)
}
