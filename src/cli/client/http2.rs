//! HTTP/2 connections of a client.

use std::future::{Future, poll_fn};

use ::h2::{
    RecvStream,
    client::{Builder, SendRequest},
};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};

use super::fault::{Fault, Kind};

/// Flow-control windows of a stream and of a connection, so large that the server never waits for them.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 1 << 26;

/// Sends requests on one connection. Clones share the connection.
#[derive(Clone, Debug)]
pub struct Sender(SendRequest<Bytes>);

/// Starts HTTP/2 on a stream. Returns the sender and a future that drives the connection until its end. An
/// error of the connection is reported to each of its requests.
///
/// # Errors
///
/// The server closed the connection, or does not speak HTTP/2.
pub async fn start<S>(stream: S) -> Result<(Sender, impl Future<Output = ()> + use<S>), Fault>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut builder = Builder::new();
    builder.initial_window_size(STREAM_WINDOW_BYTES).initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    builder.enable_push(false);
    let (sender, connection) = builder.handshake(stream).await.map_err(|error| fault(&error))?;
    let drive = async {
        // The requests report its error.
        let _ = connection.await;
    };
    Ok((Sender(sender), drive))
}

impl Sender {
    /// Waits until the server permits another stream.
    ///
    /// # Errors
    ///
    /// The connection has ended.
    pub async fn ready(&mut self) -> Result<(), Fault> {
        poll_fn(|cx| self.0.poll_ready(cx)).await.map_err(|error| fault(&error))
    }

    /// Sends a request and waits for the head of the response.
    ///
    /// # Errors
    ///
    /// The stream or the connection failed.
    pub async fn request(&mut self, head: Request<()>, body: Bytes) -> Result<Reply, Fault> {
        let has_body = !body.is_empty();
        let (response, mut sending) = self.0.send_request(head, !has_body).map_err(|error| fault(&error))?;
        if has_body {
            sending.send_data(body, true).map_err(|error| fault(&error))?;
        }
        let (head, body) = response.await.map_err(|error| fault(&error))?.into_parts();
        Ok(Reply { head: Response::from_parts(head, ()), body })
    }
}

/// Response whose head has arrived.
#[derive(Debug)]
pub struct Reply {
    /// Status and header fields.
    pub head: Response<()>,
    body: RecvStream,
}

impl Reply {
    /// Waits for the next piece of the body. Returns `None` at its end.
    ///
    /// # Errors
    ///
    /// The stream or the connection failed.
    pub async fn data(&mut self) -> Result<Option<Bytes>, Fault> {
        let data = self.body.data().await.transpose().map_err(|error| fault(&error))?;
        if let Some(data) = &data {
            self.body.flow_control().release_capacity(data.len()).map_err(|error| fault(&error))?;
        }
        Ok(data)
    }

    /// Waits for the trailers, after the end of the body.
    ///
    /// # Errors
    ///
    /// The stream or the connection failed.
    pub async fn trailers(&mut self) -> Result<Option<HeaderMap>, Fault> {
        self.body.trailers().await.map_err(|error| fault(&error))
    }
}

fn fault(error: &::h2::Error) -> Fault {
    let kind = if error.is_io() {
        Kind::Io
    } else if error.is_go_away() || error.is_reset() {
        Kind::Closed
    } else {
        Kind::Malformed
    };
    Fault::new(kind, error)
}
