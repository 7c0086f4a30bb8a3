//! What a request says, as values of the program's own types. Feature `json`.

use http::StatusCode;
use serde::de::DeserializeOwned;

use super::Request;
use crate::response::Rejection;

/// The largest body that is collected on a streaming route, bytes; elsewhere it has been collected, under the route's
/// own limit.
const STREAMED_BYTES: usize = 1024 * 1024;

impl Request {
    /// Reads the query into a value. Feature `json`.
    ///
    /// A key that is repeated fills a `Vec`; one that may be missing is an `Option` or has `#[serde(default)]`.
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
    /// A `400` that names what is missing or wrong.
    pub fn query_as<T: DeserializeOwned>(&self) -> Result<T, Rejection> {
        let read = serde_html_form::from_str(self.query().unwrap_or_default());
        read.map_err(|error| wrong(StatusCode::BAD_REQUEST, "query", error))
    }

    /// Reads the path parameters into a value whose fields are named as they are. Feature `json`.
    ///
    /// For a single one there is [`param_as`](Self::param_as).
    ///
    /// # Errors
    ///
    /// A `400` that names what is missing or wrong.
    pub fn params_as<T: DeserializeOwned>(&self) -> Result<T, Rejection> {
        let mut pairs = form_urlencoded::Serializer::new(String::new());
        for (name, _) in &self.head.params {
            let name = self.head.text(*name);
            pairs.append_pair(name, &self.param(name).unwrap_or_default());
        }
        let read = serde_html_form::from_str(&pairs.finish());
        read.map_err(|error| wrong(StatusCode::BAD_REQUEST, "path", error))
    }

    /// Reads the body as JSON. Feature `json`.
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
    /// `415` if the content type is not JSON, `400` if the body is not, `422` if it is and not this type, `413` if it is
    /// larger than the route takes (on a [streaming](crate::Route::streamed) route 1 MiB).
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, the body is lost.
    pub async fn json<T: DeserializeOwned>(&mut self) -> Result<T, Rejection> {
        self.expect_content("application/json", |kind| {
            kind == "application/json" || kind.starts_with("application/") && kind.ends_with("+json")
        })?;
        let body = self.take_body().collect(STREAMED_BYTES.max(self.whole_bytes())).await?;
        serde_json::from_slice(&body).map_err(|error| {
            let status =
                if error.is_data() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::BAD_REQUEST };
            wrong(status, "body", error)
        })
    }

    /// Reads the body as a form (`application/x-www-form-urlencoded`). Feature `json`.
    ///
    /// # Errors
    ///
    /// `415` if the content type is not that of a form, `422` if the form is not this type, `413` as for
    /// [`json`](Self::json).
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, the body is lost.
    pub async fn form<T: DeserializeOwned>(&mut self) -> Result<T, Rejection> {
        const FORM: &str = "application/x-www-form-urlencoded";
        self.expect_content(FORM, |kind| kind == FORM)?;
        let body = self.take_body().collect(STREAMED_BYTES.max(self.whole_bytes())).await?;
        serde_html_form::from_bytes(&body)
            .map_err(|error| wrong(StatusCode::UNPROCESSABLE_ENTITY, "form", error))
    }

    /// Returns how large the body is if it is there as a whole: the route took it.
    fn whole_bytes(&self) -> usize {
        self.body.as_bytes().map_or(0, <[u8]>::len)
    }

    fn expect_content(&self, wanted: &str, is_it: impl Fn(&str) -> bool) -> Result<(), Rejection> {
        let kind = self.content_type().and_then(|kind| kind.split(';').next()).unwrap_or_default();
        if is_it(&kind.trim().to_ascii_lowercase()) {
            return Ok(());
        }
        Err(Rejection::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("this path takes {wanted}")))
    }
}

fn wrong(status: StatusCode, what: &str, error: impl std::error::Error + Send + Sync + 'static) -> Rejection {
    Rejection::new(status, format!("the {what} is not what this path takes: {error}")).with_source(error)
}
