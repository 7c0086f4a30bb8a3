//! Table of 200 routes, in the form of a large JSON API.

use windlass::{Request, Router, get};

/// Resources of the API; each has five routes.
const RESOURCES: [&str; 40] = [
    "accounts",
    "addresses",
    "articles",
    "audits",
    "baskets",
    "bills",
    "brands",
    "carriers",
    "categories",
    "charges",
    "clients",
    "comments",
    "contacts",
    "coupons",
    "currencies",
    "customers",
    "deliveries",
    "devices",
    "discounts",
    "events",
    "files",
    "groups",
    "images",
    "invoices",
    "jobs",
    "labels",
    "messages",
    "offers",
    "orders",
    "parcels",
    "payments",
    "plans",
    "products",
    "refunds",
    "reports",
    "returns",
    "reviews",
    "sessions",
    "stores",
    "users",
];

/// Path without parameters, and the route that matches it.
pub(crate) const STATIC: (&str, &str) = ("/api/v1/orders/search", "/api/v1/orders/search");
/// Path with two parameters, and the route that matches it.
pub(crate) const PARAMETERS: (&str, &str) =
    ("/api/v1/orders/184467/items/3", "/api/v1/orders/{id}/items/{item}");
/// Path that no route matches, although it shares a long prefix with a route.
pub(crate) const MISS: &str = "/api/v1/orders/184467/items/3/undo";

/// Returns the paths of the 200 routes.
pub(crate) fn paths() -> Vec<String> {
    let of_one = |name: &&str| {
        ["", "/search", "/{id}", "/{id}/history", "/{id}/items/{item}"]
            .map(|rest| format!("/api/v1/{name}{rest}"))
    };
    RESOURCES.iter().flat_map(of_one).collect()
}

/// Returns a router of the 200 routes.
pub(crate) fn router() -> Router {
    paths().iter().fold(Router::new(), |router, path| router.route(get(path, |_: Request| "")))
}
