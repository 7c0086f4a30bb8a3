//! The socket that a handler has.

use std::{
    cell::RefCell,
    fmt,
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll},
};

use super::{CloseFrame, Closed, Code, Message, Outgoing, ProtocolError, Source, State, TrySendError};

/// One WebSocket. It belongs to its connection's shard; [`split`](Self::split) it to send and receive in two futures.
pub struct Socket {
    sender: Sender,
    receiver: Receiver,
    protocol: Option<String>,
}

impl Socket {
    pub(super) fn new(state: Rc<RefCell<State>>, protocol: Option<String>) -> Self {
        Self { sender: Sender(state.clone()), receiver: Receiver(state), protocol }
    }

    /// Returns the subprotocol that was agreed on.
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// Waits for the next message: see [`Receiver::recv`].
    ///
    /// # Errors
    ///
    /// As [`Receiver::recv`].
    ///
    /// # Cancel safety
    ///
    /// No message is lost when the future is dropped.
    pub async fn recv(&mut self) -> Option<Result<Message, ProtocolError>> {
        self.receiver.recv().await
    }

    /// Sends a message, once there is room for it: see [`Sender::send`].
    ///
    /// # Errors
    ///
    /// As [`Sender::send`].
    ///
    /// # Cancel safety
    ///
    /// The message is not sent when the future is dropped before it ends.
    pub async fn send<'a>(&mut self, message: impl Into<Outgoing<'a>>) -> Result<(), Closed> {
        self.sender.send(message).await
    }

    /// Sends a message if there is room for it: see [`Sender::try_send`].
    ///
    /// # Errors
    ///
    /// As [`Sender::try_send`].
    pub fn try_send<'a>(&mut self, message: impl Into<Outgoing<'a>>) -> Result<(), TrySendError<'a>> {
        self.sender.try_send(message)
    }

    /// Says goodbye: see [`Sender::close`].
    ///
    /// # Errors
    ///
    /// As [`Sender::close`].
    pub fn close(&mut self, code: Code, reason: &str) -> Result<(), Closed> {
        self.sender.close(code, reason)
    }

    /// Sends what a source gives, beside what the handler sends: see [`Sender::attach`].
    pub fn attach(&mut self, source: impl Source + 'static) {
        self.sender.attach(source);
    }

    /// Returns the peer's Close, once [`recv`](Self::recv) has returned `None` because of it.
    pub fn peer_close(&self) -> Option<CloseFrame> {
        self.receiver.peer_close()
    }

    /// Parts it in two. The socket closes when its handler returns, not when a half is dropped.
    pub fn split(self) -> (Sender, Receiver) {
        (self.sender, self.receiver)
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("protocol", &self.protocol).finish_non_exhaustive()
    }
}

/// The half of a socket that sends.
pub struct Sender(Rc<RefCell<State>>);

impl Sender {
    /// Sends a message: a text, bytes, a [`Message`] or a [`Prepared`](super::Prepared). It leaves with everything else
    /// that is sent in the same turn of the shard.
    ///
    /// Waits while it does not fit into what may wait for the client
    /// ([`Limits::ws_outbound_bytes`](crate::Limits::ws_outbound_bytes)); when nothing waits, it always fits.
    ///
    /// # Errors
    ///
    /// The socket is closing, by whichever side.
    ///
    /// # Cancel safety
    ///
    /// The message is not sent when the future is dropped before it ends.
    pub async fn send<'a>(&mut self, message: impl Into<Outgoing<'a>>) -> Result<(), Closed> {
        let mut message = Some(message.into());
        poll_fn(|cx| self.0.borrow_mut().poll_send(&mut message, cx)).await
    }

    /// Sends a message if it fits into what may wait for the client.
    ///
    /// # Errors
    ///
    /// It does not fit, which is counted (`windlass_websocket_full_total`), or the socket is closing.
    pub fn try_send<'a>(&mut self, message: impl Into<Outgoing<'a>>) -> Result<(), TrySendError<'a>> {
        let mut state = self.0.borrow_mut();
        let sent = state.try_send(message.into());
        if matches!(sent, Err(TrySendError::Full(_))) {
            state.count_full();
        }
        sent
    }

    /// Says goodbye behind what was sent; a reason longer than 123 bytes is cut. Nothing can be sent from here on. What
    /// the client sent before it heard of it still comes by [`Receiver::recv`].
    ///
    /// Returning from the handler does the same, with code 1000.
    ///
    /// # Errors
    ///
    /// The socket is closing already.
    pub fn close(&mut self, code: Code, reason: &str) -> Result<(), Closed> {
        self.0.borrow_mut().close(code, reason)
    }

    /// Sends what a source gives, until it ends. Its messages have a bound of their own and do not wait behind one that
    /// the handler cannot send; each side stays in order, and no message is broken into by another.
    pub fn attach(&mut self, source: impl Source + 'static) {
        self.0.borrow_mut().attach(Box::new(source));
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

/// The half of a socket that receives. Once it is dropped, what comes is thrown away.
pub struct Receiver(Rc<RefCell<State>>);

impl Receiver {
    /// Waits for the next message; `None` when the client has closed the socket, or it is over for another reason.
    ///
    /// While no message is taken nothing more is read from the client but what is on its way: it has to wait.
    ///
    /// # Errors
    ///
    /// The client broke the protocol or a limit. Nothing comes after that.
    ///
    /// # Cancel safety
    ///
    /// No message is lost when the future is dropped.
    pub async fn recv(&mut self) -> Option<Result<Message, ProtocolError>> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Polls for the next message.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Message, ProtocolError>>> {
        self.0.borrow_mut().poll_recv(cx)
    }

    /// Returns the peer's Close, once [`recv`](Self::recv) has returned `None` because of it.
    pub fn peer_close(&self) -> Option<CloseFrame> {
        self.0.borrow().peer_close()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.0.borrow_mut().receive_no_more();
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}
