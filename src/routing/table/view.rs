//! A shard's view of the route table.

use std::sync::Arc;

use super::{CompiledRoute, RouteAction, RouteTable};
use crate::{request::Context, routing::handler::Chain};

/// A route table with the shard's own reference counts.
///
/// Requests hold the view and its chains. The counts lie on cache lines that no other shard writes.
pub(crate) struct TableView {
    pub(crate) table: Arc<RouteTable>,
    pub(crate) context: Arc<Context>,
    /// Handler chains by route index. `None` for static routes.
    chains: Vec<Option<Arc<Chain>>>,
}

impl TableView {
    pub(crate) fn new(table: Arc<RouteTable>, context: Arc<Context>) -> Arc<Self> {
        let copy_chain = |route: &CompiledRoute| match &route.action {
            RouteAction::Static(..) => None,
            RouteAction::Chain(chain, _) => {
                let site = chain.site.on_shard(context.counters.clone());
                Some(Arc::new(Chain { site, ..chain.clone() }))
            }
        };
        let chains = table.routes.iter().map(copy_chain).collect();
        Arc::new(Self { table, context, chains })
    }

    /// Returns the handler chain of the route with this index. `None` for a static route, which runs no
    /// handler.
    pub(crate) fn chain(&self, route: usize) -> Option<&Arc<Chain>> {
        self.chains.get(route)?.as_ref()
    }
}
