//! A table of 200 routes, as a grown JSON API has them.

use windlass::{Request, Router, get};

/// Things the API is about; each has five routes.
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

/// A path without parameters, and what answers it.
pub(crate) const STATIC: (&str, &str) = ("/api/v1/orders/search", "/api/v1/orders/search");
/// A path with two parameters, and what answers it.
pub(crate) const PARAMETERS: (&str, &str) =
    ("/api/v1/orders/184467/items/3", "/api/v1/orders/{id}/items/{item}");
/// A path that no route matches, however long it looks as if one would.
pub(crate) const MISS: &str = "/api/v1/orders/184467/items/3/undo";

/// Returns the 200 paths.
pub(crate) fn paths() -> Vec<String> {
    let of_one = |name: &&str| {
        ["", "/search", "/{id}", "/{id}/history", "/{id}/items/{item}"]
            .map(|rest| format!("/api/v1/{name}{rest}"))
    };
    RESOURCES.iter().flat_map(of_one).collect()
}

/// Makes a router of them.
pub(crate) fn router() -> Router {
    paths().iter().fold(Router::new(), |router, path| router.route(get(path, |_: Request| "")))
}
