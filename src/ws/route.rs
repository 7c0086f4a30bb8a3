//! Routes that open WebSockets.

use std::{future::Future, sync::Arc};

use http::Method;

use super::{Finish, Settings, Socket, upgrade::respond};
use crate::{
    request::Request,
    routing::{
        handler::{ErasedHandler, HandlerKind, HandlerOutput},
        route::{Action, Dispatch, Route},
    },
};

/// Creates a GET route that opens a WebSocket and calls `handler` with it. See [`ws`](crate::ws).
///
/// The handler's future runs on the connection's shard. The default dispatch of a group or the server does
/// not apply. A WebSocket route that is marked [`run_async`](Route::run_async) is rejected when it is
/// registered.
pub fn websocket<F, Fut>(path: impl Into<String>, handler: F) -> Route
where
    F: Fn(Socket) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: Finish> + 'static,
{
    websocket_with(path, Settings::default(), handler)
}

/// Like [`websocket`], with settings.
pub fn websocket_with<F, Fut>(path: impl Into<String>, settings: Settings, handler: F) -> Route
where
    F: Fn(Socket) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: Finish> + 'static,
{
    let handler = SocketHandler { settings: Arc::new(settings), handler: Arc::new(handler) };
    let route = Route::with_action(Some(Method::GET), path.into(), Action::Handler(Arc::new(handler)));
    Route { dispatch: Some(Dispatch::Inline), ..route }
}

/// A handler that answers the handshake of a WebSocket.
struct SocketHandler<F> {
    settings: Arc<Settings>,
    handler: Arc<F>,
}

impl<F, Fut> ErasedHandler for SocketHandler<F>
where
    F: Fn(Socket) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: Finish> + 'static,
{
    fn kind(&self) -> HandlerKind {
        HandlerKind::Shard
    }

    fn call(&self, request: Request) -> HandlerOutput {
        let handler = self.handler.clone();
        HandlerOutput::Ready(respond(&request, &self.settings, move |socket| handler(socket)))
    }
}
