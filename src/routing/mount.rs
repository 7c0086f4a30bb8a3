//! Tower services as routes: an axum `Router`, or any other service for `http::Request`.

use std::{
    error::Error as StdError,
    future::poll_fn,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Buf;
use http::{StatusCode, Uri, header};
use http_body::Body as HttpBody;
use tower_service::Service;

use crate::{
    body::{Body, BoxError},
    request::Request,
    response::{Fields, Response, plain},
    routing::{
        handler::{ErasedHandler, HandlerKind, HandlerOutput},
        route::{Action, PathScope, Route, SUBTREE_PARAM},
    },
};

/// The complete URI of a request to a [mounted](mount) service.
///
/// The service finds it among the request's extensions. The URI of the request itself lacks the mount path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginalUri(pub Uri);

/// Creates a route for a tower service: every method, at `path` and all paths below it. Requires the feature
/// `tower`.
///
/// ```
/// use axum::{extract::Path, routing};
/// use windlass::Router;
///
/// let user = routing::get(|Path(id): Path<u32>| async move { format!("user {id}") });
/// let app = axum::Router::new().route("/users/{id}", user);
/// let router = Router::new().mount("/api", app);
/// ```
///
/// - **Paths.** The service sees the path without `path`, like a service in axum's `nest_service`.
///   [`OriginalUri`] holds the complete URI. Another route below `path` takes precedence, for every method:
///   the service does not get the methods that it lacks. Another route at `path` itself takes only its own
///   method.
/// - **Dispatch.** The service runs on the pool, in the tokio runtime of a worker. The route is always async.
/// - **Bodies.** Request and response bodies are streamed in both directions, trailers included. The server's
///   body limit does not apply.
/// - **Readiness.** Each request calls a clone of the service after `poll_ready`. Permits that the clones
///   share, such as those of tower's `ConcurrencyLimit`, are respected. The wait counts against the job's
///   deadline ([`Timeouts::job`](crate::Timeouts::job)).
/// - **Errors.** If the service returns an error, the response is `500` and the error is logged.
/// - **Cancellation.** If the client disconnects, the service's future or response body is dropped. The
///   future is also dropped if the job's deadline passes first.
/// - **Capacity.** A streamed response occupies one of the pool's places until it ends. There are `workers` ×
///   `jobs_per_worker` of them ([`PoolSettings`](crate::PoolSettings)). For very many subscribers use a
///   [`broker`](crate::broker), which needs none.
/// - **Upgrades.** Protocol upgrades (`hyper::upgrade`, axum's WebSockets) are not supported.
///
/// The request's extensions are those that middleware has set, and the request's [`Peer`](crate::Peer).
/// Middleware can add the value for axum's `ConnectInfo` extractor:
///
/// ```
/// # use windlass::{Next, Request, Router};
/// # let app = axum::Router::new();
/// use axum::extract::ConnectInfo;
///
/// async fn connect_info(mut request: Request, next: Next) -> windlass::Response {
///     if let Some(peer) = request.peer() {
///         request.extensions_mut().insert(ConnectInfo(peer));
///     }
///     next.run(request).await
/// }
/// let router = Router::new().mount("/", app).with(connect_info);
/// ```
pub fn mount<S, B>(path: impl Into<String>, service: S) -> Route
where
    S: Service<http::Request<Body>, Response = http::Response<B>, Error: Into<BoxError>, Future: 'static>,
    S: Clone + Send + 'static,
    B: HttpBody<Data: Buf, Error: Into<BoxError>> + Send + 'static,
{
    let mounted = Arc::new(Mounted { service: Mutex::new(service) });
    let route = Route::with_action(None, path.into(), Action::Handler(mounted));
    Route { scope: PathScope::Subtree, ..route }.streamed().run_async()
}

/// A tower service as a handler.
struct Mounted<S> {
    /// Locked only to clone it. The lock makes services that are not `Sync` usable.
    service: Mutex<S>,
}

impl<S, B> ErasedHandler for Mounted<S>
where
    S: Service<http::Request<Body>, Response = http::Response<B>, Error: Into<BoxError>, Future: 'static>,
    S: Clone + Send + 'static,
    B: HttpBody<Data: Buf, Error: Into<BoxError>> + Send + 'static,
{
    fn kind(&self) -> HandlerKind {
        HandlerKind::Tokio
    }

    fn call(&self, request: Request) -> HandlerOutput {
        let service = self.service.lock().unwrap_or_else(PoisonError::into_inner).clone();
        HandlerOutput::Future(Box::pin(serve(service, request)))
    }
}

async fn serve<S, B>(mut service: S, request: Request) -> Response
where
    S: Service<http::Request<Body>, Response = http::Response<B>, Error: Into<BoxError>>,
    B: HttpBody<Data: Buf, Error: Into<BoxError>> + Send + 'static,
{
    let Ok(request) = strip_mount_path(request) else {
        return plain(StatusCode::BAD_REQUEST, "The request target is not a valid URI.\n");
    };
    let served = match poll_fn(|cx| service.poll_ready(cx)).await {
        Ok(()) => service.call(request).await,
        Err(error) => Err(error),
    };
    match served {
        Ok(response) => convert(response).await,
        Err(error) => {
            let error: BoxError = error.into();
            tracing::error!(
                error = &*error as &(dyn StdError + 'static),
                "mounted service failed, answering 500"
            );
            plain(StatusCode::INTERNAL_SERVER_ERROR, "The server failed to handle this request.\n")
        }
    }
}

/// Converts a request for a service and removes the mount path from its URI. The original URI becomes an
/// extension. Returns an error if either URI is not valid for the `http` crate.
fn strip_mount_path(request: Request) -> Result<http::Request<Body>, http::Error> {
    let original = Uri::try_from(request.target().as_ref())?;
    let path = request.param_raw(SUBTREE_PARAM).unwrap_or_default();
    let inner = match request.query() {
        Some(query) => Uri::try_from(format!("/{path}?{query}"))?,
        None => Uri::try_from(format!("/{path}"))?,
    };
    let mut request = request.into_http(inner);
    request.extensions_mut().insert(OriginalUri(original));
    Ok(request)
}

/// Converts the response of a service. Its body becomes a complete buffer if it is available at once.
async fn convert<B>(response: http::Response<B>) -> Response
where
    B: HttpBody<Data: Buf, Error: Into<BoxError>> + Send + 'static,
{
    let (parts, body) = response.into_parts();
    let fields = Fields::from(parts.headers);
    // An event stream has no end of its own, so a client that sends FIN does not wait for it.
    let endless = fields.first(header::CONTENT_TYPE.as_str()).is_some_and(|value| {
        value
            .as_bytes()
            .split(|byte| *byte == b';')
            .next()
            .is_some_and(|kind| kind.trim_ascii() == b"text/event-stream")
    });
    let mut response =
        Response::status_only(parts.status).with_body(Body::from_http_buffered(body, endless).await);
    *response.fields_mut() = fields;
    response
}
