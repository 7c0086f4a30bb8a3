//! TLS on the wire: handshakes, records, ends of connections, and certificate reloads.

mod certificates;
pub(crate) mod client;
mod ends;
mod files;
mod handshakes;
#[cfg(feature = "http2")]
mod http2;
mod lingering;
mod requests;
mod streams;
#[cfg(feature = "ws")]
mod websocket;

use std::sync::Arc;

use rustls::ClientConfig;
use windlass::{Body, Builder, Request, Router, Server, Tls, actors::Cores, get, post, static_route};

use crate::common::base_builder;
use client::{Client, trusting};

/// Generates a self-signed pair: chain and key as PEM.
pub(crate) fn pair(name: &str) -> (String, String) {
    let generated = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    (generated.cert.pem(), generated.signing_key.serialize_pem())
}

fn routes() -> Router {
    Router::new()
        .route(static_route("/static", "static"))
        .route(static_route("/large", vec![b'l'; 3 << 20]))
        .route(get("/inline", |_: Request| "inline"))
        .route(get("/secure", |request: Request| request.is_secure().to_string()))
        .route(get("/peer", |request: Request| format!("{:?}", request.peer())))
        .route(get("/async", delayed).run_async())
        .route(get("/stream/{kib}", stream))
        .route(post("/echo", |mut request: Request| request.take_body()).body_limit(8 << 20))
        .route(post("/count", count).streamed())
}

async fn delayed(request: Request) -> &'static str {
    let ms = request.query_value("ms").map_or(0, |ms| ms.parse().unwrap());
    tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
    "async"
}

fn stream(request: Request) -> Body {
    let pieces: usize = request.param("kib").unwrap().parse().unwrap();
    let (mut sender, body) = Body::channel(64 * 1024);
    std::thread::spawn(move || {
        for _ in 0..pieces {
            if pollster::block_on(sender.send(vec![b's'; 1024].into())).is_err() {
                return;
            }
        }
        sender.finish();
    });
    body
}

async fn count(mut request: Request) -> String {
    let mut bytes = 0;
    while let Some(Ok(chunk)) = request.body_mut().next().await {
        bytes += chunk.len();
    }
    bytes.to_string()
}

/// A server with TLS on its first address and plain HTTP on its second, and the configuration of a client
/// that trusts it.
struct TlsServer {
    server: Server,
    tls: Tls,
    trust: Arc<ClientConfig>,
}

impl TlsServer {
    fn new() -> Self {
        Self::with(|builder| builder)
    }

    fn with(set: impl FnOnce(Builder) -> Builder) -> Self {
        let (chain, key) = pair("localhost");
        let tls = Tls::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
        let builder = base_builder()
            .cores(Cores::Unpinned(2))
            .router(routes())
            .operations(windlass::Operations::usual());
        let builder = builder.listen_tls("127.0.0.1:0", tls.clone());
        let server = set(builder.listen("127.0.0.1:0")).start().unwrap();
        Self { server, tls, trust: Arc::new(trusting(&chain)) }
    }

    fn address(&self) -> std::net::SocketAddr {
        crate::common::address(&self.server)
    }

    fn client(&self) -> Client {
        Client::connect(self.address(), &self.trust)
    }

    /// Reads one sample of the metrics page over the plain address; 0 if it is missing.
    fn metric(&self, sample: &str) -> f64 {
        let windlass::Listen::Tcp(plain) = self.server.addresses()[1].clone() else {
            panic!("no TCP address")
        };
        let page = crate::common::Peer::connect(plain).get("/metrics").text();
        let line = page.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Returns the number of handshakes with this result.
    fn handshakes(&self, result: &str) -> f64 {
        self.metric(&format!("windlass_tls_handshakes_total{{result=\"{result}\"}}"))
    }

    /// Returns the number of handshakes in progress.
    fn in_progress(&self) -> f64 {
        (0..2)
            .map(|shard| self.metric(&format!("windlass_tls_handshakes_in_progress{{shard=\"{shard}\"}}")))
            .sum()
    }
}
