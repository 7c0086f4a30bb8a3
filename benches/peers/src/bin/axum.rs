//! axum 0.8 on a current-thread tokio runtime; it tells HTTP/1.1 and HTTP/2 apart by itself.

use std::io;

use axum::{
    Json, Router,
    body::Bytes,
    extract::RawQuery,
    http::{HeaderMap, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::{get, post},
    serve::ListenerExt,
};
use tokio::net::TcpListener;
use windlass_peers::workload;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let router = Router::new()
        .route("/demo/plaintext", get(|| async { text(workload::HELLO) }))
        .route("/demo/json", get(|| async { Json(workload::message()) }))
        .route("/demo/work", get(work))
        .route("/demo/echo", post(echo));
    let listener = TcpListener::bind(workload::listen_address()?).await?;
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, router).await
}

fn text(body: &'static str) -> impl IntoResponse {
    ([(CONTENT_TYPE, workload::TEXT)], body)
}

async fn work(RawQuery(query): RawQuery) -> impl IntoResponse {
    tokio::time::sleep(workload::work_time(query.as_deref())).await;
    text(workload::WORKED)
}

async fn echo(headers: HeaderMap, body: Bytes) -> impl IntoResponse {
    let content_type = headers.get(CONTENT_TYPE).map(|value| [(CONTENT_TYPE, value.clone())]);
    (content_type, body)
}
