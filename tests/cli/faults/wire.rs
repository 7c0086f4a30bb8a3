//! A connection that may break at any byte, but must never deliver wrong data.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
};

use crate::common::TIMEOUT;

/// The connection ended before everything was received.
#[derive(Debug)]
pub(super) struct Broken;

/// Converts an error into a broken connection. A timeout fails the test, because a cut is always reported.
pub(super) fn broken(error: &io::Error) -> Broken {
    assert!(
        !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        "the server must answer or close: {error}"
    );
    Broken
}

/// A complete reply.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: String,
}

pub(super) struct Wire {
    stream: TcpStream,
    input: Vec<u8>,
}

impl Wire {
    pub(super) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.set_write_timeout(Some(TIMEOUT)).unwrap();
        Self { stream, input: Vec::new() }
    }

    pub(super) fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), Broken> {
        self.stream.write_all(bytes.as_ref()).map_err(|error| broken(&error))
    }

    fn receive(&mut self) -> Result<(), Broken> {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => Err(Broken),
            Ok(count) => {
                self.input.extend_from_slice(&buffer[..count]);
                Ok(())
            }
            Err(error) => Err(broken(&error)),
        }
    }

    /// Reads up to the end of `mark`.
    pub(super) fn until(&mut self, mark: &[u8]) -> Result<String, Broken> {
        loop {
            if let Some(at) = self.input.windows(mark.len()).position(|window| window == mark) {
                return Ok(text(self.input.drain(..at + mark.len())));
            }
            self.receive()?;
        }
    }

    fn read_exactly(&mut self, bytes: usize) -> Result<String, Broken> {
        while self.input.len() < bytes {
            self.receive()?;
        }
        Ok(text(self.input.drain(..bytes)))
    }

    /// Reads a reply that has a `Content-Length`.
    pub(super) fn reply(&mut self) -> Result<Reply, Broken> {
        let head = self.until(b"\r\n\r\n")?;
        assert!(head.starts_with("HTTP/1.1 "), "expected a status line, got {head:?}");
        let head = head.to_ascii_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .expect("expected a content length");
        Ok(Reply { status: head[9..12].parse().unwrap(), body: self.read_exactly(length.parse().unwrap())? })
    }

    /// Reads a chunk; the last one is empty.
    pub(super) fn chunk(&mut self) -> Result<String, Broken> {
        let size = self.until(b"\r\n")?;
        let size = usize::from_str_radix(size.trim_end(), 16)
            .unwrap_or_else(|_| panic!("expected a chunk size, got {size:?}"));
        let mut chunk = self.read_exactly(size + 2)?;
        assert_eq!(chunk.split_off(size), "\r\n");
        Ok(chunk)
    }

    /// Returns the stream for use with another protocol.
    #[cfg(feature = "ws")]
    pub(super) fn into_stream(self) -> TcpStream {
        assert!(self.input.is_empty(), "unexpected bytes: {}", self.input.escape_ascii());
        self.stream
    }
}

fn text(bytes: impl Iterator<Item = u8>) -> String {
    String::from_utf8(bytes.collect()).expect("the server sends only text here")
}
