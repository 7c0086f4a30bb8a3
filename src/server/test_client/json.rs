//! JSON requests and responses of the test client.

use bytes::Bytes;
use http::{HeaderValue, Method, Response, header};
use serde::{Serialize, de::DeserializeOwned};

use super::{TestClient, request};

impl TestClient {
    /// Sends a request of any method with this value as its JSON body, and returns the complete response.
    /// Requires the feature `json`.
    ///
    /// ```
    /// use windlass::{Json, Router, TestClient, http::Method, post};
    ///
    /// let sum = |Json(terms): Json<Vec<u32>>| Json(terms.iter().sum::<u32>());
    /// let client = TestClient::new(Router::new().route(post("/sum", sum)))?;
    /// let response = client.send_json(Method::POST, "/sum", &[1, 2, 3]);
    /// assert_eq!(TestClient::json::<u32>(&response), 6);
    /// # Ok::<(), windlass::StartError>(())
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if the value cannot be serialized.
    #[track_caller]
    pub fn send_json(&self, method: Method, path: &str, value: &impl Serialize) -> Response<Bytes> {
        let body = serde_json::to_vec(value).unwrap_or_else(|error| panic!("invalid JSON value: {error}"));
        let mut request = request(method, path, body.into());
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(header::CONTENT_TYPE, json);
        self.call(request)
    }

    /// Sends a GET request and returns the JSON body of its response. Requires the feature `json`.
    ///
    /// # Panics
    ///
    /// Panics if the status is not 2xx, or if the body is not of this type.
    #[track_caller]
    pub fn get_json<T: DeserializeOwned>(&self, path: &str) -> T {
        let response = self.get(path);
        assert!(response.status().is_success(), "{path}: {} {:?}", response.status(), response.body());
        Self::json(&response)
    }

    /// Returns the JSON body of a response. Requires the feature `json`.
    ///
    /// # Panics
    ///
    /// Panics if the body is not of this type.
    #[track_caller]
    pub fn json<T: DeserializeOwned>(response: &Response<Bytes>) -> T {
        let body = response.body();
        serde_json::from_slice(body).unwrap_or_else(|error| panic!("{error}: {}", body.escape_ascii()))
    }
}
