//! hyper 1.x on a current-thread tokio runtime. Serves HTTP/1.1, or HTTP/2 with `--h2`.

use std::{convert::Infallible, io, net::SocketAddr};

use clap::Parser;
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{CONTENT_TYPE, HeaderValue},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use windlass_peers::{items, workload};

/// Serves the workload with hyper.
#[derive(Debug, Parser)]
struct Options {
    /// Address to listen on
    #[arg(long)]
    listen: SocketAddr,
    /// Expect HTTP/2 from the first byte (RFC 9113 §3.3); detecting the preface would slow HTTP/1.1 down
    #[arg(long)]
    h2: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let options = Options::parse();
    let listener = TcpListener::bind(options.listen).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        if options.h2 {
            tokio::spawn(serve_h2(stream));
        } else {
            tokio::spawn(serve(stream));
        }
    }
}

// Connection errors are ignored: the load generator counts them.
async fn serve(stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let mut http1 = http1::Builder::new();
    http1.pipeline_flush(true);
    let _ = http1.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
}

async fn serve_h2(stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let http2 = http2::Builder::new(TokioExecutor::new());
    let _ = http2.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(match (request.method(), request.uri().path()) {
        (&Method::GET, "/demo/plaintext") => {
            reply(workload::TEXT, Bytes::from_static(workload::HELLO.as_bytes()))
        }
        (&Method::GET, "/demo/json") => reply(workload::JSON, workload::message_bytes().into()),
        (&Method::GET, "/demo/items") => reply(workload::JSON, items::bytes().into()),
        (&Method::GET, "/demo/large") => reply(workload::TEXT, Bytes::from_static(&workload::LARGE)),
        (&Method::POST, "/demo/upload") => upload(request).await,
        (&Method::GET, "/demo/work") => work(&request).await,
        (&Method::POST, "/demo/echo") => echo(request).await,
        _ => status(StatusCode::NOT_FOUND),
    })
}

async fn work(request: &Request<Incoming>) -> Response<Full<Bytes>> {
    tokio::time::sleep(workload::work_time(request.uri().query())).await;
    reply(workload::TEXT, Bytes::from_static(workload::WORKED.as_bytes()))
}

async fn echo(request: Request<Incoming>) -> Response<Full<Bytes>> {
    let content_type = request.headers().get(CONTENT_TYPE).cloned();
    let Ok(body) = request.into_body().collect().await else {
        return status(StatusCode::BAD_REQUEST);
    };
    let mut response = Response::new(Full::new(body.to_bytes()));
    if let Some(value) = content_type {
        response.headers_mut().insert(CONTENT_TYPE, value);
    }
    response
}

async fn upload(request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (mut body, mut bytes) = (request.into_body(), 0);
    while let Some(Ok(frame)) = body.frame().await {
        bytes += frame.data_ref().map_or(0, Bytes::len);
    }
    reply(workload::JSON, format!(r#"{{"bytes":{bytes}}}"#).into())
}

fn reply(content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn status(code: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = code;
    response
}
