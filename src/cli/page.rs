//! The page at `/`: the server's figures, drawn as they come.

use http::{HeaderValue, header};

use super::config::Config;
use windlass::{Response, Route, static_route};

/// The whole page, script and style within.
const PAGE: &str = include_str!("page.html");

/// Where the links stand in the page.
const LINKS: &str = "<!--links-->";

/// The page may do nothing but run its own script and style, known by their hashes, and ask its own server. A test tells the
/// hashes of a page that was changed.
const POLICY: &str = "default-src 'none'; script-src 'sha256-Qr7XEGgKLBS9ObJzgscHU6nid4ZxW9KERmIOvpqVJ9k='; \
     style-src 'sha256-mXp+N2tGojH0IA5hjPa5xFDU5oatJj0kOGxDK0NC0ow='; connect-src 'self'; img-src data:; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Makes the route of the page. It stands open to whom `/metrics` does, and tells no more than that.
pub(super) fn route(config: &Config) -> Route {
    let page = Response::html(PAGE.replace(LINKS, &links(config)));
    let page = page
        .with_header(header::CONTENT_SECURITY_POLICY, POLICY)
        .with_header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .with_header(header::REFERRER_POLICY, "no-referrer")
        .with_header(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    static_route("/", page)
}

/// Links what else there is; relative, for servers below a path of a proxy.
fn links(config: &Config) -> String {
    let all = [
        ("demo", "demo routes", config.demo()),
        ("topics", "topics", config.topics.is_enabled()),
        ("metrics", "metrics", true),
        ("healthz", "health", true),
        ("readyz", "readiness", true),
    ];
    let there = all.iter().filter(|(.., there)| *there);
    there.map(|(path, name, _)| format!("<a href=\"{path}\">{name}</a>")).collect::<Vec<_>>().join(" ")
}
