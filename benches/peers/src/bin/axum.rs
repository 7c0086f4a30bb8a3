//! axum 0.8 on a current-thread tokio runtime: HTTP/1.1, or HTTP/2 with `--h2`.
//!
//! `axum::serve` looks for the preface of HTTP/2 as soon as any crate in the build turns hyper-util's `http2` on, as
//! tonic does here. It cost 3 % of the HTTP/1.1 rows, so connections are served by hyper-util with its protocol fixed.

use std::{io, net::SocketAddr};

use axum::{
    Json, Router,
    body::Bytes,
    extract::RawQuery,
    http::{HeaderMap, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::{get, post},
};
use clap::Parser;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::net::{TcpListener, TcpStream};
use windlass_peers::{items, workload};

/// Serves the workload with axum.
#[derive(Debug, Parser)]
struct Options {
    /// Where to listen
    #[arg(long)]
    listen: SocketAddr,
    /// Expect HTTP/2 from the first byte (RFC 9113 §3.3)
    #[arg(long)]
    h2: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let router = Router::new()
        .route("/demo/plaintext", get(|| async { text(workload::HELLO) }))
        .route("/demo/json", get(|| async { Json(workload::message()) }))
        .route("/demo/items", get(|| async { Json(&items::PAGE) }))
        .route("/demo/work", get(work))
        .route("/demo/echo", post(echo));
    let options = Options::parse();
    let builder = auto::Builder::new(TokioExecutor::new());
    let builder = if options.h2 { builder.http2_only() } else { builder.http1_only() };
    let listener = TcpListener::bind(options.listen).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(serve(builder.clone(), stream, router.clone()));
    }
}

async fn serve(builder: auto::Builder<TokioExecutor>, stream: TcpStream, router: Router) {
    let _ = stream.set_nodelay(true);
    let _ = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).await;
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
