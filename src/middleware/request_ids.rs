//! Identifiers of requests, from the client or made by the server.

use http::HeaderValue;

use super::random;
use crate::{
    request::{Request, RequestId},
    response::Response,
    routing::handler::{Middleware, Next, ResponseFuture},
};

/// Gives each request an identifier, and its response the header `x-request-id`.
///
/// The identifier is the `x-request-id` of the request, if it is valid: 1 to 64 bytes of visible ASCII.
/// Otherwise it is 32 random hexadecimal digits. [`Request::id`] returns it, a handler can take it as the
/// argument [`RequestId`], and log lines of panics and of [`Trace`](super::Trace) have it.
///
/// ```
/// use windlass::{Router, TestClient, get, middleware::{RequestId, RequestIds}};
///
/// let router = Router::new().with(RequestIds::new()).route(get("/", |id: RequestId| id.to_string()));
/// let response = TestClient::new(router)?.get("/");
/// assert_eq!(response.headers()["x-request-id"].as_bytes(), response.body().as_ref());
/// # Ok::<(), windlass::StartError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestIds {
    ignores_client: bool,
}

impl RequestIds {
    /// Accepts valid identifiers of clients.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ignores the identifiers of clients and makes one for each request.
    #[must_use]
    pub fn ignore_client(self) -> Self {
        Self { ignores_client: true }
    }
}

impl Middleware for RequestIds {
    fn wrap(&self, mut request: Request, next: Next) -> ResponseFuture {
        let given = request.id().filter(|_| !self.ignores_client);
        let id = given.or_else(|| {
            let digits = format!("{:016x}{:016x}", random::number(), random::number());
            RequestId::new(digits.as_bytes())
        });
        if let Some(id) = id {
            request.extensions_mut().insert(id);
        }
        Box::pin(async move {
            let mut response: Response = next.run(request).await;
            if let Some(value) = id.and_then(|id| HeaderValue::from_str(id.as_str()).ok()) {
                response.fields_mut().insert(RequestId::NAME, value);
            }
            response
        })
    }
}
