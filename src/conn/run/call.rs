//! One call of a route's middleware and handler: what is kept to report a panic and to answer it.

use std::{any::Any, sync::Arc};

use crate::{
    request::Request,
    response::Response,
    routing::handler::{Chain, Kept},
};

/// One call of a route's middleware and handler.
pub(super) struct Call {
    chain: Arc<Chain>,
    kept: Kept,
    /// Copy of the server's response that the middleware surrounds instead of a handler; `None` if the
    /// handler runs.
    spare: Option<Response>,
}

impl Call {
    pub(super) fn new(chain: &Arc<Chain>, request: &Request, instead: Option<&Response>) -> Self {
        let spare = instead.map(Response::duplicate);
        Self { chain: chain.clone(), kept: chain.site.keep(request), spare }
    }

    /// Counts and logs a panic, and returns the response to the request: the server's response that was
    /// surrounded, or else 500.
    pub(super) fn panicked(&mut self, payload: &(dyn Any + Send)) -> Response {
        let response = self.chain.site.panicked(&self.kept, payload);
        self.spare.take().unwrap_or(response)
    }
}
