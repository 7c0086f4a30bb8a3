//! A TLS client whose test controls every byte on the socket.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::Arc,
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::common::{Reply, TIMEOUT};

/// Returns the configuration of a client that trusts this chain.
pub(crate) fn trusting(chain: &str) -> ClientConfig {
    with_versions(chain, rustls::DEFAULT_VERSIONS)
}

/// Returns the configuration of a client that trusts this chain and supports these versions.
pub(crate) fn with_versions(
    chain: &str,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    builder.with_root_certificates(roots).with_no_client_auth()
}

/// A TLS connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pub(crate) tls: ClientConnection,
    /// Plaintext received but not consumed.
    received: Vec<u8>,
}

impl Client {
    /// Connects without sending a byte.
    pub(crate) fn begin(address: SocketAddr, config: &Arc<ClientConfig>) -> Self {
        let stream = TcpStream::connect_timeout(&address, TIMEOUT).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.set_write_timeout(Some(TIMEOUT)).unwrap();
        let mut tls = ClientConnection::new(config.clone(), "localhost".try_into().unwrap()).unwrap();
        tls.set_buffer_limit(None);
        Self { stream, tls, received: Vec::new() }
    }

    /// Connects and completes the handshake.
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr, config: &Arc<ClientConfig>) -> Self {
        let mut client = Self::begin(address, config);
        client.shake().unwrap();
        client
    }

    /// Connects and completes the handshake; `None` if this client does not trust the server.
    pub(crate) fn connect_if(address: SocketAddr, config: &Arc<ClientConfig>) -> Option<Self> {
        let mut client = Self::begin(address, config);
        client.shake().is_ok().then_some(client)
    }

    /// Completes the handshake.
    pub(crate) fn shake(&mut self) -> io::Result<()> {
        while self.tls.is_handshaking() {
            self.flush()?;
            if self.tls.is_handshaking() && self.read()? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        self.flush()
    }

    /// Returns the ciphertext that is ready to be sent.
    pub(crate) fn sealed(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut bytes).unwrap();
        }
        bytes
    }

    fn flush(&mut self) -> io::Result<()> {
        let bytes = self.sealed();
        self.stream.write_all(&bytes)
    }

    /// Sends plaintext.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.tls.writer().write_all(bytes.as_ref())?;
        self.flush()
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).unwrap();
    }

    pub(crate) fn request(&mut self, method: &str, path: &str) {
        self.send(format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    }

    #[track_caller]
    pub(crate) fn get(&mut self, path: &str) -> Reply {
        self.request("GET", path);
        self.reply()
    }

    #[track_caller]
    pub(crate) fn post(&mut self, path: &str, body: &[u8]) -> Reply {
        self.send(format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
            body.len()
        ));
        self.send(body);
        self.reply()
    }

    #[track_caller]
    pub(crate) fn reply(&mut self) -> Reply {
        self.try_reply().unwrap().expect("expected a reply, got the end of the connection")
    }

    /// Reads one reply; `None` if the server closed with `close_notify` before the first byte of the reply.
    pub(crate) fn try_reply(&mut self) -> io::Result<Option<Reply>> {
        loop {
            if let Some((reply, used)) = Reply::parse(&self.received, "GET", false) {
                self.received.drain(..used);
                return Ok(Some(reply));
            }
            match self.read() {
                Ok(0) if self.received.is_empty() && self.is_told_the_end() => return Ok(None),
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) fn try_get(&mut self, path: &str) -> io::Result<Option<Reply>> {
        self.try_send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))?;
        self.try_reply()
    }

    /// Returns `true` if the server's `close_notify` was received.
    pub(crate) fn is_told_the_end(&mut self) -> bool {
        matches!(self.tls.reader().read(&mut [0]), Ok(0))
    }

    /// Reads until the server ends the connection. Returns the plaintext.
    #[track_caller]
    pub(crate) fn read_to_end(&mut self) -> Vec<u8> {
        while self.read().unwrap() > 0 {}
        std::mem::take(&mut self.received)
    }

    /// Reads until these bytes arrive. Returns everything up to their end.
    #[track_caller]
    pub(crate) fn until(&mut self, bytes: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.received.windows(bytes.len()).position(|window| window == bytes) {
                return self.received.drain(..at + bytes.len()).collect();
            }
            assert!(self.read().unwrap() > 0, "the server closed before sending {}", bytes.escape_ascii());
        }
    }

    /// Reads one HTTP/2 frame. Returns its type and payload length.
    #[cfg(feature = "http2")]
    #[track_caller]
    pub(crate) fn frame(&mut self) -> (u8, usize) {
        loop {
            if let Some(&[high, middle, low, kind]) = self.received.first_chunk::<4>() {
                let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
                if self.received.len() >= 9 + length {
                    self.received.drain(..9 + length);
                    return (kind, length);
                }
            }
            assert!(self.read().unwrap() > 0, "the server closed in the middle of a frame");
        }
    }

    /// Sends `close_notify`.
    pub(crate) fn close(&mut self) {
        self.tls.send_close_notify();
        self.flush().unwrap();
    }

    /// Sends a FIN.
    pub(crate) fn finish(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Reads once from the socket. Returns the number of bytes of ciphertext.
    pub(crate) fn read(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 64 * 1024];
        let count = self.stream.read(&mut buffer)?;
        let mut rest = &buffer[..count];
        while !rest.is_empty() {
            if self.tls.read_tls(&mut rest)? == 0 {
                return Err(io::Error::other("no byte may follow close_notify"));
            }
            self.tls.process_new_packets().map_err(io::Error::other)?;
            let mut plain = Vec::new();
            // Ends with `WouldBlock`, or at `close_notify`.
            let _ = self.tls.reader().read_to_end(&mut plain);
            self.received.extend(plain);
        }
        Ok(count)
    }
}
