//! The router actor, which changes the routes of a running server.

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

/// A message to the router actor. The method `None` is that of an `any` route.
pub(crate) enum RouterMsg {
    Add(Box<Route>, ChangeReply),
    Remove(Option<Method>, String, ChangeReply),
    SetDispatch(Option<Method>, String, Dispatch, ChangeReply),
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
        match message {
            RouterMsg::Add(mut route, reply) => reply.send(self.registry.change(|set| {
                enter(&set.scopes, &mut route).map_err(RouterError::Route)?;
                set.list.push(*route);
                Ok(())
            })),
            RouterMsg::Remove(method, path, reply) => reply.send(self.registry.change(|set| {
                let index = index_of(set, method.as_ref(), &path)?;
                set.list.remove(index);
                Ok(())
            })),
            RouterMsg::SetDispatch(method, path, dispatch, reply) => {
                reply.send(self.registry.change(|set| {
                    let index = index_of(set, method.as_ref(), &path)?;
                    set.list[index].dispatch = Some(dispatch);
                    Ok(())
                }));
            }
        }
        Flow::Continue
    }
}

fn index_of(set: &RouteSet, method: Option<&Method>, path: &str) -> Result<usize, RouterError> {
    let normal = percent::normalized(path);
    let is_it = |route: &Route| {
        route.method.as_ref() == method && (route.path == path || percent::normalized(&route.path) == normal)
    };
    let index = set.list.iter().position(is_it);
    index.ok_or_else(|| RouterError::Unknown(format!("{} {path}", method.map_or("(any)", Method::as_str))))
}
