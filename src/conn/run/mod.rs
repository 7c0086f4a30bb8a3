//! Runs handlers: inline on the shard, as a task of the shard if they have to wait, or as a job of the pool.
//!
//! It must not know how a request arrived or how its reply is sent.

mod call;
mod inline;
mod pool;
mod started;
mod watchdog;

use super::{env::Env, exchange::route::MatchedRoute, message::Outcome};
use crate::{
    net::ConnId,
    request::Request,
    response::Response,
    routing::{handler::Answer, route::Dispatch},
};

pub(super) use started::{RunningHandler, Started};
#[cfg(feature = "ws")]
pub(super) use watchdog::Watchdog;
pub(super) use watchdog::report_panic;

/// Starts a route's handler, with its middleware, for request number `seq` of a connection.
pub(super) fn start(env: &mut Env, id: ConnId, seq: u32, route: &MatchedRoute, request: Request) -> Started {
    let Some(chain) = route.view.chain(route.index) else { return Started::Done(no_handler()) };
    match route.compiled().dispatch() {
        Dispatch::Inline => inline::start(env, id, seq, chain, request, None),
        Dispatch::Async => pool::start(env, id, seq, &route.view, chain, request, None),
    }
}

/// Runs the middleware of a route around a response that the server gives instead of the handler. Without
/// middleware the response is the reply.
///
/// The middleware of an async route runs on the pool, or on the connection's shard if the pool is full.
pub(super) fn surround(
    env: &mut Env,
    id: ConnId,
    seq: u32,
    route: &MatchedRoute,
    request: Request,
    response: Response,
) -> Started {
    let chain = route.view.chain(route.index).filter(|chain| !chain.layers.is_empty());
    let Some(chain) = chain else { return Started::Done(response.into()) };
    match route.compiled().dispatch() {
        Dispatch::Inline => inline::start(env, id, seq, chain, request, Some(response)),
        Dispatch::Async => pool::start(env, id, seq, &route.view, chain, request, Some(response)),
    }
}

/// Returns the response of a route without a handler. Static routes are served without a call.
fn no_handler() -> Outcome {
    Answer::handler_failed("the route has no handler").response.into()
}
