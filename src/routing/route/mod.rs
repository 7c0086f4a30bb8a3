//! Routes as a user registers them.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};

use crate::{
    request::Request,
    response::{Fields, IntoResponse, Response},
    routing::handler::{Erased, Handler, Kind, Layer, Middleware, erase},
};

/// Where a route's handler runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dispatch {
    /// On the connection's own shard, at once. For handlers that answer in microseconds: nothing ends one that does not,
    /// and every other connection of the shard waits for it. One that holds its shard longer than
    /// [`Timeouts::inline_stall`](crate::Timeouts::inline_stall) is logged and counted.
    #[default]
    Inline,
    /// As a message to the pool: an async handler on a worker with tokio, a sync handler on a thread of its own.
    /// For handlers that wait or compute. A full pool answers 503 with `Retry-After`; so does the end of
    /// [`Timeouts::job`](crate::Timeouts::job), 30 s unless set, which drops the handler's future, while a sync handler
    /// runs on to its end. A handler that panics is answered 500.
    Async,
}

/// How a route's handler gets the request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyMode {
    /// Collected before the handler runs; with its own limit, or the server's.
    Whole(Option<usize>),
    /// The handler runs at the end of the head and reads the body as it comes.
    Streamed,
}

/// When a route's requests are refused because its shard lags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shed {
    /// First: it asks for more than an answer at once. So do async routes, whatever they say.
    First,
    /// With everything else.
    Last,
    /// Never: it tells how the server is.
    Never,
}

/// What a route does.
#[derive(Clone)]
pub(crate) enum Action {
    /// Sends the same response each time.
    Static(Arc<StaticResponse>),
    /// Runs a handler.
    Run(Arc<dyn Erased>),
}

/// The path parameter that holds what is below the path of a route that [reaches](Reach) that far.
pub(crate) const BELOW: &str = "below";

/// Which paths a route serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Those its template matches.
    Path,
    /// These, and everything below them.
    #[cfg_attr(not(feature = "tower"), expect(dead_code, reason = "only mounted services have such routes"))]
    Below,
}

/// A response that never changes; made into a wire image when the table is compiled.
#[derive(Debug)]
pub(crate) struct StaticResponse {
    pub(crate) status: StatusCode,
    pub(crate) fields: Fields,
    pub(crate) body: Bytes,
}

/// One method of one path, and what it does.
///
/// ```
/// use windlass::{Request, get, post};
/// async fn slow(_: Request) -> &'static str { "done" }
/// let a = get("/hello/{name}", |request: Request| format!("Hello, {}!", request.param("name").unwrap()));
/// let b = post("/slow", slow).run_async();
/// ```
///
/// Paths are [`matchit`'s](https://docs.rs/matchit): `{id}` is one segment, `{*rest}` the rest of the path; a path
/// without braces is matched first. A GET route answers HEAD too.
#[derive(Clone)]
pub struct Route {
    /// None: every method that no other route of the path serves.
    pub(crate) method: Option<Method>,
    pub(crate) path: String,
    pub(crate) action: Action,
    pub(crate) dispatch: Option<Dispatch>,
    pub(crate) layers: Vec<Layer>,
    pub(crate) body: BodyMode,
    pub(crate) reach: Reach,
    pub(crate) shed: Shed,
}

impl Route {
    /// Makes a route for this method, which may be one that has no function of its own here, such as `PROPFIND`.
    pub fn new<M: 'static>(method: Method, path: impl Into<String>, handler: impl Handler<M>) -> Self {
        Self::with_action(Some(method), path.into(), Action::Run(erase(handler)))
    }

    pub(crate) fn with_action(method: Option<Method>, path: String, action: Action) -> Self {
        let body = BodyMode::Whole(None);
        let shed = match &action {
            Action::Run(handler) if handler.kind() == Kind::Shard => Shed::First,
            _ => Shed::Last,
        };
        Self { method, path, action, dispatch: None, layers: Vec::new(), body, reach: Reach::Path, shed }
    }

    /// Names the method, for figures and errors.
    pub(crate) fn method_name(&self) -> &str {
        self.method.as_ref().map_or("(any)", Method::as_str)
    }

    /// Runs this route on its connection's shard, whatever its group or the server say.
    #[must_use]
    pub fn run_inline(self) -> Self {
        Self { dispatch: Some(Dispatch::Inline), ..self }
    }

    /// Runs this route on the pool, whatever its group or the server say.
    #[must_use]
    pub fn run_async(self) -> Self {
        Self { dispatch: Some(Dispatch::Async), ..self }
    }

    /// Puts middleware around the handler, inside of what was put before. The dispatch stays as it is.
    #[must_use]
    pub fn with(mut self, middleware: impl Middleware) -> Self {
        self.layers.push(Layer::around(middleware));
        self
    }

    /// Has a check let each request pass before the handler, or answer it instead. It is one of the layers and runs where they
    /// run, but costs no future: for tokens and the like. The body it sees is there as a whole, or streamed.
    ///
    /// ```
    /// use windlass::{Request, get, http::StatusCode};
    /// fn known(request: &Request) -> Result<(), StatusCode> {
    ///     let is_known = request.header("authorization") == Some("Bearer secret");
    ///     if is_known { Ok(()) } else { Err(StatusCode::UNAUTHORIZED) }
    /// }
    /// let route = get("/private", |_: Request| "for your eyes only").authorize(known);
    /// ```
    #[must_use]
    pub fn authorize<E: IntoResponse>(
        mut self,
        check: impl Fn(&Request) -> Result<(), E> + Send + Sync + 'static,
    ) -> Self {
        self.layers.push(Layer::before(check));
        self
    }

    /// Runs the handler as soon as the head is there; it reads the body as it comes. No size limit applies:
    /// this and [`body_limit`](Self::body_limit) take each other back, whichever comes last counts.
    #[must_use]
    pub fn streamed(self) -> Self {
        Self { body: BodyMode::Streamed, ..self }
    }

    /// Serves this route also while its shard lags so much that others are answered `503`: see
    /// [`Timeouts::shed_all`](crate::Timeouts::shed_all). For what tells whether the program is well, and answers at once.
    #[must_use]
    pub fn never_shed(self) -> Self {
        Self { shed: Shed::Never, ..self }
    }

    /// Sheds this route as async ones are: what it begins lasts.
    pub(crate) fn shed_first(self) -> Self {
        Self { shed: Shed::First, ..self }
    }

    /// Sets the largest body this route collects, bytes, instead of
    /// [`Limits::body_bytes`](crate::Limits::body_bytes). A larger one is answered `413`. Takes back
    /// [`streamed`](Self::streamed).
    #[must_use]
    pub fn body_limit(self, bytes: usize) -> Self {
        Self { body: BodyMode::Whole(Some(bytes)), ..self }
    }
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("Route");
        debug.field("method", &self.method).field("path", &self.path).field("dispatch", &self.dispatch);
        debug.finish_non_exhaustive()
    }
}

/// Makes a GET route that sends the same response each time, out of a prebuilt image: the fastest there is.
///
/// ```
/// use windlass::{Response, static_route};
/// let route = static_route("/robots.txt", Response::text("User-agent: *\nDisallow:\n"));
/// ```
///
/// Its path must have no parameters. Under middleware it is served as an inline handler instead, so that no
/// middleware is skipped.
///
/// # Panics
///
/// The response's body is not whole (a channel or a source), or its status is 1xx.
pub fn static_route(path: impl Into<String>, response: impl IntoResponse) -> Route {
    let mut response = response.into_response();
    let (status, fields) = (response.status(), response.fields().clone());
    assert!(!status.is_informational(), "a static route needs a status that ends a request");
    let Ok(body) = response.take_body().into_bytes() else {
        panic!("a static route needs a body that is there as a whole");
    };
    Route::with_action(
        Some(Method::GET),
        path.into(),
        Action::Static(Arc::new(StaticResponse { status, fields, body })),
    )
}

impl StaticResponse {
    /// Makes a copy as an ordinary response; the body is shared.
    pub(crate) fn to_response(&self) -> Response {
        let mut copy = Response::status_only(self.status);
        *copy.fields_mut() = self.fields.clone();
        copy.with_body(self.body.clone())
    }

    /// Makes the handler that serves this response under middleware.
    pub(crate) fn as_handler(self: &Arc<Self>) -> Arc<dyn Erased> {
        let this = self.clone();
        erase(move |_: Request| this.to_response())
    }
}

macro_rules! methods {
    ($($name:ident $method:ident),*) => {
        $(
            #[doc = concat!("Makes a ", stringify!($method), " route.")]
            pub fn $name<M: 'static>(path: impl Into<String>, handler: impl Handler<M>) -> Route {
                Route::new(Method::$method, path, handler)
            }
        )*
    };
}

/// Makes a route for every method that no other route of the path serves, OPTIONS among them.
///
/// ```
/// use windlass::{Request, any};
/// let route = any("/echo", |request: Request| format!("{} {}", request.method(), request.path()));
/// ```
pub fn any<M: 'static>(path: impl Into<String>, handler: impl Handler<M>) -> Route {
    Route::with_action(None, path.into(), Action::Run(erase(handler)))
}

methods!(get GET, post POST, put PUT, delete DELETE, patch PATCH, head HEAD, options OPTIONS);
