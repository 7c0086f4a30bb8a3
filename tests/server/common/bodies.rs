//! Handlers that read their bodies, and a body without an end, for each protocol's tests of both.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::sync::Semaphore;
use windlass::{
    Body, BodyError, BoxError, Frame, Request, Response, Router, Source, get, post, static_route,
};

/// Paths that [`tell`], in each way a body comes to a handler.
pub(crate) const ALL: [&str; 4] = ["/whole", "/whole-async", "/streamed", "/streamed-async"];

/// Those whose handler starts before the body is there.
pub(crate) const STREAMED: [&str; 2] = ["/streamed", "/streamed-async"];

/// Answers with how the body came out.
pub(crate) async fn tell(mut request: Request) -> String {
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

/// Serves [`ALL`], `/limited` to ten bytes, and paths that want no body.
pub(crate) fn telling() -> Router {
    Router::new()
        .route(post("/whole", tell))
        .route(post("/whole-async", tell).run_async())
        .route(post("/streamed", tell).streamed())
        .route(post("/streamed-async", tell).streamed().run_async())
        .route(post("/limited", tell).body_limit(10))
        .route(static_route("/static", "static"))
        .route(get("/small", |_: Request| "small"))
}

/// Has nothing to say, and no end of its own.
struct Lasting;

impl Source for Lasting {
    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame, BoxError>>> {
        Poll::Pending
    }

    fn is_endless(&self) -> bool {
        true
    }
}

/// Serves a reply that lasts as long as its client, at `/inline` and `/async`; each begins when the gate lets it.
pub(crate) fn lasting() -> (Router, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let closed = gate.clone();
    let lasts = move |_: Request| {
        let gate = closed.clone();
        async move {
            gate.acquire().await.unwrap().forget();
            Response::new().with_body(Body::source(Lasting))
        }
    };
    let router = Router::new()
        .route(get("/inline", lasts.clone()))
        .route(get("/async", lasts).run_async())
        .route(get("/small", |_: Request| "small"));
    (router, gate)
}
