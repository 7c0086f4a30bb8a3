//! Routes that read request bodies, and routes with endless replies, shared by the HTTP/1.1 and HTTP/2 tests.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::sync::Semaphore;
use windlass::{
    Body, BodyError, BoxError, Frame, Request, Response, Router, Source, get, post, static_route,
};

/// Paths served by [`describe_body`], one for each combination of buffered or streamed and inline or async.
pub(crate) const ALL: [&str; 4] = ["/whole", "/whole-async", "/streamed", "/streamed-async"];

/// The paths of [`ALL`] whose handler starts before the body has arrived.
pub(crate) const STREAMED: [&str; 2] = ["/streamed", "/streamed-async"];

/// Answers with the number of body bytes and the trailers, or with the error.
pub(crate) async fn describe_body(mut request: Request) -> String {
    let mut bytes = 0;
    let mut body = request.take_body();
    while let Some(piece) = body.next().await {
        match piece {
            Ok(piece) => bytes += piece.len(),
            Err(BodyError::Aborted) => return format!("aborted after {bytes}"),
            Err(error) => return format!("{error} after {bytes}"),
        }
    }
    let trailers = body.trailers().await.unwrap().unwrap_or_default();
    let trailers: String = trailers.iter().map(|(n, v)| format!(" {n}={}", v.to_str().unwrap())).collect();
    format!("{bytes}{trailers}")
}

/// Serves [`ALL`], `/limited` with a limit of ten bytes, and routes that expect no body.
pub(crate) fn body_routes() -> Router {
    Router::new()
        .route(post("/whole", describe_body))
        .route(post("/whole-async", describe_body).run_async())
        .route(post("/streamed", describe_body).streamed())
        .route(post("/streamed-async", describe_body).streamed().run_async())
        .route(post("/limited", describe_body).body_limit(10))
        .route(static_route("/static", "static"))
        .route(get("/small", |_: Request| "small"))
}

/// A body that never yields data and ends only with its client.
struct EndlessBody;

impl Source for EndlessBody {
    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame, BoxError>>> {
        Poll::Pending
    }

    fn is_endless(&self) -> bool {
        true
    }
}

/// Serves an endless reply at `/inline` and `/async`. Each reply starts once the semaphore has a permit.
pub(crate) fn endless_reply_routes() -> (Router, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let closed = gate.clone();
    let endless = move |_: Request| {
        let gate = closed.clone();
        async move {
            gate.acquire().await.unwrap().forget();
            Response::new().with_body(Body::source(EndlessBody))
        }
    };
    let router = Router::new()
        .route(get("/inline", endless.clone()))
        .route(get("/async", endless).run_async())
        .route(get("/small", |_: Request| "small"));
    (router, gate)
}
