//! Routes whose handlers send events.

use std::{future::Future, sync::Arc};

use http::Method;

use super::{Client, Opening, Settings};
use crate::{
    request::Request,
    routing::{
        handler::{Called, Erased, Kind},
        route::{Action, Dispatch, Route},
    },
};

/// Makes a GET route that answers with an event stream, fed by a handler: see [`sse`](crate::pubsub::sse).
///
/// Its future runs on the connection's shard. A group's or the server's dispatch does not reach it; marking the route async is
/// an error when it is registered.
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
    let sends = Sends { settings: Arc::new(settings), handler: Arc::new(handler) };
    let route = Route::with_action(Some(Method::GET), path.into(), Action::Run(Arc::new(sends)));
    Route { dispatch: Some(Dispatch::Inline), ..route }
}

/// Answers with a stream.
struct Sends<F> {
    settings: Arc<Settings>,
    handler: Arc<F>,
}

impl<F, Fut> Erased for Sends<F>
where
    F: Fn(Request, Client) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + 'static,
{
    fn kind(&self) -> Kind {
        Kind::Shard
    }

    fn call(&self, request: Request) -> Called {
        let handler = self.handler.clone();
        let opening = Opening::new(&request, &self.settings);
        Called::Ready(opening.answer(move |client| handler(request, client)))
    }
}
