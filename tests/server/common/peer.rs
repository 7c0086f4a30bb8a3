//! A client that sends exactly the bytes it is given.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use socket2::SockRef;

use super::{Reply, TIMEOUT};

/// End of a connection, as the client sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// A FIN: all data sent before it has arrived.
    Fin,
    /// A reset.
    Reset,
}

/// A client connection.
pub(crate) struct Peer {
    stream: TcpStream,
    /// Bytes received but not consumed.
    received: Vec<u8>,
}

impl Peer {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, TIMEOUT).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.set_write_timeout(Some(TIMEOUT)).unwrap();
        Self { stream, received: Vec::new() }
    }

    /// Wraps an existing stream.
    pub(crate) fn from_stream(stream: TcpStream) -> Self {
        Self { stream, received: Vec::new() }
    }

    /// Creates a second handle to the connection, to read while this one sends.
    pub(crate) fn reader(&self) -> Self {
        Self { stream: self.stream.try_clone().unwrap(), received: Vec::new() }
    }

    /// Returns the client's address, as the server sees it.
    pub(crate) fn local_address(&self) -> SocketAddr {
        self.stream.local_addr().unwrap()
    }

    /// Sends these bytes.
    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends these bytes. Returns `false` if the server has closed the connection.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Sends until the server accepts nothing for `patience` or closes. Returns the number of bytes sent.
    pub(crate) fn send_until_stuck(&mut self, bytes: &[u8], patience: Duration) -> usize {
        self.stream.set_write_timeout(Some(patience)).unwrap();
        let mut sent = 0;
        while sent < bytes.len() {
            match self.stream.write(&bytes[sent..]) {
                Ok(count) => sent += count,
                Err(_) => break,
            }
        }
        self.stream.set_write_timeout(Some(TIMEOUT)).unwrap();
        sent
    }

    /// Sends a request without a body.
    pub(crate) fn request(&mut self, method: &str, path: &str) {
        self.send(format!("{method} {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
    }

    /// Sends a GET and reads its reply.
    #[track_caller]
    pub(crate) fn get(&mut self, path: &str) -> Reply {
        self.request("GET", path);
        self.reply()
    }

    /// Sends a POST with a body and reads its reply.
    #[track_caller]
    pub(crate) fn post(&mut self, path: &str, body: impl AsRef<[u8]>) -> Reply {
        let body = body.as_ref();
        self.send(format!("POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", body.len()));
        self.send(body);
        self.reply()
    }

    /// Reads one whole reply to any method except HEAD.
    #[track_caller]
    pub(crate) fn reply(&mut self) -> Reply {
        self.reply_to("GET")
    }

    /// Reads one whole reply to a request with this method.
    #[track_caller]
    pub(crate) fn reply_to(&mut self, method: &str) -> Reply {
        loop {
            if let Some((reply, used)) = Reply::parse(&self.received, method, false) {
                self.received.drain(..used);
                return reply;
            }
            if self.read() == 0 {
                let (reply, used) = Reply::parse(&self.received, method, true).unwrap_or_else(|| {
                    panic!("the server closed in the middle of a reply: {}", shown(&self.received))
                });
                self.received.drain(..used);
                return reply;
            }
        }
    }

    /// Reads until FIN and returns all unconsumed bytes.
    #[track_caller]
    pub(crate) fn read_to_end(&mut self) -> Vec<u8> {
        while self.read() > 0 {}
        std::mem::take(&mut self.received)
    }

    /// Like [`read_to_end`](Self::read_to_end), but returns an error if the server resets.
    pub(crate) fn try_read_to_end(&mut self) -> io::Result<Vec<u8>> {
        while self.try_read()? > 0 {}
        Ok(std::mem::take(&mut self.received))
    }

    /// Sends a GET and reads its reply; `None` if the server closed cleanly before the first byte of the
    /// reply.
    pub(crate) fn try_get(&mut self, path: &str) -> io::Result<Option<Reply>> {
        self.try_exchange(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"))
    }

    /// Sends these bytes and reads one reply; `None` if the server closed cleanly before its first byte.
    pub(crate) fn try_exchange(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<Option<Reply>> {
        self.stream.write_all(bytes.as_ref())?;
        loop {
            if let Some((reply, used)) = Reply::parse(&self.received, "GET", false) {
                self.received.drain(..used);
                return Ok(Some(reply));
            }
            if self.try_read()? == 0 {
                let clean = self.received.is_empty();
                return if clean { Ok(None) } else { Err(ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    /// Reads until these bytes arrive. Returns everything up to their end.
    #[track_caller]
    pub(crate) fn until(&mut self, bytes: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.received.windows(bytes.len()).position(|window| window == bytes) {
                return self.received.drain(..at + bytes.len()).collect();
            }
            assert!(self.read() > 0, "the server closed before sending {}", bytes.escape_ascii());
        }
    }

    /// Reads this many bytes.
    #[track_caller]
    pub(crate) fn exactly(&mut self, bytes: usize) -> Vec<u8> {
        while self.received.len() < bytes {
            assert!(self.read() > 0, "the server closed after {} of {bytes} bytes", self.received.len());
        }
        self.received.drain(..bytes).collect()
    }

    /// Returns `true` if data or the end of the connection can be read, without waiting.
    pub(crate) fn is_readable(&self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let news = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).unwrap();
        !news.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    /// Reads until FIN and asserts that no byte arrived.
    #[track_caller]
    pub(crate) fn expect_close(&mut self) {
        let rest = self.read_to_end();
        assert!(rest.is_empty(), "expected a close, got: {}", rest.escape_ascii());
    }

    /// Reads until FIN or reset. Returns all unconsumed bytes and the kind of end.
    pub(crate) fn read_to_close(&mut self) -> (Vec<u8>, End) {
        loop {
            let mut buffer = [0; 64 * 1024];
            match self.stream.read(&mut buffer) {
                Ok(0) => return (std::mem::take(&mut self.received), End::Fin),
                Ok(count) => self.received.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    return (std::mem::take(&mut self.received), End::Reset);
                }
                Err(error) => panic!("expected the server to end the connection, got {error}"),
            }
        }
    }

    /// Asserts that nothing arrives during this time.
    #[track_caller]
    pub(crate) fn expect_silence(&mut self, during: Duration) {
        self.stream.set_read_timeout(Some(during)).unwrap();
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            other => panic!("expected silence, got {other:?} {byte:?}"),
        }
        self.stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    }

    /// Sends a FIN; reading continues.
    pub(crate) fn finish(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Closes the connection with a reset.
    pub(crate) fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Limits the kernel's receive buffer. Below one segment (64 KiB on loopback) data arrives slowly.
    pub(crate) fn set_receive_buffer(&self, bytes: usize) {
        SockRef::from(&self.stream).set_recv_buffer_size(bytes).unwrap();
    }

    #[track_caller]
    fn read(&mut self) -> usize {
        self.try_read().unwrap_or_else(|error| {
            panic!("reading failed: {error}; so far: {}", shown(&self.received));
        })
    }

    fn try_read(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 64 * 1024];
        let count = self.stream.read(&mut buffer)?;
        self.received.extend_from_slice(&buffer[..count]);
        Ok(count)
    }
}

/// Formats the length and the first bytes for a message.
fn shown(bytes: &[u8]) -> String {
    let front = bytes[..bytes.len().min(500)].escape_ascii();
    format!("{} bytes, {front}", bytes.len())
}
