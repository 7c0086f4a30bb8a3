//! Parts of a request that are kept until its handler starts or its reply is written.

use crate::{
    conn::exchange::{route::MatchedRoute, telemetry::Telemetry},
    proto::{h1::Exchange, h2::PeerSettings},
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
    pub(super) offer: UpgradeOffer,
}

/// A client's offer to switch protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UpgradeOffer {
    /// There is none, or none that can be accepted.
    Nothing,
    /// The route's handler may accept it.
    Handler,
    /// HTTP/2, which the server accepts, with the settings of the client.
    Http2(PeerSettings),
}
