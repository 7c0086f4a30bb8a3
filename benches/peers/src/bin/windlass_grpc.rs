//! Windlass on one shard. Serves `bench.Echo` with inline methods, over TLS if a certificate and key are
//! given.

use std::{error::Error, future::ready, net::SocketAddr, path::PathBuf, thread};

use clap::Parser;
use windlass::{EngineKind, Listen, Router, Server, Tls, actors::Cores};
use windlass_grpc::call::{self, Call, Reply};
use windlass_peers::echo::{self, Items, Order};

/// Serves `bench.Echo` with Windlass.
#[derive(Debug, Parser)]
struct Options {
    /// Address to listen on
    #[arg(long)]
    listen: SocketAddr,
    /// File of the certificate chain (PEM); without it, connections are plain HTTP/2 (h2c with prior
    /// knowledge)
    #[arg(long, requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// File of the private key (PEM, PKCS#8)
    #[arg(long, requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// I/O engine: auto, io_uring or epoll
    #[arg(long, default_value_t)]
    engine: EngineKind,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let unary = call::unary(echo::UNARY, |call: Call<Items>| ready(Ok(Reply::new(call.content))));
    let stream =
        call::server_streaming(echo::SERVER_STREAM, |call: Call<Order>| Ok(Reply::new(call.content.fill())));
    let router = Router::new().route(unary).route(stream).not_found(call::unknown);
    let builder = Server::builder().router(router).engine(options.engine).cores(Cores::Unpinned(1));
    let listen = Listen::Tcp(options.listen);
    let builder = match (options.tls_cert, options.tls_key) {
        (Some(chain), Some(key)) => builder.listen_tls(listen, Tls::from_files(chain, key)?),
        _ => builder.listen(listen),
    };
    let _server = builder.start()?;
    loop {
        thread::park();
    }
}
