//! The handler of a route for static files.

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use http::{HeaderValue, Method, StatusCode, header};
use windlass_actors::Pool;

use super::{
    cache::{Cache, Cached},
    disk::{Disk, FileSystem},
    entry::{Entry, Found},
    jobs::Jobs,
    lookup::Lookup,
    name,
    promise::Promise,
    respond::{self, Refused},
    settings::Settings,
    source::Reader,
};
use crate::{
    metrics::ShardCounters,
    request::Request,
    response::{Response, plain},
    routing::{
        handler::{ErasedHandler, HandlerKind, HandlerOutput},
        route::{Action, PathScope, Route, SUBTREE_PARAM},
    },
};

/// Creates a GET route that serves the files of a directory at `path` and all paths below it. See the
/// [guide](crate::docs::files). Requires the feature `files`.
///
/// ```
/// use windlass::{Router, static_dir};
/// # let dir = std::env::temp_dir();
/// let router = Router::new().route(static_dir("/assets", dir));
/// ```
///
/// The directory is opened by this call, to check it, and again by each lookup. If it cannot be opened, or
/// the kernel lacks `openat2`, the server does not start.
///
/// The route runs inline: what may wait for a disk runs on the pool.
pub fn static_dir(path: impl Into<String>, dir: impl Into<PathBuf>) -> Route {
    static_dir_with(path, dir, Settings::default())
}

/// Creates a route like [`static_dir`], with these options.
pub fn static_dir_with(path: impl Into<String>, dir: impl Into<PathBuf>, settings: Settings) -> Route {
    let disk = Disk::below(dir.into(), settings.follow_symlinks);
    route(path, disk.map(boxed), Target::Tree, settings)
}

/// Creates a GET route that serves one file at `path`. See the [guide](crate::docs::files). Requires the
/// feature `files`.
///
/// ```
/// use windlass::{Router, static_file};
/// let router = Router::new().route(static_file("/favicon.ico", "public/icons/favicon.ico"));
/// ```
///
/// The file may be a symbolic link to any place. It need not exist when the server starts, but its directory
/// must.
pub fn static_file(path: impl Into<String>, file: impl AsRef<Path>) -> Route {
    static_file_with(path, file, Settings::default())
}

/// Creates a route like [`static_file`], with these options. Names in them are relative to the directory of
/// the file.
pub fn static_file_with(path: impl Into<String>, file: impl AsRef<Path>, settings: Settings) -> Route {
    let file = file.as_ref();
    let dir = match file.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir.to_owned(),
        _ => PathBuf::from("."),
    };
    match file.file_name().and_then(|name| name.to_str()) {
        Some(name) => route(path, Disk::trusted(dir).map(boxed), Target::File(name.to_owned()), settings),
        None => {
            let problem = format!("`{}` is not the name of a file in UTF-8", file.display());
            route(path, Err(problem), Target::Tree, settings)
        }
    }
}

/// Creates a route for a directory of any file system. For tests.
#[doc(hidden)]
pub fn static_files_over(path: impl Into<String>, files: impl FileSystem, settings: Settings) -> Route {
    route(path, Ok(Box::new(files)), Target::Tree, settings)
}

fn boxed(disk: Disk) -> Box<dyn FileSystem> {
    Box::new(disk)
}

fn route(
    path: impl Into<String>,
    files: Result<Box<dyn FileSystem>, String>,
    target: Target,
    settings: Settings,
) -> Route {
    let scope = match target {
        Target::Tree => PathScope::Subtree,
        Target::File(_) => PathScope::Path,
    };
    let files = match settings.problem() {
        Some(problem) => Err(problem.to_owned()),
        None => files,
    };
    let shared = files.map(|files| Arc::new(Shared::new(files, settings)));
    let handler = Arc::new(StaticFiles { shared, target });
    let route = Route::with_action(Some(Method::GET), path.into(), Action::Handler(handler));
    Route { scope, ..route }.run_inline()
}

/// Files that a route serves.
enum Target {
    /// The files below the directory.
    Tree,
    /// This file of the directory.
    File(String),
}

/// The handler.
struct StaticFiles {
    /// Error: the text for the start of the server.
    shared: Result<Arc<Shared>, String>,
    target: Target,
}

/// The state of a route, shared by all shards and the pool.
struct Shared {
    lookup: Lookup,
    cache: Cache,
    jobs: Arc<Jobs>,
}

/// The server's side of a request.
#[derive(Clone)]
struct Service {
    pool: Option<Pool>,
    counters: Arc<ShardCounters>,
}

impl Service {
    fn of(request: &Request) -> Self {
        Self { pool: request.pool().cloned(), counters: request.counters() }
    }
}

impl ErasedHandler for StaticFiles {
    fn kind(&self) -> HandlerKind {
        HandlerKind::Async
    }

    fn call(&self, request: Request) -> HandlerOutput {
        match &self.shared {
            Ok(shared) => shared.serve(request, &self.target),
            Err(problem) => {
                tracing::error!(problem, "static files are not served, answering 500");
                HandlerOutput::Ready(plain(StatusCode::INTERNAL_SERVER_ERROR, "The server failed.\n"))
            }
        }
    }

    fn uses_pool(&self) -> bool {
        true
    }

    fn problem(&self) -> Option<&str> {
        self.shared.as_ref().err().map(String::as_str)
    }
}

impl Shared {
    fn new(files: Box<dyn FileSystem>, settings: Settings) -> Self {
        let cache = Cache::new(settings.cache_bytes, settings.check_interval);
        Self { lookup: Lookup::new(files, settings), cache, jobs: Arc::default() }
    }

    fn settings(&self) -> &Settings {
        &self.lookup.settings
    }

    /// Serves a request: at once if the file is in the cache, otherwise from a future.
    fn serve(self: &Arc<Self>, request: Request, target: &Target) -> HandlerOutput {
        let name = match target {
            Target::File(name) => Some(Cow::Borrowed(name.as_str())),
            Target::Tree => match request.param_raw(SUBTREE_PARAM) {
                None if !request.path().ends_with('/') => {
                    return HandlerOutput::Ready(self.redirect(&request));
                }
                path => name::of_path(path.unwrap_or_default(), self.settings().hidden),
            },
        };
        let Some(name) = name else { return self.later(request, None) };
        match self.cache.find(&name, Instant::now()) {
            Cached::File(entry) => self.at_once(request, &entry),
            Cached::Stale(entry) => {
                self.begin(&Service::of(&request), name.into_owned(), Some(entry.clone()));
                self.at_once(request, &entry)
            }
            Cached::Pending(promise) => self.later(request, Some(promise)),
            Cached::Unknown(promise, known) => {
                self.begin(&Service::of(&request), name.into_owned(), known);
                self.later(request, Some(promise))
            }
        }
    }

    /// Serves a file of the cache.
    fn at_once(self: &Arc<Self>, request: Request, entry: &Entry) -> HandlerOutput {
        match self.respond(&request, entry) {
            Ok(response) => HandlerOutput::Ready(response),
            Err(refused) => {
                let this = self.clone();
                HandlerOutput::Future(Box::pin(async move { this.refuse(&request, refused).await }))
            }
        }
    }

    /// Serves a request once the lookup of its file has ended. Without a lookup the file does not exist.
    fn later(self: &Arc<Self>, request: Request, promise: Option<Promise<Found>>) -> HandlerOutput {
        let this = self.clone();
        HandlerOutput::Future(Box::pin(async move {
            let found = match promise {
                Some(promise) => promise.wait().await,
                None => Found::Missing,
            };
            this.answer(&request, found).await
        }))
    }

    async fn answer(self: Arc<Self>, request: &Request, found: Found) -> Response {
        let status = match found {
            Found::File(entry) => match self.respond(request, &entry) {
                Ok(response) => return response,
                Err(refused) => return self.refuse(request, refused).await,
            },
            Found::Directory => return self.redirect(request),
            Found::Missing => StatusCode::NOT_FOUND,
            Found::Forbidden => StatusCode::FORBIDDEN,
            Found::Unavailable(cause) => {
                request.counters().file_errors.add(cause);
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        self.refuse(request, Refused { status, content_range: None }).await
    }

    fn respond(&self, request: &Request, entry: &Entry) -> Result<Response, Refused> {
        respond::respond(request, entry, self.settings(), || self.reader(&Service::of(request)))
    }

    fn reader(&self, service: &Service) -> Reader {
        let Service { pool, counters } = service.clone();
        Reader { pool, jobs: self.jobs.clone(), counters }
    }

    /// Returns an error response, with the page for its status if there is one.
    async fn refuse(self: Arc<Self>, request: &Request, refused: Refused) -> Response {
        let Refused { status, content_range } = refused;
        let service = Service::of(request);
        let page = match self.settings().error_page_for(status) {
            Some(page) => self.find(&service, page).await,
            None => None,
        };
        let mut response = match page {
            Some(entry) => respond::error_page(status, &entry, || self.reader(&service)),
            None => plain(status, text_of(status)),
        };
        let fields = response.fields_mut();
        if let Some(value) = content_range {
            fields.append(header::CONTENT_RANGE, value);
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            fields.append(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        respond::add_headers(fields, self.settings());
        response
    }

    /// Returns a file for the server's own use. Returns `None` if it cannot be served.
    async fn find(self: &Arc<Self>, service: &Service, name: &str) -> Option<Arc<Entry>> {
        let promise = match self.cache.find(name, Instant::now()) {
            Cached::File(entry) => return Some(entry),
            Cached::Stale(entry) => {
                self.begin(service, name.to_owned(), Some(entry.clone()));
                return Some(entry);
            }
            Cached::Pending(promise) => promise,
            Cached::Unknown(promise, known) => {
                self.begin(service, name.to_owned(), known);
                promise
            }
        };
        match promise.wait().await {
            Found::File(entry) => Some(entry),
            _ => None,
        }
    }

    /// Starts the lookup of a name on the pool.
    fn begin(self: &Arc<Self>, service: &Service, name: String, known: Option<Arc<Entry>>) {
        service.counters.file_jobs.add("lookup");
        let job = LookupJob { shared: self.clone(), name, known, found: None, began: Instant::now() };
        if let Some(pool) = &service.pool {
            self.jobs.submit(pool, Box::new(move || job.run()));
        }
    }

    /// Returns the redirect from a directory to its name with a slash, so that relative links in its index
    /// file lead below it.
    fn redirect(&self, request: &Request) -> Response {
        let query = request.query().map(|query| format!("?{query}")).unwrap_or_default();
        let location = format!("{}/{query}", request.path());
        let mut response = Response::redirect(StatusCode::MOVED_PERMANENTLY, &location);
        respond::add_headers(response.fields_mut(), self.settings());
        response
    }
}

/// Returns the text of an error response.
fn text_of(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "There is nothing at this path.\n",
        StatusCode::FORBIDDEN => "The server may not read this file.\n",
        StatusCode::NOT_ACCEPTABLE => "The file exists in no coding that the request accepts.\n",
        StatusCode::PRECONDITION_FAILED => "The file is not the one that the request expects.\n",
        StatusCode::RANGE_NOT_SATISFIABLE => "The file has none of the requested bytes.\n",
        _ => "The server cannot read this file now.\n",
    }
}

/// Lookup of a name on the pool. Completes when it is dropped, also if it did not run.
struct LookupJob {
    shared: Arc<Shared>,
    name: String,
    /// An earlier result.
    known: Option<Arc<Entry>>,
    found: Option<Found>,
    began: Instant,
}

impl LookupJob {
    fn run(mut self) {
        self.began = Instant::now();
        self.found = Some(self.shared.lookup.find(&self.name, self.known.as_deref()));
    }
}

impl Drop for LookupJob {
    fn drop(&mut self) {
        let found = self.found.take().unwrap_or(Found::Unavailable("busy"));
        self.shared.cache.complete(&self.name, found, self.began);
    }
}
