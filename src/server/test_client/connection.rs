//! A connection of the test client on which bytes are sent as they are.

use super::TestClient;
use crate::net::memory::{End, PeerPipe};

/// The client's side of a connection, on which bytes are sent as they are. Dropped, the connection is reset.
pub struct TestConnection {
    client: TestClient,
    pipe: PeerPipe,
}

impl TestConnection {
    pub(super) fn new(client: TestClient, pipe: PeerPipe) -> Self {
        Self { client, pipe }
    }

    /// Sends bytes.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.pipe.borrow_mut().input.extend_from_slice(bytes.as_ref());
        self.run();
    }

    /// Sends nothing more: a FIN.
    #[track_caller]
    pub fn finish(&mut self) {
        self.pipe.borrow_mut().ended = true;
        self.run();
    }

    /// Stops reading once so many more bytes have come. `None`: reads everything, as a new connection does.
    #[track_caller]
    pub fn read_only(&mut self, bytes: Option<usize>) {
        self.pipe.borrow_mut().room = bytes;
        self.run();
    }

    /// Takes what has come since the last call, without waiting.
    #[track_caller]
    pub fn received(&mut self) -> Vec<u8> {
        self.client.run_due();
        std::mem::take(&mut self.pipe.borrow_mut().output)
    }

    /// Waits until these bytes have come; takes everything up to their end.
    ///
    /// # Panics
    ///
    /// The connection ends without them, or they do not come within 10 s.
    #[track_caller]
    pub fn until(&mut self, bytes: impl AsRef<[u8]>) -> Vec<u8> {
        let bytes = bytes.as_ref();
        let pipe = self.pipe.clone();
        self.client.wait("what was waited for", || {
            let mut pipe = pipe.borrow_mut();
            let at = pipe.output.windows(bytes.len()).position(|window| window == bytes);
            let got = pipe.output.escape_ascii();
            assert!(at.is_some() || pipe.end.is_none(), "the connection ended: {got}");
            at.map(|at| pipe.output.drain(..at + bytes.len()).collect())
        })
    }

    /// Returns how the server ended the connection; `None` while it is open.
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
        self.client.0.borrow().connector.wake();
        self.client.run_due();
    }
}

impl std::fmt::Debug for TestConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestConnection").finish_non_exhaustive()
    }
}

impl Drop for TestConnection {
    fn drop(&mut self) {
        self.client.reset(&self.pipe);
    }
}

/// How a server ended a [`TestConnection`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestEnd {
    /// In order: the client has received all that was sent.
    Fin,
    /// Cut: a reply in progress is incomplete.
    Reset,
}
