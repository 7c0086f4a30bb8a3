//! Routes whose handlers write event streams.

use std::{future::Future, sync::Arc};

use http::Method;

use super::{Client, Settings, respond::StreamSetup};
use crate::{
    request::Request,
    routing::{
        handler::{ErasedHandler, HandlerKind, HandlerOutput},
        route::{Action, Dispatch, Route},
    },
};

/// Creates a GET route that answers with an event stream. See [`sse`](crate::sse).
///
/// The handler's future runs on the connection's shard. The default dispatch of a group or the server does
/// not apply. A stream route that is marked [`run_async`](Route::run_async) is rejected when it is
/// registered.
pub fn event_stream<F, Fut>(path: impl Into<String>, handler: F) -> Route
where
    F: Fn(Request, Client) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + 'static,
{
    event_stream_with(path, Settings::default(), handler)
}

/// Like [`event_stream`], with settings.
pub fn event_stream_with<F, Fut>(path: impl Into<String>, settings: Settings, handler: F) -> Route
where
    F: Fn(Request, Client) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let handler = StreamHandler { settings: Arc::new(settings), handler: Arc::new(handler) };
    let route = Route::with_action(Some(Method::GET), path.into(), Action::Handler(Arc::new(handler)));
    Route { dispatch: Some(Dispatch::Inline), ..route }
}

/// A handler whose response is an event stream.
struct StreamHandler<F> {
    settings: Arc<Settings>,
    handler: Arc<F>,
}

impl<F, Fut> ErasedHandler for StreamHandler<F>
where
    F: Fn(Request, Client) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + 'static,
{
    fn kind(&self) -> HandlerKind {
        HandlerKind::Shard
    }

    fn call(&self, request: Request) -> HandlerOutput {
        let handler = self.handler.clone();
        let setup = StreamSetup::new(&request, &self.settings);
        HandlerOutput::Ready(setup.respond(move |client| handler(request, client)))
    }
}
