//! tonic 0.14 on a current-thread tokio runtime. Serves `bench.Echo`, over TLS if a certificate and key are
//! given.

use std::{error::Error, fs, net::SocketAddr, path::PathBuf};

use clap::Parser;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use windlass_peers::tls;

mod service;

/// Serves `bench.Echo` with tonic.
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
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    tls::install_provider();
    let options = Options::parse();
    let mut server = Server::builder();
    if let (Some(certificate), Some(key)) = (&options.tls_cert, &options.tls_key) {
        let identity = Identity::from_pem(fs::read(certificate)?, fs::read(key)?);
        server = server.tls_config(ServerTlsConfig::new().identity(identity))?;
    }
    server.add_service(service::Echo).serve(options.listen).await?;
    Ok(())
}
