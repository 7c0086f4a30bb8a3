//! A route as the table serves it.

use std::sync::Arc;

#[cfg(feature = "http2")]
use crate::proto::h2;
use crate::{
    metrics::RouteMetrics,
    proto::h1,
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
    /// Sends a fixed response.
    Static(Images, Arc<StaticResponse>),
    /// Runs a handler and the layers around it.
    Chain(Chain, Dispatch),
}

/// Prebuilt bytes of a fixed response.
pub(crate) struct Images {
    pub(crate) h1: h1::Image,
    /// HTTP/2 image. `None` if the head is too long for one frame. It is then encoded for each request.
    #[cfg(feature = "http2")]
    pub(crate) h2: Option<h2::Image>,
}

impl Images {
    pub(super) fn new(fixed: &StaticResponse) -> Self {
        let fields = || fixed.fields.iter();
        Self {
            h1: h1::Image::new(fixed.status, fields().collect::<Vec<_>>(), fixed.body.clone()),
            #[cfg(feature = "http2")]
            h2: h2::Image::new(fixed.status, fields(), fixed.body.clone()),
        }
    }
}

impl CompiledRoute {
    pub(crate) fn dispatch(&self) -> Dispatch {
        match &self.action {
            RouteAction::Static(..) => Dispatch::Inline,
            RouteAction::Chain(_, dispatch) => *dispatch,
        }
    }
}
