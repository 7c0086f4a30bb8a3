//! Opens the connections: TCP, TLS when a certificate to trust is given, HTTP/2.

use std::{future::Future, io, path::Path, sync::Arc};

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::spawn_local,
};
use tokio_rustls::TlsConnector;
use windlass_peers::tls;

use crate::options::Options;

/// Window of a stream and of a connection, bytes: the server's pace is what counts, not our credit.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 1 << 26;

/// Connects to a server, over TLS if there is a certificate to trust.
pub(crate) struct Connector {
    tls: Option<TlsConnector>,
}

impl Connector {
    pub(crate) fn new(options: &Options) -> io::Result<Self> {
        let tls = options.tls_ca.as_deref().map(|path| client(path).map(TlsConnector::from)).transpose()?;
        Ok(Self { tls })
    }

    /// Returns the scheme of what is asked for.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Opens the connection with this number; a local task drives it.
    pub(crate) async fn open(&self, options: &Options, index: usize) -> io::Result<SendRequest<Bytes>> {
        within(options, async {
            let stream = TcpStream::connect(options.target_of(index)).await?;
            stream.set_nodelay(true)?;
            match &self.tls {
                None => speak(stream).await,
                Some(tls) => {
                    let stream = tls
                        .connect(ServerName::try_from("localhost").map_err(io::Error::other)?, stream)
                        .await?;
                    if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
                        return Err(io::Error::other("the server does not choose h2 (ALPN)"));
                    }
                    speak(stream).await
                }
            }
        })
        .await
    }
}

async fn within<T>(options: &Options, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(options.timeout, work).await.unwrap_or_else(|late| Err(late.into()))
}

async fn speak<S: AsyncRead + AsyncWrite + Unpin + 'static>(stream: S) -> io::Result<SendRequest<Bytes>> {
    let mut builder = Builder::new();
    builder.initial_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
    let (sender, connection) = builder.handshake(stream).await.map_err(io::Error::other)?;
    // Its failure reaches every call on it.
    spawn_local(async { drop(connection.await) });
    Ok(sender)
}

fn client(ca: &Path) -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    let unread = |error| io::Error::other(format!("{}: {error}", ca.display()));
    for certificate in CertificateDer::pem_file_iter(ca).map_err(unread)? {
        roots.add(certificate.map_err(unread)?).map_err(io::Error::other)?;
    }
    let builder = ClientConfig::builder_with_provider(tls::provider());
    let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}
