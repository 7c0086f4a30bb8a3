//! Middleware for common tasks. It works on every route, inline or async, and must not know connections or
//! protocols.
//!
//! ```
//! use windlass::{Router, get, middleware::{BasicAuth, Cors, RequestIds, Trace}, Origins};
//!
//! let router = Router::new()
//!     .with(RequestIds::new())
//!     .with(Trace::new())
//!     .with(Cors::new(Origins::SameOr(vec!["https://app.example.com".to_owned()])))
//!     .route(get("/", || "for everybody"))
//!     .group("/admin", |admin| {
//!         admin.with(BasicAuth::new("admin").user("ann", "secret")).route(get("/", || "for ann"))
//!     });
//! # let _ = router;
//! ```
//!
//! # Order
//!
//! A request passes the layers from the outside to the inside, its response the other way:
//!
//! 1. CORS of [topic routes](crate::topic_routes()).
//! 2. Layers of the router ([`Router::with`](crate::Router::with) and
//!    [`Router::authorize`](crate::Router::authorize)).
//! 3. Layers of each group around the route, the outer group first.
//! 4. Layers of the route.
//! 5. The handler.
//!
//! Within a router, a group or a route the layer that was added *first* is the outermost. It does not matter
//! whether a route was added before or after a layer of its router or group. After
//! [`Router::merge`](crate::Router::merge) the layers of the merged router lie inside those of the other.
//!
//! This order suits most programs: [`RequestIds`], so that all others see the identifier; [`Trace`], so that
//! their log lines are in the span; [`Cors`], so that a page can read their errors and preflight requests
//! need no credentials; then access checks such as [`BasicAuth`].

mod basic_auth;
mod cors;
mod random;
mod request_ids;
mod trace;

pub use crate::request::RequestId;
pub use basic_auth::{BasicAuth, BasicUser};
pub use cors::Cors;
pub use request_ids::RequestIds;
pub use trace::{Trace, TraceContext};
