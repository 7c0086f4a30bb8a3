//! The routers of a server, as one shard sees them.

use std::sync::Arc;

use windlass_actors::Reader;

use crate::{
    request::Context,
    routing::table::{RouteTable, TableView},
};

/// The current route table of each router, by the router's index.
pub(in crate::conn) struct Routers(Vec<ShardRouter>);

struct ShardRouter {
    view: Arc<TableView>,
    reader: Reader<RouteTable>,
    context: Arc<Context>,
}

impl Routers {
    /// Loads the tables. A router without a context gets an empty one.
    pub(super) fn new(readers: Vec<Reader<RouteTable>>, mut contexts: impl Iterator<Item = Context>) -> Self {
        let on_shard = |mut reader: Reader<RouteTable>| {
            // An allocation of its own for each shard: requests on other shards do not touch its count.
            let context = Arc::new(contexts.next().unwrap_or_default());
            let view = TableView::new(reader.load().clone(), context.clone());
            ShardRouter { view, reader, context }
        };
        Self(readers.into_iter().map(on_shard).collect())
    }

    /// Loads the tables that were published since the last call.
    pub(super) fn refresh(&mut self) {
        for router in &mut self.0 {
            let table = router.reader.load();
            if !Arc::ptr_eq(table, &router.view.table) {
                router.view = TableView::new(table.clone(), router.context.clone());
            }
        }
    }

    /// Returns the current table of the router with this index.
    #[inline]
    pub(in crate::conn) fn view(&self, router: usize) -> &Arc<TableView> {
        &self.0[router].view
    }
}
