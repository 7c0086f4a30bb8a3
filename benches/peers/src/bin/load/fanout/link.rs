//! Socket of a subscriber or of the publisher, with or without TLS.

use std::{
    io::{self, Write},
    net::{SocketAddr, TcpStream},
};

use rustix::{
    buffer::spare_capacity,
    io::Errno,
    net::{RecvFlags, recv},
};
use windlass_cli::client::fault::{Fault, Kind};

use crate::options::Options;

/// Capacity reserved for one read.
const READ_BYTES: usize = 16 * 1024;

/// A connection to the server. Writes block, reads do not.
pub(crate) struct Link {
    stream: TcpStream,
    #[cfg(feature = "tls")]
    tls: Option<Box<rustls::ClientConnection>>,
}

/// Opens links, with TLS if the options name a trusted certificate.
pub(super) struct Connector<'a> {
    options: &'a Options,
    #[cfg(feature = "tls")]
    tls: Option<std::sync::Arc<rustls::ClientConfig>>,
}

impl<'a> Connector<'a> {
    pub(super) fn new(options: &'a Options) -> io::Result<Self> {
        #[cfg(feature = "tls")]
        let tls =
            options.tls_ca.as_deref().map(|ca| crate::tls::client_config(ca, b"http/1.1")).transpose()?;
        Ok(Self {
            options,
            #[cfg(feature = "tls")]
            tls,
        })
    }

    /// Opens the link with the given index.
    pub(super) fn open(&self, index: usize) -> io::Result<(Link, SocketAddr)> {
        let target = self.options.target_of(index);
        #[cfg_attr(not(feature = "tls"), allow(unused_mut))]
        let mut stream = TcpStream::connect_timeout(&target, self.options.timeout)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(self.options.timeout))?;
        #[cfg(feature = "tls")]
        let tls = match &self.tls {
            None => None,
            Some(config) => {
                let name = crate::tls::server_name()?;
                let client = rustls::ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
                Some(Box::new(shake_hands(client, &mut stream, self.options.timeout)?))
            }
        };
        let link = Link {
            stream,
            #[cfg(feature = "tls")]
            tls,
        };
        Ok((link, target))
    }
}

#[cfg(feature = "tls")]
fn shake_hands(
    mut tls: rustls::ClientConnection,
    stream: &mut TcpStream,
    timeout: std::time::Duration,
) -> io::Result<rustls::ClientConnection> {
    stream.set_read_timeout(Some(timeout))?;
    while tls.is_handshaking() {
        tls.complete_io(stream)?;
    }
    Ok(tls)
}

impl Link {
    /// Returns the socket.
    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends these bytes.
    pub(super) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &mut self.tls {
            tls.writer().write_all(bytes)?;
            while tls.wants_write() {
                tls.write_tls(&mut self.stream)?;
            }
            return Ok(());
        }
        self.stream.write_all(bytes)
    }

    /// Appends the bytes of one read. Appends nothing if no bytes are available.
    pub(super) fn receive(&mut self, input: &mut Vec<u8>) -> Result<(), Fault> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &mut self.tls {
            return receive_tls(tls, &self.stream, input);
        }
        input.reserve(READ_BYTES);
        match recv(&self.stream, spare_capacity(input), RecvFlags::DONTWAIT) {
            Ok((0, _)) => Err(closed()),
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Ok(()),
            Err(error) => Err(read_failed(error)),
        }
    }
}

/// Appends the plaintext of one read.
#[cfg(feature = "tls")]
fn receive_tls(
    tls: &mut rustls::ClientConnection,
    stream: &TcpStream,
    input: &mut Vec<u8>,
) -> Result<(), Fault> {
    use std::io::Read;

    /// Reads without blocking.
    struct DontWait<'a>(&'a TcpStream);

    impl Read for DontWait<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            Ok(recv(self.0, buffer, RecvFlags::DONTWAIT)?.0)
        }
    }

    match tls.read_tls(&mut DontWait(stream)) {
        Ok(0) => return Err(closed()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
        Err(error) => return Err(read_failed(error)),
    }
    let state = tls.process_new_packets().map_err(read_failed)?;
    let start = input.len();
    input.resize(start + state.plaintext_bytes_to_read(), 0);
    tls.reader().read_exact(&mut input[start..]).map_err(read_failed)
}

fn closed() -> Fault {
    Fault::new(Kind::Closed, "server closed the connection")
}

fn read_failed(error: impl std::fmt::Display) -> Fault {
    Fault::new(Kind::Io, format_args!("read failed: {error}"))
}
