//! A connection that may end at any byte, and must never lie.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
};

use crate::common::PATIENCE;

/// The connection ended before all was there.
#[derive(Debug)]
pub(super) struct Broken;

/// Takes an error for an end, unless it says that nothing happened at all: on a connection that is cut somebody is told.
pub(super) fn broken(error: &io::Error) -> Broken {
    assert!(!matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "silence: {error}");
    Broken
}

/// One whole reply.
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
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
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

    /// Reads up to the end of a mark.
    pub(super) fn until(&mut self, mark: &[u8]) -> Result<String, Broken> {
        loop {
            if let Some(at) = self.input.windows(mark.len()).position(|window| window == mark) {
                return Ok(text(self.input.drain(..at + mark.len())));
            }
            self.receive()?;
        }
    }

    fn exactly(&mut self, bytes: usize) -> Result<String, Broken> {
        while self.input.len() < bytes {
            self.receive()?;
        }
        Ok(text(self.input.drain(..bytes)))
    }

    /// Reads a reply whose body has a length.
    pub(super) fn reply(&mut self) -> Result<Reply, Broken> {
        let head = self.until(b"\r\n\r\n")?;
        assert!(head.starts_with("HTTP/1.1 "), "no reply begins so: {head:?}");
        let head = head.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
        Ok(Reply { status: head[9..12].parse().unwrap(), body: self.exactly(length.parse().unwrap())? })
    }

    /// Reads a chunk; the last one is empty.
    pub(super) fn chunk(&mut self) -> Result<String, Broken> {
        let size = self.until(b"\r\n")?;
        let size = usize::from_str_radix(size.trim_end(), 16)
            .unwrap_or_else(|_| panic!("no chunk begins so: {size:?}"));
        let mut chunk = self.exactly(size + 2)?;
        assert_eq!(chunk.split_off(size), "\r\n");
        Ok(chunk)
    }

    /// Gives the connection to somebody who speaks another protocol.
    #[cfg(feature = "ws")]
    pub(super) fn upgraded(self) -> TcpStream {
        assert!(self.input.is_empty(), "bytes nobody asked for: {}", self.input.escape_ascii());
        self.stream
    }
}

fn text(bytes: impl Iterator<Item = u8>) -> String {
    String::from_utf8(bytes.collect()).expect("only text is sent here")
}
