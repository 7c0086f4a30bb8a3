//! The route that a request matched.

use std::sync::Arc;

use crate::routing::table::{CompiledRoute, TableView};

/// Route that a request matched, in the route table that was current when the request started.
#[derive(Clone)]
pub(in crate::conn) struct MatchedRoute {
    pub(in crate::conn) view: Arc<TableView>,
    /// Index of the route in the table.
    pub(in crate::conn) index: usize,
}

impl MatchedRoute {
    pub(in crate::conn) fn compiled(&self) -> &CompiledRoute {
        self.view.table.route(self.index)
    }
}
