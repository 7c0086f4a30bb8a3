//! Services of tower behind a path: an axum `Router`, or anything else that answers `http::Request`.

use std::{
    error::Error as StdError,
    future::poll_fn,
    sync::{Mutex, PoisonError},
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
        handler::{Called, Erased, Kind},
        route::{Action, BELOW, Reach, Route},
    },
};

/// The whole URI of a request to a [mounted](mount) service, among the request's extensions: the request itself has
/// what is below the mount's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginalUri(pub Uri);

/// Makes the route of a tower service: every method, at `path` and everything below it. Feature `tower`.
///
/// The service sees paths without `path`, as under axum's `nest_service`; the whole is in [`OriginalUri`]. It runs on
/// the pool, inside a worker's tokio runtime, so the route is async whatever its group or the server say, and cannot be
/// anything else. Bodies are streamed both ways, with their trailers; no size limit of the server's applies. When the
/// client is gone the service's future, or the body of its response, is dropped.
///
/// ```
/// use axum::{extract::Path, routing};
/// use windlass::Router;
///
/// let app = axum::Router::new().route("/users/{id}", routing::get(|Path(id): Path<u32>| async move { format!("user {id}") }));
/// let router = Router::new().mount("/api", app);
/// ```
///
/// Each request calls a clone of the service, once it is ready (`poll_ready`), so what clones share, such as the
/// permits of tower's `ConcurrencyLimit`, is respected; the job's deadline ([`Timeouts::job`](crate::Timeouts::job))
/// covers that wait. A service that fails is answered for with `500`, and the error is logged. A path that another
/// route has is that route's, for every method.
///
/// A request's extensions are those that middleware set, and its [`Peer`](crate::Peer). What axum's `ConnectInfo`
/// wants is set so:
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
///
/// A streamed response holds one of the pool's places until it ends: [`PoolSettings`](crate::PoolSettings) has
/// `workers` × `jobs_per_worker` of them. For very many subscribers there is [`broker`](crate::pubsub::broker), which needs none.
/// Protocol upgrades (`hyper::upgrade`, axum's WebSockets) are not offered to a service.
pub fn mount<S, B>(path: impl Into<String>, service: S) -> Route
where
    S: Service<http::Request<Body>, Response = http::Response<B>, Error: Into<BoxError>, Future: 'static>,
    S: Clone + Send + 'static,
    B: HttpBody<Data: Buf, Error: Into<BoxError>> + Send + 'static,
{
    let mounted = std::sync::Arc::new(Mounted { service: Mutex::new(service) });
    let route = Route::with_action(None, path.into(), Action::Run(mounted));
    Route { reach: Reach::Below, ..route }.streamed().run_async()
}

/// A service as a handler.
struct Mounted<S> {
    /// Only ever cloned; the lock is there for services that are not `Sync`.
    service: Mutex<S>,
}

impl<S, B> Erased for Mounted<S>
where
    S: Service<http::Request<Body>, Response = http::Response<B>, Error: Into<BoxError>, Future: 'static>,
    S: Clone + Send + 'static,
    B: HttpBody<Data: Buf, Error: Into<BoxError>> + Send + 'static,
{
    fn kind(&self) -> Kind {
        Kind::Tokio
    }

    fn call(&self, request: Request) -> Called {
        let service = self.service.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Called::Future(Box::pin(serve(service, request)))
    }
}

async fn serve<S, B>(mut service: S, request: Request) -> Response
where
    S: Service<http::Request<Body>, Response = http::Response<B>, Error: Into<BoxError>>,
    B: HttpBody<Data: Buf, Error: Into<BoxError>> + Send + 'static,
{
    let Ok(request) = below(request) else {
        return plain(StatusCode::BAD_REQUEST, "The request target is not a URI.\n");
    };
    let served = match poll_fn(|cx| service.poll_ready(cx)).await {
        Ok(()) => service.call(request).await,
        Err(error) => Err(error),
    };
    match served {
        Ok(response) => answer(response).await,
        Err(error) => {
            let error: BoxError = error.into();
            tracing::error!(
                error = &*error as &(dyn StdError + 'static),
                "a mounted service failed; answering 500"
            );
            plain(StatusCode::INTERNAL_SERVER_ERROR, "The service at this path failed.\n")
        }
    }
}

/// Makes the request a service sees: its path is what is below the mount's.
fn below(request: Request) -> Result<http::Request<Body>, http::Error> {
    let original = Uri::try_from(request.target().as_ref())?;
    let path = request.param_raw(BELOW).unwrap_or_default();
    let inner = match request.query() {
        Some(query) => Uri::try_from(format!("/{path}?{query}"))?,
        None => Uri::try_from(format!("/{path}"))?,
    };
    let mut request = request.into_http(inner);
    request.extensions_mut().insert(OriginalUri(original));
    Ok(request)
}

async fn answer<B>(response: http::Response<B>) -> Response
where
    B: HttpBody<Data: Buf, Error: Into<BoxError>> + Send + 'static,
{
    let (parts, body) = response.into_parts();
    let fields = Fields::from(parts.headers);
    // An event stream has no end of its own: nobody who sends FIN waits for it.
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
