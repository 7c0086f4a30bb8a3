//! axum 0.8 on a current-thread tokio runtime: HTTP/1.1, or HTTP/2 with `--h2`.
//!
//! `axum::serve` looks for the preface of HTTP/2 as soon as any crate in the build turns hyper-util's `http2` on, as
//! tonic does here. It cost 3 % of the HTTP/1.1 rows, so connections are served by hyper-util with its protocol fixed.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    response::{
        IntoResponse,
        sse::{Event, KeepAlive, Sse},
    },
    routing::{get, post},
};
use clap::Parser;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use serde::Serialize;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::broadcast,
};
use tokio_stream::{
    Stream, StreamExt,
    wrappers::{BroadcastStream, errors::BroadcastStreamRecvError},
};
use windlass_peers::{items, workload};

/// Events of a topic that a subscriber may be behind; one that is further behind is ended.
const BEHIND: usize = 1024;

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

/// The topic of the fan-out scenarios.
#[derive(Clone)]
struct Topic {
    sender: broadcast::Sender<(u64, Arc<str>)>,
    last: Arc<AtomicU64>,
}

#[derive(Serialize)]
struct Published {
    id: u64,
    subscribers: usize,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let router = Router::new()
        .route("/demo/plaintext", get(|| async { text(workload::HELLO) }))
        .route("/demo/json", get(|| async { Json(workload::message()) }))
        .route("/demo/items", get(|| async { Json(&items::PAGE) }))
        .route("/demo/work", get(work))
        .route("/demo/echo", post(echo))
        .route(workload::TOPIC, post(publish).get(subscribe))
        .with_state(Topic { sender: broadcast::Sender::new(BEHIND), last: Arc::default() });
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

async fn publish(State(topic): State<Topic>, body: String) -> impl IntoResponse {
    let id = topic.last.fetch_add(1, Ordering::Relaxed) + 1;
    // An error says that nobody is subscribed.
    let subscribers = topic.sender.send((id, body.into())).unwrap_or(0);
    (StatusCode::ACCEPTED, Json(Published { id, subscribers }))
}

async fn subscribe(State(topic): State<Topic>) -> Sse<impl Stream<Item = Result<Event, BroadcastStreamRecvError>>> {
    let events = BroadcastStream::new(topic.sender.subscribe());
    let events = events.map(|event| event.map(|(id, text)| Event::default().id(id.to_string()).data(text)));
    Sse::new(events).keep_alive(KeepAlive::default())
}
