//! Opens the connections: TCP, TLS if a trusted certificate is given, and HTTP/2.

use std::{future::Future, io};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::spawn_local,
};
use tokio_rustls::TlsConnector;
use windlass_cli::client::http2::{self, Sender};

use crate::{options::Options, tls};

/// Connects to a server, over TLS if a trusted certificate is given.
pub(crate) struct Connector {
    tls: Option<TlsConnector>,
}

impl Connector {
    pub(crate) fn new(options: &Options) -> io::Result<Self> {
        let config = options.tls_ca.as_deref().map(|path| tls::client_config(path, b"h2")).transpose()?;
        Ok(Self { tls: config.map(TlsConnector::from) })
    }

    /// Returns the scheme of the request URIs.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Opens the connection with the given index. A local task drives it.
    pub(crate) async fn open(&self, options: &Options, index: usize) -> io::Result<Sender> {
        with_timeout(options, async {
            let stream = TcpStream::connect(options.target_of(index)).await?;
            stream.set_nodelay(true)?;
            match &self.tls {
                None => start_http2(stream).await,
                Some(connector) => {
                    let stream = connector.connect(tls::server_name()?, stream).await?;
                    if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
                        return Err(io::Error::other("server did not select h2 by ALPN"));
                    }
                    start_http2(stream).await
                }
            }
        })
        .await
    }
}

async fn with_timeout<T>(options: &Options, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(options.timeout, work).await.unwrap_or_else(|late| Err(late.into()))
}

async fn start_http2<S: AsyncRead + AsyncWrite + Unpin + 'static>(stream: S) -> io::Result<Sender> {
    let (sender, drive) = http2::start(stream).await.map_err(io::Error::other)?;
    spawn_local(drive);
    Ok(sender)
}
