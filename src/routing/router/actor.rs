//! The router actor, which changes the routes of a running server's routers.

use std::sync::Arc;

use http::Method;
use windlass_actors::{Actor, Context, Flow, Reply};

use super::{RouteRegistry, RouterError};
use crate::{
    proto::percent,
    routing::{
        route::{Dispatch, Route},
        table::{RouteSet, enter},
    },
};

/// Reply with the result of a change.
pub(super) type ChangeReply = Reply<Result<(), RouterError>>;

/// A change of the routes of the router with this index.
pub(crate) struct RouterMsg {
    pub(super) router: usize,
    pub(super) change: Change,
    pub(super) reply: ChangeReply,
}

/// A change of a router's routes. The method `None` is that of an `any` route.
pub(super) enum Change {
    Add(Box<Route>),
    Remove(Option<Method>, String),
    SetDispatch(Option<Method>, String, Dispatch),
}

/// The router actor. It applies one change at a time, compiles the table and publishes it.
pub(crate) struct RouterActor {
    registry: Arc<RouteRegistry>,
}

impl RouterActor {
    pub(crate) fn new(registry: Arc<RouteRegistry>) -> Self {
        Self { registry }
    }
}

impl Actor for RouterActor {
    type Msg = RouterMsg;

    async fn handle(&mut self, message: RouterMsg, _cx: &mut Context<RouterMsg>) -> Flow {
        let RouterMsg { router, change, reply } = message;
        reply.send(self.registry.change(router, |set| apply(set, change)));
        Flow::Continue
    }
}

fn apply(set: &mut RouteSet, change: Change) -> Result<(), RouterError> {
    match change {
        Change::Add(mut route) => {
            enter(&set.scopes, &mut route).map_err(RouterError::Route)?;
            set.list.push(*route);
        }
        Change::Remove(method, path) => {
            let index = index_of(set, method.as_ref(), &path)?;
            set.list.remove(index);
        }
        Change::SetDispatch(method, path, dispatch) => {
            let index = index_of(set, method.as_ref(), &path)?;
            set.list[index].dispatch = Some(dispatch);
        }
    }
    Ok(())
}

fn index_of(set: &RouteSet, method: Option<&Method>, path: &str) -> Result<usize, RouterError> {
    let normal = percent::normalized(path);
    let is_it = |route: &Route| {
        route.method.as_ref() == method && (route.path == path || percent::normalized(&route.path) == normal)
    };
    let index = set.list.iter().position(is_it);
    index.ok_or_else(|| RouterError::Unknown(format!("{} {path}", method.map_or("(any)", Method::as_str))))
}
