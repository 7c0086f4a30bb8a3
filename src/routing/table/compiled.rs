//! A route as the table serves it.

use std::sync::Arc;

use crate::{
    metrics::RouteMetrics,
    proto::h1::Image,
    routing::{
        handler::Chain,
        route::{BodyMode, Dispatch, Shed, StaticResponse},
    },
};

/// A compiled route.
pub(crate) struct CompiledRoute {
    pub(crate) route_metrics: Arc<RouteMetrics>,
    pub(crate) body: BodyMode,
    pub(crate) action: RouteAction,
    pub(crate) shed: Shed,
}

/// Action of a compiled route.
pub(crate) enum RouteAction {
    /// Sends a fixed response. HTTP/1.1 sends the prebuilt image, other protocols encode the response.
    Static(Image, Arc<StaticResponse>),
    /// Runs a handler and the middleware around it.
    Chain(Chain, Dispatch),
}

impl CompiledRoute {
    pub(crate) fn dispatch(&self) -> Dispatch {
        match &self.action {
            RouteAction::Static(..) => Dispatch::Inline,
            RouteAction::Chain(_, dispatch) => *dispatch,
        }
    }
}
