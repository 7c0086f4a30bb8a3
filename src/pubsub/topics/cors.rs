//! Cross-origin resource sharing of the topic routes.

use http::{HeaderName, Method, header};

use crate::{middleware::Cors, proto::origin::Origins, routing::handler::Layer};

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

/// Returns the layer that adds the CORS fields to every response of the topic routes and answers preflight
/// requests. `None` if only pages of this server may use them.
///
/// The layer is the outermost one: a page must be able to read the errors of the layers inside, and a browser
/// sends preflight requests without credentials.
pub(super) fn layer(origins: &Origins) -> Option<Layer> {
    if *origins == Origins::Same {
        return None;
    }
    // Access depends on no field that a page could not send, so all may be sent.
    let cors = Cors::new(origins.clone())
        .methods([Method::GET, Method::POST])
        .request_headers(FIELDS.map(HeaderName::from_static))
        .any_request_header()
        .expose_headers([header::RETRY_AFTER, header::WWW_AUTHENTICATE])
        .credentials();
    Some(Layer::outermost(cors))
}
