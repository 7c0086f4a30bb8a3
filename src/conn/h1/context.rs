//! Parts of a request that are kept until its reply is sent.

use crate::{
    conn::exchange::{route::MatchedRoute, telemetry::Telemetry},
    proto::h1::Exchange,
    request::Head,
};

/// Parts of a request that its reply needs.
pub(super) struct ReplyContext {
    pub(super) exchange: Exchange,
    pub(super) telemetry: Telemetry,
}

/// Request that matched a route and whose handler has not started.
pub(super) struct RoutedRequest {
    pub(super) head: Head,
    pub(super) route: MatchedRoute,
    pub(super) context: ReplyContext,
    /// The client offers to switch protocols, and the route's handler may accept.
    pub(super) offers_upgrade: bool,
}
