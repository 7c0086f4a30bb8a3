//! Routes that open WebSockets.

use std::{future::Future, sync::Arc};

use http::Method;

use super::{Finish, Settings, Socket};
use crate::{
    request::Request,
    routing::{
        handler::{Called, Erased, Kind},
        route::{Action, Dispatch, Route},
    },
};

/// Makes a route that opens a WebSocket and runs `handler` with it, with settings as they are by default.
///
/// It is a GET route and runs on its connection's shard, whatever its group or the server say: a route marked
/// [`run_async`](Route::run_async) is refused. See [`ws`](crate::ws).
pub fn websocket<F, Fut>(path: impl Into<String>, handler: F) -> Route
where
    F: Fn(Socket) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: Finish> + 'static,
{
    websocket_with(path, Settings::default(), handler)
}

/// Makes a route that opens a WebSocket with these settings: see [`websocket`].
pub fn websocket_with<F, Fut>(path: impl Into<String>, settings: Settings, handler: F) -> Route
where
    F: Fn(Socket) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: Finish> + 'static,
{
    let opens = Opens { settings: Arc::new(settings), handler: Arc::new(handler) };
    let route = Route::with_action(Some(Method::GET), path.into(), Action::Run(Arc::new(opens)));
    Route { dispatch: Some(Dispatch::Inline), ..route }
}

/// Answers a handshake.
struct Opens<F> {
    settings: Arc<Settings>,
    handler: Arc<F>,
}

impl<F, Fut> Erased for Opens<F>
where
    F: Fn(Socket) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: Finish> + 'static,
{
    fn kind(&self) -> Kind {
        Kind::Shard
    }

    fn call(&self, request: Request) -> Called {
        let handler = self.handler.clone();
        Called::Ready(super::answer(&request, &self.settings, move |socket| handler(socket)))
    }
}
