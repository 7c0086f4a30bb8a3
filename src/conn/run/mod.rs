//! Runs handlers: inline on the shard, as a task of the shard if they have to wait, or as a job of the pool.
//!
//! It must not know how a request arrived or how its reply is sent.

mod inline;
mod pool;
mod started;
mod watchdog;

use super::{
    env::Env,
    exchange::{answers, route::MatchedRoute},
};
use crate::{net::ConnId, request::Request, routing::route::Dispatch};

pub(super) use started::{RunningHandler, Started};
#[cfg(feature = "ws")]
pub(super) use watchdog::Watchdog;

/// Starts a route's handler for request number `seq` of a connection.
pub(super) fn start(env: &mut Env, id: ConnId, seq: u32, route: &MatchedRoute, request: Request) -> Started {
    let Some(chain) = route.view.chain(route.index) else { return Started::Done(answers::panicked()) };
    let entry = route.compiled();
    match entry.dispatch() {
        Dispatch::Inline => inline::start(env, id, seq, &entry.route_metrics, chain, request),
        Dispatch::Async => pool::submit(env, id, seq, &route.view, chain, request),
    }
}
