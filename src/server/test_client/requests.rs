//! Requests of the test client by method.

use bytes::Bytes;
use http::{Method, Response};

use super::{TestClient, request};

impl TestClient {
    /// Sends a GET request and returns the complete response.
    #[track_caller]
    pub fn get(&self, path: &str) -> Response<Bytes> {
        self.call(request(Method::GET, path, Bytes::new()))
    }

    /// Sends a HEAD request and returns the response, whose body is empty.
    #[track_caller]
    pub fn head(&self, path: &str) -> Response<Bytes> {
        self.call(request(Method::HEAD, path, Bytes::new()))
    }

    /// Sends an OPTIONS request and returns the complete response.
    #[track_caller]
    pub fn options(&self, path: &str) -> Response<Bytes> {
        self.call(request(Method::OPTIONS, path, Bytes::new()))
    }

    /// Sends a DELETE request and returns the complete response.
    #[track_caller]
    pub fn delete(&self, path: &str) -> Response<Bytes> {
        self.call(request(Method::DELETE, path, Bytes::new()))
    }

    /// Sends a POST request with this body and returns the complete response.
    #[track_caller]
    pub fn post(&self, path: &str, body: impl Into<Bytes>) -> Response<Bytes> {
        self.call(request(Method::POST, path, body.into()))
    }

    /// Sends a PUT request with this body and returns the complete response.
    #[track_caller]
    pub fn put(&self, path: &str, body: impl Into<Bytes>) -> Response<Bytes> {
        self.call(request(Method::PUT, path, body.into()))
    }

    /// Sends a PATCH request with this body and returns the complete response.
    #[track_caller]
    pub fn patch(&self, path: &str, body: impl Into<Bytes>) -> Response<Bytes> {
        self.call(request(Method::PATCH, path, body.into()))
    }
}
