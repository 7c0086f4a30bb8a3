//! The HTTP/2 engine: the crate `h2`, driven in memory. The only file that names it, so that another can
//! replace it.
//!
//! It never waits and needs no waker of its own: whoever touches one of its handles calls [`Engine::next`]
//! afterwards, which reads what came, writes what is due and returns a request, until there is none. A
//! handle's waker is woken within that call only.

use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
};

use ::h2::{
    Reason, RecvStream, SendStream,
    server::{Builder, Connection, Handshake, SendResponse},
};
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, request::Parts};

use super::pipe::Pipe;
use crate::limits::Limits;

/// Error code that ends a stream or a connection (RFC 9113 §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    NoError,
    Protocol,
    Internal,
    Cancel,
    Calm,
}

impl From<Code> for Reason {
    fn from(code: Code) -> Self {
        match code {
            Code::NoError => Self::NO_ERROR,
            Code::Protocol => Self::PROTOCOL_ERROR,
            Code::Internal => Self::INTERNAL_ERROR,
            Code::Cancel => Self::CANCEL,
            Code::Calm => Self::ENHANCE_YOUR_CALM,
        }
    }
}

/// Event of the engine.
pub(super) enum Event {
    /// A request's head.
    Request(Box<Accepted>),
    /// Nothing until something touches it.
    Idle,
    /// The connection is over, its last bytes are written; with the peer's fault, if it was one.
    Over(Option<&'static str>),
}

/// A request that came.
pub(super) struct Accepted {
    /// Its stream; never the same again on this connection.
    pub(super) id: u32,
    pub(super) head: Parts,
    /// None: it has no body.
    pub(super) body: Option<Inbound>,
    pub(super) reply: Responder,
    /// Protocol that an extended CONNECT asks for (RFC 8441 §4).
    pub(super) protocol: Option<Box<str>>,
}

enum State {
    Greeting(Handshake<Pipe, Bytes>),
    Open(Connection<Pipe, Bytes>),
    Over,
}

/// One connection's engine.
pub(super) struct Engine(State);

impl Engine {
    pub(super) fn new(limits: &Limits, pipe: Pipe) -> Self {
        let http2 = &limits.http2;
        let mut builder = Builder::new();
        builder
            .max_concurrent_streams(http2.streams)
            .initial_window_size(http2.stream_window_bytes)
            .initial_connection_window_size(http2.connection_window_bytes)
            .max_header_list_size(http2.header_list_bytes)
            .header_table_size(http2.header_table_bytes)
            .max_pending_accept_reset_streams(http2.pending_resets)
            .max_local_error_reset_streams(Some(http2.local_resets))
            .max_send_buffer_size(http2.stream_buffer_bytes);
        #[cfg(feature = "ws")]
        builder.enable_connect_protocol();
        Self(State::Greeting(builder.handshake(pipe)))
    }

    /// Returns `true` until the peer's preface has come.
    pub(super) fn is_greeting(&self) -> bool {
        matches!(self.0, State::Greeting(_))
    }

    /// Reads what came and writes what is due; returns the next request.
    pub(super) fn next(&mut self) -> Event {
        let mut cx = Context::from_waker(Waker::noop());
        if let State::Greeting(handshake) = &mut self.0 {
            match Pin::new(handshake).poll(&mut cx) {
                Poll::Pending => return Event::Idle,
                Poll::Ready(Ok(connection)) => self.0 = State::Open(connection),
                Poll::Ready(Err(error)) => return self.over(Some(&error)),
            }
        }
        let State::Open(connection) = &mut self.0 else { return Event::Over(None) };
        match connection.poll_accept(&mut cx) {
            Poll::Pending => Event::Idle,
            Poll::Ready(Some(Ok((request, reply)))) => {
                let (mut head, body) = request.into_parts();
                let protocol =
                    head.extensions.remove::<::h2::ext::Protocol>().map(|asked| asked.as_str().into());
                let id = reply.stream_id().as_u32();
                let body = (!body.is_end_stream()).then_some(Inbound(body));
                Event::Request(Box::new(Accepted { id, head, body, reply: Responder(reply), protocol }))
            }
            Poll::Ready(Some(Err(error))) => self.over(Some(&error)),
            Poll::Ready(None) => self.over(None),
        }
    }

    fn over(&mut self, error: Option<&::h2::Error>) -> Event {
        self.0 = State::Over;
        Event::Over(error.map(fault))
    }

    /// Asks the peer to start no further stream, and ends once the last has ended: GOAWAY in two steps (RFC
    /// 9113 §6.8).
    pub(super) fn leave(&mut self) {
        if let State::Open(connection) = &mut self.0 {
            connection.graceful_shutdown();
        }
    }

    /// Ends the connection with GOAWAY; its streams are over.
    pub(super) fn quit(&mut self, code: Code) {
        if let State::Open(connection) = &mut self.0 {
            connection.abrupt_shutdown(code.into());
        }
    }
}

/// Names what went wrong, for the metrics.
fn fault(error: &::h2::Error) -> &'static str {
    match error.reason() {
        _ if error.is_remote() => "h2_peer_goaway",
        Some(Reason::PROTOCOL_ERROR) => "h2_protocol_error",
        Some(Reason::FLOW_CONTROL_ERROR) => "h2_flow_control_error",
        Some(Reason::FRAME_SIZE_ERROR) => "h2_frame_size_error",
        Some(Reason::COMPRESSION_ERROR) => "h2_compression_error",
        Some(Reason::STREAM_CLOSED) => "h2_stream_closed",
        Some(Reason::ENHANCE_YOUR_CALM) => "h2_enhance_your_calm",
        _ => "h2_other_error",
    }
}

/// The stream is over: the peer reset it, or the connection ended.
#[derive(Debug)]
pub(super) struct Gone;

/// Answers one request.
pub(super) struct Responder(SendResponse<Bytes>);

impl Responder {
    /// Tells the peer to send its body (RFC 9110 §15.2.1).
    pub(super) fn proceed(&mut self) {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::CONTINUE;
        // A peer that has gone needs no word.
        let _ = self.0.send_informational(response);
    }

    /// Sends the head; `end`: no body follows.
    pub(super) fn send(mut self, head: Response<()>, end: bool) -> Result<Outbound, Gone> {
        self.0.send_response(head, end).map(Outbound).map_err(|_| Gone)
    }

    pub(super) fn reset(mut self, code: Code) {
        self.0.send_reset(code.into());
    }

    /// Returns `true` if the stream is over. Otherwise the waker is woken when it is.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> bool {
        self.0.poll_reset(cx).is_ready()
    }
}

/// A reply's body on its way out.
pub(super) struct Outbound(SendStream<Bytes>);

impl Outbound {
    /// Asks for room for so many bytes, and returns what there is of it.
    pub(super) fn reserve(&mut self, bytes: usize) -> usize {
        self.0.reserve_capacity(bytes);
        self.0.capacity()
    }

    /// Waits for room for some of so many bytes.
    pub(super) fn poll_some(&mut self, bytes: usize, cx: &mut Context<'_>) -> Poll<Result<usize, Gone>> {
        let mut room = self.reserve(bytes.max(1));
        while room == 0 {
            match self.poll_room(cx) {
                Poll::Ready(Ok(more)) => room = more,
                other => return other,
            }
        }
        Poll::Ready(Ok(room))
    }

    /// Waits for more room than there was.
    pub(super) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Gone>> {
        self.0.poll_capacity(cx).map(|room| room.and_then(Result::ok).ok_or(Gone))
    }

    /// Sends bytes there is room for; `end`: they are the last.
    pub(super) fn send(&mut self, bytes: Bytes, end: bool) -> Result<(), Gone> {
        self.0.send_data(bytes, end).map_err(|_| Gone)
    }

    /// Ends the body with trailers.
    pub(super) fn finish_with(&mut self, trailers: HeaderMap) -> Result<(), Gone> {
        self.0.send_trailers(trailers).map_err(|_| Gone)
    }

    pub(super) fn reset(mut self, code: Code) {
        self.0.send_reset(code.into());
    }

    /// Returns `true` if the stream is over. Otherwise the waker is woken when it is.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> bool {
        self.0.poll_reset(cx).is_ready()
    }
}

/// A request's body on its way in. Dropped early, what still comes of it is thrown away.
pub(super) struct Inbound(RecvStream);

/// A piece of a request's body.
pub(super) enum Piece {
    Data(Bytes),
    /// Nothing follows.
    End(Option<HeaderMap>),
}

impl Inbound {
    /// Takes the next piece. What it counts in the windows stays taken until [`release`](Self::release).
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, Gone>> {
        match self.0.poll_data(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(data))) => Poll::Ready(Ok(Piece::Data(data))),
            Poll::Ready(Some(Err(_))) => Poll::Ready(Err(Gone)),
            Poll::Ready(None) => self.0.poll_trailers(cx).map(|end| end.map(Piece::End).map_err(|_| Gone)),
        }
    }

    /// Lets the peer send so many bytes more.
    pub(super) fn release(&mut self, bytes: usize) {
        // More than was received is never released.
        let _ = self.0.flow_control().release_capacity(bytes);
    }
}
