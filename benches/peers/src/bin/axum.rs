//! axum 0.8 on a current-thread tokio runtime. Serves HTTP/1.1, HTTP/2 with `--h2`, or both with `--detect`.
//!
//! With hyper-util's `http2` feature, which tonic enables in this build, `axum::serve` checks every
//! connection for the HTTP/2 preface. The check costs the HTTP/1.1 rows 3 %. So hyper-util serves the
//! connections with a fixed protocol.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{
        RawQuery, State, WebSocketUpgrade,
        ws::{Message, Utf8Bytes, WebSocket, rejection::WebSocketUpgradeRejection},
    },
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    response::{
        IntoResponse, Response,
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
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde::Serialize;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::broadcast,
};
use tokio_rustls::TlsAcceptor;
use tokio_stream::{
    Stream, StreamExt,
    wrappers::{BroadcastStream, errors::BroadcastStreamRecvError},
};
use windlass_peers::{items, tls, workload};

/// Serves the workload with axum.
#[derive(Debug, Parser)]
struct Options {
    /// Address to listen on
    #[arg(long)]
    listen: SocketAddr,
    /// Expect HTTP/2 from the first byte (RFC 9113 §3.3)
    #[arg(long)]
    h2: bool,
    /// Detect the protocol of each connection
    #[arg(long, conflicts_with = "h2")]
    detect: bool,
    /// Certificate chain (PEM) for TLS
    #[arg(long, requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key (PEM) for TLS
    #[arg(long, requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

/// Topic of the fan-out scenarios.
#[derive(Clone)]
struct Topic {
    sender: broadcast::Sender<(u64, Utf8Bytes)>,
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
        .route(workload::WS_ECHO, get(|upgrade: WebSocketUpgrade| async { upgrade.on_upgrade(ws_echo) }))
        .route(workload::TOPIC, post(publish).get(subscribe))
        .with_state(Topic { sender: broadcast::Sender::new(workload::MAX_BACKLOG), last: Arc::default() });
    let options = Options::parse();
    let builder = auto::Builder::new(TokioExecutor::new());
    let builder = match (options.detect, options.h2) {
        (true, _) => builder,
        (false, true) => builder.http2_only(),
        (false, false) => builder.http1_only(),
    };
    let tls = options.tls_cert.as_deref().zip(options.tls_key.as_deref());
    let tls = tls.map(|(chain, key)| acceptor(chain, key)).transpose()?;
    let listener = TcpListener::bind(options.listen).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let _ = stream.set_nodelay(true);
        let (builder, router) = (builder.clone(), router.clone());
        match tls.clone() {
            None => tokio::spawn(serve(builder, stream, router)),
            Some(tls) => tokio::spawn(async move {
                if let Ok(stream) = tls.accept(stream).await {
                    serve(builder, stream, router).await;
                }
            }),
        };
    }
}

fn acceptor(chain: &Path, key: &Path) -> io::Result<TlsAcceptor> {
    let chain = CertificateDer::pem_file_iter(chain).map_err(io::Error::other)?;
    let chain = chain.collect::<Result<Vec<_>, _>>().map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(io::Error::other)?;
    let builder = ServerConfig::builder_with_provider(tls::provider());
    let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?;
    let config = builder.with_no_client_auth().with_single_cert(chain, key).map_err(io::Error::other)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    builder: auto::Builder<TokioExecutor>,
    stream: S,
    router: Router,
) {
    let _ =
        builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(router)).await;
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
    // `send` fails if nobody is subscribed.
    let subscribers = topic.sender.send((id, body.into())).unwrap_or(0);
    (StatusCode::ACCEPTED, Json(Published { id, subscribers }))
}

async fn subscribe(
    State(topic): State<Topic>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    match upgrade {
        Ok(upgrade) => upgrade.on_upgrade(|socket| send_events(socket, topic)),
        Err(_) => event_stream(&topic).into_response(),
    }
}

fn event_stream(topic: &Topic) -> Sse<impl Stream<Item = Result<Event, BroadcastStreamRecvError>> + use<>> {
    let events = BroadcastStream::new(topic.sender.subscribe());
    let events =
        events.map(|event| event.map(|(id, text)| Event::default().id(id.to_string()).data(text.as_str())));
    Sse::new(events).keep_alive(KeepAlive::default())
}

async fn ws_echo(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        if matches!(message, Message::Text(_) | Message::Binary(_)) && socket.send(message).await.is_err() {
            return;
        }
    }
}

/// Sends every event as a text message. Subscribers send no messages here, so none are read.
async fn send_events(mut socket: WebSocket, topic: Topic) {
    let mut events = topic.sender.subscribe();
    while let Ok((_, text)) = events.recv().await {
        if socket.send(Message::Text(text)).await.is_err() {
            return;
        }
    }
}
