//! The socket that a handler receives.

use std::{
    cell::RefCell,
    fmt,
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll},
};

use super::{
    CloseFrame, Closed, Code, Message, Outgoing, ProtocolError, Source, TrySendError, state::SocketState,
};

/// A WebSocket, from the handler's side.
///
/// It stays on its connection's shard. [`split`](Self::split) it to send and receive in two futures.
pub struct Socket {
    sender: Sender,
    receiver: Receiver,
    protocol: Option<String>,
}

impl Socket {
    pub(super) fn new(state: Rc<RefCell<SocketState>>, protocol: Option<String>) -> Self {
        Self { sender: Sender(state.clone()), receiver: Receiver(state), protocol }
    }

    /// Returns the negotiated subprotocol; `None` without one.
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// Receives the next message. See [`Receiver::recv`].
    ///
    /// # Errors
    ///
    /// See [`Receiver::recv`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no message.
    pub async fn recv(&mut self) -> Option<Result<Message, ProtocolError>> {
        self.receiver.recv().await
    }

    /// Sends a message. Waits for room. See [`Sender::send`].
    ///
    /// # Errors
    ///
    /// See [`Sender::send`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the message is not sent.
    pub async fn send<'a>(&mut self, message: impl Into<Outgoing<'a>>) -> Result<(), Closed> {
        self.sender.send(message).await
    }

    /// Sends a message if there is room for it. See [`Sender::try_send`].
    ///
    /// # Errors
    ///
    /// See [`Sender::try_send`].
    pub fn try_send<'a>(&mut self, message: impl Into<Outgoing<'a>>) -> Result<(), TrySendError<'a>> {
        self.sender.try_send(message)
    }

    /// Closes the socket. See [`Sender::close`].
    ///
    /// # Errors
    ///
    /// See [`Sender::close`].
    pub fn close(&mut self, code: Code, reason: &str) -> Result<(), Closed> {
        self.sender.close(code, reason)
    }

    /// Sends the messages of a source in addition to the handler's own. See [`Sender::attach`].
    pub fn attach(&mut self, source: impl Source + 'static) {
        self.sender.attach(source);
    }

    /// Returns the Close frame that the peer has sent, once the server has read it, otherwise `None`. From
    /// then on [`recv`](Self::recv) returns `None`.
    pub fn peer_close(&self) -> Option<CloseFrame> {
        self.receiver.peer_close()
    }

    /// Splits the socket into its sending and its receiving half.
    ///
    /// Dropping a half does not close the socket. It is closed when the handler returns.
    pub fn split(self) -> (Sender, Receiver) {
        (self.sender, self.receiver)
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("protocol", &self.protocol).finish_non_exhaustive()
    }
}

/// The sending half of a socket.
pub struct Sender(Rc<RefCell<SocketState>>);

impl Sender {
    /// Sends a message: a text, bytes, a [`Message`] or a [`Prepared`](super::Prepared).
    ///
    /// Returns once the message is in the outbound queue. The queue is sent at the end of this turn of the
    /// shard's event loop, in as few system calls as possible. Waits while the queue has no room for the
    /// message ([`Limits::ws_outbound_bytes`](crate::Limits::ws_outbound_bytes)). An empty queue accepts a
    /// message of any size.
    ///
    /// # Errors
    ///
    /// The socket is closing.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the message is not sent.
    pub async fn send<'a>(&mut self, message: impl Into<Outgoing<'a>>) -> Result<(), Closed> {
        let mut message = Some(message.into());
        poll_fn(|cx| self.0.borrow_mut().poll_send(&mut message, cx)).await
    }

    /// Sends a message if the outbound queue has room for it.
    ///
    /// # Errors
    ///
    /// - [`TrySendError::Full`] if the queue has no room. Counted as `windlass_websocket_full_total`.
    /// - [`TrySendError::Closed`] if the socket is closing.
    pub fn try_send<'a>(&mut self, message: impl Into<Outgoing<'a>>) -> Result<(), TrySendError<'a>> {
        let mut state = self.0.borrow_mut();
        let sent = state.try_send(message.into());
        if matches!(sent, Err(TrySendError::Full(_))) {
            state.count_full();
        }
        sent
    }

    /// Starts the closing handshake. The Close frame follows all messages that were sent before.
    ///
    /// Nothing can be sent afterwards. [`Receiver::recv`] still returns the messages that the client sends
    /// before it receives the Close frame. A reason longer than 123 bytes is truncated.
    ///
    /// A handler that returns closes its socket in the same way, with code 1000.
    ///
    /// # Errors
    ///
    /// The socket is already closing.
    pub fn close(&mut self, code: Code, reason: &str) -> Result<(), Closed> {
        self.0.borrow_mut().close(code, reason)
    }

    /// Sends the messages of a source in addition to the handler's own, until the source ends.
    ///
    /// The source has its own bounded queue, so its messages do not wait for the handler's. Each side stays
    /// in order.
    pub fn attach(&mut self, source: impl Source + 'static) {
        self.0.borrow_mut().attach(Box::new(source));
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

/// The receiving half of a socket. Messages that arrive after it is dropped are discarded.
pub struct Receiver(Rc<RefCell<SocketState>>);

impl Receiver {
    /// Receives the next message. Returns `None` when the socket is closed.
    ///
    /// The server stops reading from the client while a message is waiting to be received, so a slow handler
    /// slows its client down.
    ///
    /// # Errors
    ///
    /// The client violated the protocol or a limit. The next call returns `None`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no message.
    pub async fn recv(&mut self) -> Option<Result<Message, ProtocolError>> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Polls for the next message. See [`recv`](Self::recv).
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Message, ProtocolError>>> {
        self.0.borrow_mut().poll_recv(cx)
    }

    /// Returns the Close frame that the peer has sent, once the server has read it, otherwise `None`. From
    /// then on [`recv`](Self::recv) returns `None`.
    pub fn peer_close(&self) -> Option<CloseFrame> {
        self.0.borrow().peer_close()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.0.borrow_mut().drop_receiver();
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}
