//! Cross-origin resource sharing (Fetch §3.3): which pages of other origins may read the responses.

use http::{HeaderName, HeaderValue, Method, StatusCode, header};

use crate::{
    proto::origin::Origins,
    request::Request,
    response::{Fields, Response},
    routing::handler::{Layer, Next},
};

/// Methods of the topic routes.
const METHODS: &str = "GET, POST";

/// Request fields that a page may always send: those of `EventSource` and of its replacements.
const FIELDS: [&str; 8] = [
    "accept",
    "authorization",
    "cache-control",
    "content-type",
    "last-event-id",
    "pragma",
    "x-requested-with",
    "x-request-id",
];

/// Maximum bytes of further field names that a preflight response permits.
const REQUESTED_BYTES: usize = 1024;

/// Seconds for which a browser may keep a preflight response.
const MAX_AGE: &str = "600";

/// Response fields that a page may read.
const EXPOSED: &str = "retry-after, www-authenticate";

/// Returns the layer that adds the CORS fields to every response of the topic routes and answers preflight
/// requests. `None` if only pages of this server may use them.
///
/// The layer is the outermost one: a page must be able to read the errors of the layers inside, and a browser
/// sends preflight requests without credentials.
pub(super) fn layer(origins: &Origins) -> Option<Layer> {
    if *origins == Origins::Same {
        return None;
    }
    let origins = origins.clone();
    Some(Layer::outermost(move |request: Request, next: Next| {
        let permission = Permission::of(&origins, &request);
        async move {
            let mut response = match is_preflight(&request) {
                true => preflight(&request, &permission),
                false => next.run(request).await,
            };
            permission.add_to(response.fields_mut());
            response
        }
    }))
}

/// Returns `true` if a browser asks whether it may send a page's request.
fn is_preflight(request: &Request) -> bool {
    let has = |name| request.header_bytes(name).is_some();
    *request.method() == Method::OPTIONS && has(header::ORIGIN) && has(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Returns the response to a preflight request, without the fields of every response.
fn preflight(request: &Request, permission: &Permission) -> Response {
    let mut response = Response::status_only(StatusCode::NO_CONTENT);
    if matches!(permission, Permission::None) {
        return response;
    }
    let fields = response.fields_mut();
    fields.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
    let permitted =
        permitted_fields(request.header(header::ACCESS_CONTROL_REQUEST_HEADERS).unwrap_or_default());
    if let Ok(permitted) = HeaderValue::from_str(&permitted) {
        fields.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, permitted);
    }
    fields.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
    response
}

/// Returns the names of the fields that a page may send, including those that it asks for.
///
/// Access depends on no field that a page could not send, so all may be sent. A list is needed because `*`
/// does not include `Authorization`.
fn permitted_fields(requested: &str) -> String {
    let mut permitted = FIELDS.join(", ");
    let limit = permitted.len() + REQUESTED_BYTES;
    for name in requested.split(',').filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok()) {
        if !FIELDS.contains(&name.as_str()) && permitted.len() + name.as_str().len() < limit {
            permitted.push_str(", ");
            permitted.push_str(name.as_str());
        }
    }
    permitted
}

/// A page's permission to read a response.
enum Permission {
    /// Pages of all origins, without credentials.
    All,
    /// Pages of this origin, with credentials.
    Origin(HeaderValue),
    /// The request comes from no page, or from one that is not permitted.
    None,
}

impl Permission {
    fn of(origins: &Origins, request: &Request) -> Self {
        if *origins == Origins::Any {
            return Self::All;
        }
        let origin = request.header_bytes(header::ORIGIN).filter(|origin| origins.lists(origin));
        origin.and_then(|origin| HeaderValue::from_bytes(origin).ok()).map_or(Self::None, Self::Origin)
    }

    /// Adds the fields of any response.
    fn add_to(self, fields: &mut Fields) {
        match self {
            Self::All => fields.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
            Self::Origin(origin) => {
                fields.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
                let credentials = HeaderValue::from_static("true");
                fields.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, credentials);
                fields.append(header::VARY, HeaderValue::from_static("origin"));
            }
            // The response to another origin differs.
            Self::None => return fields.append(header::VARY, HeaderValue::from_static("origin")),
        }
        fields.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    }
}
