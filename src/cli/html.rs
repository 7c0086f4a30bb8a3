//! HTML pages of the binary, with the header fields that confine them.

use http::{HeaderValue, header};

use windlass::Response;

/// Base64 SHA-256 hashes of a page's script and style. If a page changes, a test prints the new ones.
pub(super) struct Hashes {
    /// `None`: the page has no script.
    pub(super) script: Option<&'static str>,
    pub(super) style: &'static str,
}

/// Returns a page whose content security policy permits only its own script and style, and requests to its
/// own server.
pub(super) fn page(html: impl Into<String>, hashes: &Hashes) -> Response {
    let script = hashes.script.map_or_else(String::new, |hash| format!("script-src 'sha256-{hash}'; "));
    let policy = format!(
        "default-src 'none'; {script}style-src 'sha256-{}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hashes.style
    );
    Response::html(html.into())
        .with_header(header::CONTENT_SECURITY_POLICY, policy)
        .with_header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .with_header(header::REFERRER_POLICY, "no-referrer")
        .with_header(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))
}
