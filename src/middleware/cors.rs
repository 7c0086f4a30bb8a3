//! Cross-origin resource sharing (Fetch §3.3): which pages of other origins may read the responses.

use std::{fmt::Write, sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue, Method, StatusCode, header};

use crate::{
    proto::origin::Origins,
    request::Request,
    response::{Fields, Response},
    routing::handler::{Middleware, Next, ResponseFuture},
};

/// Maximum bytes of further field names that a preflight response permits.
const REQUESTED_BYTES: usize = 1024;

/// Lets pages of other origins read the responses (CORS), and answers their preflight requests.
///
/// Add it outside of access checks: a page must be able to read their errors, and a browser sends preflight
/// requests without credentials.
///
/// ```
/// use windlass::{Origins, Router, TestClient, get, http::Request, middleware::Cors};
///
/// let app = "https://app.example.com";
/// let cors = Cors::new(Origins::SameOr(vec![app.to_owned()]));
/// let client = TestClient::new(Router::new().with(cors).route(get("/", || "hello")))?;
/// let response = client.call(Request::get("/").header("origin", app).body("")?);
/// assert_eq!(response.headers()["access-control-allow-origin"], app);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Cors(Arc<Settings>);

#[derive(Clone, Debug)]
struct Settings {
    origins: Origins,
    methods: HeaderValue,
    /// Names of request fields that are always permitted, separated by commas.
    fields: String,
    permits_any_field: bool,
    exposed: Option<HeaderValue>,
    has_credentials: bool,
    max_age: HeaderValue,
}

impl Cors {
    /// Permits pages of these origins to use the methods GET, HEAD, POST, PUT, PATCH and DELETE, and to send
    /// any header fields. A browser may keep that for 10 minutes. Pages send no credentials and read only the
    /// response fields that Fetch always permits.
    ///
    /// With [`Origins::Same`] no page of another origin is permitted.
    pub fn new(origins: Origins) -> Self {
        Self(Arc::new(Settings {
            origins,
            methods: HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE"),
            fields: String::new(),
            permits_any_field: true,
            exposed: None,
            has_credentials: false,
            max_age: HeaderValue::from_static("600"),
        }))
    }

    /// Sets the methods that pages may use.
    #[must_use]
    pub fn methods(self, methods: impl IntoIterator<Item = Method>) -> Self {
        let names: Vec<_> = methods.into_iter().map(|method| method.as_str().to_owned()).collect();
        self.with(|settings| settings.methods = list(&names))
    }

    /// Permits pages to send only these header fields.
    #[must_use]
    pub fn request_headers(self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        let names: Vec<_> = names.into_iter().map(|name| name.as_str().to_owned()).collect();
        self.with(|settings| {
            settings.fields = names.join(", ");
            settings.permits_any_field = false;
        })
    }

    /// Permits pages to send any header fields, also those of [`request_headers`](Self::request_headers) in a
    /// preflight request that does not name them.
    #[must_use]
    pub fn any_request_header(self) -> Self {
        self.with(|settings| settings.permits_any_field = true)
    }

    /// Sets the response fields that pages may read.
    #[must_use]
    pub fn expose_headers(self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        let names: Vec<_> = names.into_iter().map(|name| name.as_str().to_owned()).collect();
        self.with(|settings| settings.exposed = Some(list(&names)))
    }

    /// Permits pages of listed origins to send cookies and other credentials. Has no effect with
    /// [`Origins::Any`].
    #[must_use]
    pub fn credentials(self) -> Self {
        self.with(|settings| settings.has_credentials = true)
    }

    /// Sets the time for which a browser may keep the answer to a preflight request. Full seconds count.
    #[must_use]
    pub fn max_age(self, max_age: Duration) -> Self {
        self.with(|settings| settings.max_age = HeaderValue::from(max_age.as_secs()))
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }
}

impl Middleware for Cors {
    fn wrap(&self, request: Request, next: Next) -> ResponseFuture {
        let settings = self.0.clone();
        let permission = settings.permission(&request);
        Box::pin(async move {
            let mut response = match is_preflight(&request) {
                true => settings.preflight(&request, &permission),
                false => next.run(request).await,
            };
            settings.add_to(response.fields_mut(), permission);
            response
        })
    }
}

/// A page's permission to read a response.
enum Permission {
    /// Pages of all origins, without credentials.
    All,
    /// Pages of this origin.
    Origin(HeaderValue),
    /// The request comes from no page, or from one that is not permitted.
    None,
}

impl Settings {
    fn permission(&self, request: &Request) -> Permission {
        if self.origins == Origins::Any {
            return Permission::All;
        }
        let origin = request.header_bytes(header::ORIGIN).filter(|origin| self.origins.lists(origin));
        let origin = origin.and_then(|origin| HeaderValue::from_bytes(origin).ok());
        origin.map_or(Permission::None, Permission::Origin)
    }

    /// Returns the response to a preflight request, without the fields of every response.
    fn preflight(&self, request: &Request, permission: &Permission) -> Response {
        let mut response = Response::status_only(StatusCode::NO_CONTENT);
        if matches!(permission, Permission::None) {
            return response;
        }
        let fields = response.fields_mut();
        fields.insert(header::ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
        let requested = request.header(header::ACCESS_CONTROL_REQUEST_HEADERS).unwrap_or_default();
        let permitted = self.permitted_fields(requested);
        if !permitted.is_empty() {
            fields.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, list(&[permitted]));
        }
        fields.insert(header::ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        response
    }

    /// Returns the names of the fields that a page may send. If any may be sent, those that it asks for are
    /// among them: a list is needed because `*` does not include `Authorization`.
    fn permitted_fields(&self, requested: &str) -> String {
        let mut permitted = self.fields.clone();
        if !self.permits_any_field {
            return permitted;
        }
        let limit = permitted.len() + REQUESTED_BYTES;
        let names =
            requested.split(',').filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok());
        for name in names {
            let is_listed = self.fields.split(", ").any(|listed| listed == name.as_str());
            if !is_listed && permitted.len() + name.as_str().len() < limit {
                let separator = if permitted.is_empty() { "" } else { ", " };
                // Writing to a String cannot fail.
                let _ = write!(permitted, "{separator}{name}");
            }
        }
        permitted
    }

    /// Adds the fields of any response.
    fn add_to(&self, fields: &mut Fields, permission: Permission) {
        let origin = match permission {
            Permission::All => HeaderValue::from_static("*"),
            Permission::Origin(origin) => {
                if self.has_credentials {
                    let credentials = HeaderValue::from_static("true");
                    fields.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, credentials);
                }
                fields.append(header::VARY, HeaderValue::from_static("origin"));
                origin
            }
            // The response to another origin differs.
            Permission::None => return fields.append(header::VARY, HeaderValue::from_static("origin")),
        };
        fields.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if let Some(exposed) = &self.exposed {
            fields.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
        }
    }
}

/// Returns `true` if a browser asks whether it may send a page's request.
fn is_preflight(request: &Request) -> bool {
    let has = |name| request.header_bytes(name).is_some();
    *request.method() == Method::OPTIONS && has(header::ORIGIN) && has(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Joins names of methods or fields, which are valid in a header value.
fn list(names: &[String]) -> HeaderValue {
    HeaderValue::from_str(&names.join(", ")).unwrap_or_else(|_| HeaderValue::from_static(""))
}
