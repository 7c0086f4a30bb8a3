//! The live page at `/`, which displays the server's metrics.

use http::{HeaderValue, header};

use super::config::Config;
use windlass::{Response, Route, static_route};

/// The page with its script and style.
const PAGE: &str = include_str!("page.html");

/// Placeholder for the links.
const LINKS: &str = "<!--links-->";

/// Content security policy: only the page's own script and style, identified by their hashes, and requests to
/// its own server. If the page changes, a test prints the new hashes.
const POLICY: &str = "default-src 'none'; script-src 'sha256-FgDXrExG1vZaxMsSLQWK6qat+wUd10Nom5jNmFCOFVk='; \
     style-src 'sha256-EOEwb6TkxwYw5K4LPHlCxQEwFktLuumo0bv7nmkfqcY='; connect-src 'self'; img-src data:; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Returns the route of the page. The page contains nothing that `/metrics` does not.
pub(super) fn route(config: &Config) -> Route {
    let page = Response::html(PAGE.replace(LINKS, &links(config)));
    let page = page
        .with_header(header::CONTENT_SECURITY_POLICY, POLICY)
        .with_header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .with_header(header::REFERRER_POLICY, "no-referrer")
        .with_header(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    static_route("/", page)
}

/// Returns links to the other pages. They are relative, because a proxy may serve the page below a path.
fn links(config: &Config) -> String {
    let all = [
        ("demo", "demo routes", config.demo()),
        ("topics", "topics", config.topics.is_enabled()),
        ("metrics", "metrics", true),
        ("healthz", "health", true),
        ("readyz", "readiness", true),
    ];
    let served = all.iter().filter(|(.., is_served)| *is_served);
    served.map(|(path, name, _)| format!("<a href=\"{path}\">{name}</a>")).collect::<Vec<_>>().join(" ")
}
