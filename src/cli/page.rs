//! The live page at `/`, which displays the server's metrics.

use super::{
    config::Config,
    html::{self, Hashes},
};
use windlass::{Route, static_route};

/// The page with its script and style.
const PAGE: &str = include_str!("page.html");

/// Placeholder for the links.
const LINKS: &str = "<!--links-->";

const HASHES: Hashes = Hashes {
    script: Some("FgDXrExG1vZaxMsSLQWK6qat+wUd10Nom5jNmFCOFVk="),
    style: "EOEwb6TkxwYw5K4LPHlCxQEwFktLuumo0bv7nmkfqcY=",
};

/// Returns the route of the page. The page contains nothing that `/metrics` does not.
pub(super) fn route(config: &Config) -> Route {
    let page = html::page(PAGE.replace(LINKS, &links(config)), &HASHES);
    static_route("/", page)
}

/// Returns links to the other pages. They are relative, because a proxy may serve the page below a path.
fn links(config: &Config) -> String {
    // The admin listener serves neither.
    let is_public = !config.admin.has_listener();
    let all = [
        ("demo", "demo routes", config.demo() && is_public),
        ("topics", "topics", config.topics.is_enabled() && is_public),
        ("metrics", "metrics", true),
        ("healthz", "health", true),
        ("readyz", "readiness", true),
    ];
    let served = all.iter().filter(|(.., is_served)| *is_served);
    served.map(|(path, name, _)| format!("<a href=\"{path}\">{name}</a>")).collect::<Vec<_>>().join(" ")
}
