//! Routes that open WebSockets.

use std::{future::Future, sync::Arc};

use http::Method;

use super::{Dispatch, Route};
use crate::{
    request::Request,
    ws::{self, Finish, Settings, Socket},
};

/// Why such a route is not run on the pool.
const STAYS: &str = "opens a WebSocket, which lives on its connection's shard: it cannot be async";

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
    let (settings, handler) = (Arc::new(settings), Arc::new(handler));
    let answer = move |request: Request| {
        let handler = handler.clone();
        ws::answer(&request, &settings, move |socket| handler(socket))
    };
    let route = Route::new(Method::GET, path, answer);
    Route { dispatch: Some(Dispatch::Inline), stays: Some(STAYS), ..route }
}
