//! A connection of the test client that sends raw bytes.

use std::fmt;

use super::TestClient;
use crate::net::memory::{End, PeerPipe};

/// A connection that sends raw bytes, from the client's side. Dropping it resets the connection.
pub struct TestConnection {
    client: TestClient,
    pipe: PeerPipe,
}

impl TestConnection {
    pub(super) fn new(client: TestClient, pipe: PeerPipe) -> Self {
        Self { client, pipe }
    }

    /// Sends bytes, and runs the server until it is idle.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.pipe.borrow_mut().input.extend_from_slice(bytes.as_ref());
        self.run();
    }

    /// Sends FIN, and runs the server until it is idle.
    #[track_caller]
    pub fn finish(&mut self) {
        self.pipe.borrow_mut().ended = true;
        self.run();
    }

    /// Stops reading after this many more bytes. `None` reads without limit, which is the default.
    #[track_caller]
    pub fn read_only(&mut self, bytes: Option<usize>) {
        self.pipe.borrow_mut().room = bytes;
        self.run();
    }

    /// Returns the bytes received since the last call. Does not wait.
    #[track_caller]
    pub fn received(&mut self) -> Vec<u8> {
        self.client.run_due();
        std::mem::take(&mut self.pipe.borrow_mut().output)
    }

    /// Waits until these bytes are received. Returns all bytes up to their end.
    ///
    /// # Panics
    ///
    /// Panics if the connection ends without them, or if they do not arrive within 10 s.
    #[track_caller]
    pub fn until(&mut self, bytes: impl AsRef<[u8]>) -> Vec<u8> {
        let bytes = bytes.as_ref();
        let pipe = self.pipe.clone();
        self.client.wait("the expected bytes", || {
            let mut pipe = pipe.borrow_mut();
            let at = pipe.output.windows(bytes.len()).position(|window| window == bytes);
            let received = pipe.output.escape_ascii();
            assert!(at.is_some() || pipe.end.is_none(), "the connection ended: {received}");
            at.map(|at| pipe.output.drain(..at + bytes.len()).collect())
        })
    }

    /// Waits for bytes and returns those that have arrived. Returns `None` if the connection has ended.
    #[cfg(feature = "ws")]
    #[track_caller]
    pub(super) fn next_bytes(&mut self) -> Option<Vec<u8>> {
        let pipe = self.pipe.clone();
        self.client.wait("a message or the end", || {
            let mut pipe = pipe.borrow_mut();
            let bytes = std::mem::take(&mut pipe.output);
            (!bytes.is_empty() || pipe.end.is_some()).then(|| Some(bytes).filter(|bytes| !bytes.is_empty()))
        })
    }

    /// Returns how the server ended the connection, or `None` while it is open.
    #[track_caller]
    pub fn end(&self) -> Option<TestEnd> {
        self.client.run_due();
        self.pipe.borrow().end.map(|end| match end {
            End::Fin => TestEnd::Fin,
            End::Reset => TestEnd::Reset,
        })
    }

    #[track_caller]
    fn run(&self) {
        self.client.wake();
        self.client.run_due();
    }
}

impl fmt::Debug for TestConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestConnection").finish_non_exhaustive()
    }
}

impl Drop for TestConnection {
    fn drop(&mut self) {
        self.client.reset(&self.pipe);
    }
}

/// The end of a [`TestConnection`], as the server made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestEnd {
    /// Orderly end: the client has received all that the server sent.
    Fin,
    /// Reset: a response in progress is incomplete.
    Reset,
}
