//! Routes whose handlers send events.

use std::{future::Future, sync::Arc};

use super::{Dispatch, Route, get};
use crate::{
    request::Request,
    sse::{Client, KEEPS_ITS_SHARD, Opening, Settings},
};

/// Makes a GET route that answers with an event stream, fed by a handler: see [`sse`](crate::sse).
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
    let (settings, handler) = (Arc::new(settings), Arc::new(handler));
    let route = get(path, move |request: Request| {
        let handler = handler.clone();
        Opening::new(&request, &settings).answer(move |client| handler(request, client))
    });
    Route { dispatch: Some(Dispatch::Inline), stays: Some(KEEPS_ITS_SHARD), ..route }
}
