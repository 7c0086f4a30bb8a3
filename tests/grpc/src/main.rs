//! Serves `grpc.testing.TestService` until it is killed.

use std::{error::Error, net::SocketAddr, path::PathBuf, thread};

use clap::Parser;
use windlass::{EngineKind, Listen, Server, Tls, actors::Cores};
use windlass_grpc::interop::TestService;

/// Serves grpc.testing.TestService for gRPC's interoperability tests.
#[derive(Debug, Parser)]
struct Options {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Certificate chain, PEM; without it connections are plain HTTP/2 with prior knowledge
    #[arg(long, requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key of the chain, PEM
    #[arg(long, requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Engine: auto, io_uring or epoll
    #[arg(long, default_value_t)]
    engine: EngineKind,
    /// Run the calls on the pool, not on the shards of their connections
    #[arg(long)]
    pool: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let router = TestService::default().router();
    let router = if options.pool { router.run_async() } else { router };
    let server = Server::builder().router(router).engine(options.engine).cores(Cores::Unpinned(2));
    let listen = Listen::Tcp(options.listen);
    let server = match (options.tls_cert, options.tls_key) {
        (Some(chain), Some(key)) => server.listen_tls(listen, Tls::from_files(chain, key)?),
        _ => server.listen(listen),
    };
    let server = server.start()?;
    println!("listening on {}", server.tcp_address().unwrap_or(options.listen));
    loop {
        thread::park();
    }
}
