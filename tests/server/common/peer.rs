//! A client that sends exactly the bytes it is given.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use socket2::SockRef;

use super::{PATIENCE, Reply};

/// How a server ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// In order: all that was sent has come.
    Fin,
    /// Cut.
    Reset,
}

/// One connection.
pub(crate) struct Peer {
    stream: TcpStream,
    /// Bytes received and not yet taken.
    received: Vec<u8>,
}

impl Peer {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream, received: Vec::new() }
    }

    /// Takes a connection over as it is.
    pub(crate) fn over(stream: TcpStream) -> Self {
        Self { stream, received: Vec::new() }
    }

    /// Makes a second handle on the connection, to read while this one sends.
    pub(crate) fn reader(&self) -> Self {
        Self { stream: self.stream.try_clone().unwrap(), received: Vec::new() }
    }

    /// Returns the address the server sees.
    pub(crate) fn local_address(&self) -> SocketAddr {
        self.stream.local_addr().unwrap()
    }

    /// Sends bytes as they are.
    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends as much as the server takes; false when it has closed.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Sends until the server has taken nothing for `patience`, or closed; returns how much it took.
    pub(crate) fn send_until_stuck(&mut self, bytes: &[u8], patience: Duration) -> usize {
        self.stream.set_write_timeout(Some(patience)).unwrap();
        let mut sent = 0;
        while sent < bytes.len() {
            match self.stream.write(&bytes[sent..]) {
                Ok(count) => sent += count,
                Err(_) => break,
            }
        }
        self.stream.set_write_timeout(Some(PATIENCE)).unwrap();
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

    /// Reads one whole reply to anything but HEAD.
    #[track_caller]
    pub(crate) fn reply(&mut self) -> Reply {
        self.reply_to("GET")
    }

    /// Reads one whole reply.
    #[track_caller]
    pub(crate) fn reply_to(&mut self, method: &str) -> Reply {
        loop {
            if let Some((reply, used)) = Reply::parse(&self.received, method, false) {
                self.received.drain(..used);
                return reply;
            }
            if self.read() == 0 {
                let (reply, used) = Reply::parse(&self.received, method, true)
                    .unwrap_or_else(|| panic!("the server closed within a reply: {}", shown(&self.received)));
                self.received.drain(..used);
                return reply;
            }
        }
    }

    /// Reads until the server sends FIN; returns everything that came.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.read() > 0 {}
        std::mem::take(&mut self.received)
    }

    /// Like [`rest`](Self::rest), for a server that may reset.
    pub(crate) fn try_rest(&mut self) -> io::Result<Vec<u8>> {
        while self.try_read()? > 0 {}
        Ok(std::mem::take(&mut self.received))
    }

    /// Sends a GET and reads its reply; `None` when the server closed cleanly before any byte of it.
    pub(crate) fn try_get(&mut self, path: &str) -> io::Result<Option<Reply>> {
        self.try_ask(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"))
    }

    /// Sends these bytes, if any, and reads a reply; `None` when the server closed cleanly before any byte of it.
    pub(crate) fn try_ask(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<Option<Reply>> {
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

    /// Reads until these bytes have come; returns everything up to their end.
    #[track_caller]
    pub(crate) fn until(&mut self, bytes: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.received.windows(bytes.len()).position(|window| window == bytes) {
                return self.received.drain(..at + bytes.len()).collect();
            }
            assert!(self.read() > 0, "the server closed before: {}", bytes.escape_ascii());
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

    /// Reads this many bytes and throws them away.
    #[track_caller]
    pub(crate) fn until_count(&mut self, bytes: usize) {
        while self.received.len() < bytes {
            assert!(self.read() > 0, "the server closed after {} of {bytes} bytes", self.received.len());
        }
        self.received.drain(..bytes);
    }

    /// Says, without waiting, whether the server has ended the connection or sent something.
    pub(crate) fn has_news(&self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let news = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).unwrap();
        !news.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    /// Reads until FIN and asserts that nothing came.
    #[track_caller]
    pub(crate) fn expect_close(&mut self) {
        let rest = self.rest();
        assert!(rest.is_empty(), "expected a close, got: {}", rest.escape_ascii());
    }

    /// Reads until the server ends the connection, one way or the other; returns what came and which way it was.
    pub(crate) fn end(&mut self) -> (Vec<u8>, End) {
        loop {
            let mut buffer = [0; 64 * 1024];
            match self.stream.read(&mut buffer) {
                Ok(0) => return (std::mem::take(&mut self.received), End::Fin),
                Ok(count) => self.received.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    return (std::mem::take(&mut self.received), End::Reset);
                }
                Err(error) => panic!("the server did not end the connection: {error}"),
            }
        }
    }

    /// Asserts that nothing comes for a while.
    #[track_caller]
    pub(crate) fn expect_silence(&mut self, during: Duration) {
        self.stream.set_read_timeout(Some(during)).unwrap();
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            other => panic!("expected silence, got {other:?} {byte:?}"),
        }
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    }

    /// Sends FIN; reading goes on.
    pub(crate) fn finish(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Ends the connection with a RST.
    pub(crate) fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Bounds what the kernel takes for this side; below a segment (64 KiB on loopback) it trickles.
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

/// Shows the beginning of what came.
fn shown(bytes: &[u8]) -> String {
    let front = bytes[..bytes.len().min(500)].escape_ascii();
    format!("{} bytes, {front}", bytes.len())
}
