//! A client that sends exactly the bytes it is given.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use socket2::SockRef;

use super::{PATIENCE, Reply};

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
                    .unwrap_or_else(|| panic!("the server closed within a reply: {}", self.received.escape_ascii()));
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
        self.stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes())?;
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

    /// Reads until FIN and asserts that nothing came.
    #[track_caller]
    pub(crate) fn expect_close(&mut self) {
        let rest = self.rest();
        assert!(rest.is_empty(), "expected a close, got: {}", rest.escape_ascii());
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

    /// Makes the kernel take as little as it may for this side.
    pub(crate) fn shrink_receive_buffer(&self) {
        SockRef::from(&self.stream).set_recv_buffer_size(2048).unwrap();
    }

    #[track_caller]
    fn read(&mut self) -> usize {
        self.try_read().unwrap_or_else(|error| {
            panic!("reading failed: {error}; so far: {}", self.received.escape_ascii());
        })
    }

    fn try_read(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 64 * 1024];
        let count = self.stream.read(&mut buffer)?;
        self.received.extend_from_slice(&buffer[..count]);
        Ok(count)
    }
}
