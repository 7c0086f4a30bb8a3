//! A response whose body is read in parts.

use std::fmt;

use bytes::Bytes;
use http::Response;

use super::{
    TestClient,
    http::{BodyPart, Head, take_body_part},
};
use crate::{net::memory::PeerPipe, proto::h1};

/// A response whose head has arrived. Dropping it resets the connection.
pub struct TestStream {
    client: TestClient,
    head: Response<()>,
    /// Decoder of the body; `None` if the body ends with the connection.
    decoder: Option<h1::Body>,
    keep_alive: bool,
    /// Connection of the response; `None` once it is released for another request.
    pipe: Option<PeerPipe>,
}

impl TestStream {
    pub(super) fn new(client: TestClient, head: Head, pipe: PeerPipe) -> Self {
        Self {
            client,
            decoder: head.framing.map(|framing| h1::Body::new(framing, &h1::Limits::default())),
            keep_alive: head.keep_alive,
            head: head.response,
            pipe: Some(pipe),
        }
    }

    /// Reads the body to its end. Returns the response, and the connection if it can serve another request.
    #[track_caller]
    pub(super) fn into_response(mut self) -> (Response<Bytes>, Option<PeerPipe>) {
        let mut body = Vec::new();
        while let Some(data) = self.next() {
            body.extend_from_slice(&data);
        }
        let pipe = if self.keep_alive { self.pipe.take() } else { None };
        (std::mem::take(&mut self.head).map(|()| body.into()), pipe)
    }

    /// Returns the status and the headers.
    pub fn head(&self) -> &Response<()> {
        &self.head
    }

    /// Waits for the next bytes of the body. Returns `None` at its end.
    ///
    /// # Panics
    ///
    /// Panics if the body is incomplete, or if nothing arrives within 10 s.
    #[track_caller]
    #[expect(clippy::should_implement_trait, reason = "an iterator would hide that it waits and panics")]
    pub fn next(&mut self) -> Option<Bytes> {
        let Self { client, decoder, pipe, .. } = self;
        let pipe = pipe.as_ref()?;
        match client.wait("more of the body", || take_body_part(decoder.as_mut(), pipe)) {
            BodyPart::Data(data) => Some(data),
            BodyPart::End => None,
        }
    }

    /// Waits until the body contains this text. Returns the body since the last call, up to the part with the
    /// text.
    ///
    /// # Panics
    ///
    /// Panics if the body ends without the text, or if it does not arrive within 10 s.
    #[track_caller]
    pub fn until(&mut self, text: &str) -> String {
        let mut seen = String::new();
        while !seen.contains(text) {
            let data = self.next();
            let Some(data) = data else { panic!("the body ended without {text:?}: {seen:?}") };
            seen += &String::from_utf8_lossy(&data);
        }
        seen
    }
}

impl fmt::Debug for TestStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestStream").field("head", &self.head).finish_non_exhaustive()
    }
}

impl Drop for TestStream {
    fn drop(&mut self) {
        if let Some(pipe) = &self.pipe {
            self.client.reset(pipe);
        }
    }
}
