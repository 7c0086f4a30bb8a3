//! The state of a socket, which its connection and its handler share on one shard.
//!
//! ```text
//!  connection ─ bytes ─► read ─► inbox ─────► recv   handler
//!             ◄─ outbox ──────── session ◄──── send
//! ```
//!
//! The inbox holds one message. The connection reads the next one after the handler has received it.

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;

use super::{
    CloseFrame, Closed, Code, Message, Outgoing, ProtocolError, TrySendError,
    scratch::{recycle, with_scratch},
    source::BoxedSource,
    waker_slot::WakerSlot,
};
use crate::{
    metrics::ShardCounters,
    net::{Outbox, outbox::SHARE_MIN_BYTES},
    proto::ws::{self, Closing, Event, Fault, Session},
};

/// Number of queued bytes from which on the answer to a ping or a Close is deferred. A flood of pings then
/// gets one answer, to the last one.
const REPLY_AHEAD_BYTES: usize = 4 * 1024;

/// Result of [`SocketState::read`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ReadEvent {
    /// The input is used up.
    NeedMore,
    /// A message is in the inbox.
    Message,
    /// A ping or a pong. The answer is already written, or deferred.
    Control,
    /// The peer's Close frame.
    Close,
    /// The peer violated the protocol. The rest of the input must be discarded.
    Fault(Fault),
}

/// State of receiving, after the message in the inbox.
#[derive(Debug, Default)]
enum ReceiveState {
    /// More messages may arrive.
    #[default]
    Open,
    /// The client violated the protocol, and the handler has not received the error yet.
    Failed(ProtocolError),
    Ended,
}

/// The wakers of a socket.
pub(crate) struct SocketWakers {
    /// Wakes the connection or the stream that carries the socket.
    pub(crate) connection: Waker,
    /// Wakes the carrier of the socket, which then also polls the handler.
    pub(crate) handler: Waker,
}

/// The state of a socket.
pub(crate) struct SocketState {
    session: Session,
    /// Encoded output. While [`connection_active`](Self::connection_active), it holds the outbox of the
    /// connection, swapped in for the call.
    pub(crate) outbox: Outbox,
    /// Number of bytes that wait for the peer outside `outbox`. Between two calls of the connection it may be
    /// outdated.
    pub(crate) behind_bytes: usize,
    /// Capacity of the outbound queue, bytes.
    outbound_bytes: usize,
    /// Large messages are lent to the outbox: the engine returns their memory.
    lends: bool,
    inbox: Option<Message>,
    receive_state: ReceiveState,
    close: Option<Box<CloseFrame>>,
    receiver: WakerSlot,
    sender: WakerSlot,
    /// Attached sources that the connection has not taken yet.
    pub(crate) attached: Vec<BoxedSource>,
    /// The handler still has the receiving half.
    has_receiver: bool,
    /// The handler can continue. The connection must poll it.
    handler_ready: bool,
    /// The connection is processing the socket, so it needs no wake.
    pub(crate) connection_active: bool,
    connection: Waker,
    handler: Waker,
    counters: Arc<ShardCounters>,
    /// Payload bytes of the messages written so far, for the end hooks.
    pub(crate) sent_bytes: u64,
}

impl SocketState {
    pub(super) fn new(
        session: Session,
        outbound_bytes: usize,
        wakers: SocketWakers,
        counters: Arc<ShardCounters>,
    ) -> Self {
        Self {
            session,
            outbox: Outbox::default(),
            behind_bytes: 0,
            outbound_bytes,
            lends: false,
            inbox: None,
            receive_state: ReceiveState::Open,
            close: None,
            receiver: WakerSlot::default(),
            sender: WakerSlot::default(),
            attached: Vec::new(),
            has_receiver: true,
            handler_ready: false,
            connection_active: true,
            connection: wakers.connection,
            handler: wakers.handler,
            counters,
            sent_bytes: 0,
        }
    }
}

/// The connection's side.
impl SocketState {
    /// Reads the next event from the input and handles it: puts a message into the inbox, answers a ping, or
    /// ends receiving.
    pub(crate) fn read(&mut self, input: &mut &[u8]) -> ReadEvent {
        let event = with_scratch(|scratch| match self.session.receive(input, scratch) {
            Ok(None) => ReadEvent::NeedMore,
            Ok(Some(Event::Text(text))) => {
                self.inbox = Some(Message::Text(std::mem::take(text)));
                ReadEvent::Message
            }
            Ok(Some(Event::Binary(bytes))) => {
                self.inbox = Some(Message::Binary(std::mem::take(bytes)));
                ReadEvent::Message
            }
            Ok(Some(Event::Ping(_) | Event::Pong(_))) => ReadEvent::Control,
            Ok(Some(Event::Close(close))) => {
                self.close = Some(Box::new(CloseFrame { code: close.code, reason: close.reason.to_owned() }));
                ReadEvent::Close
            }
            Err(fault) => ReadEvent::Fault(fault),
        });
        match event {
            ReadEvent::Message => self.deliver(),
            ReadEvent::Control => self.reply(),
            ReadEvent::Close => self.stop_receiving(ReceiveState::Ended),
            ReadEvent::Fault(fault) => self.stop_receiving(ReceiveState::Failed(ProtocolError(fault))),
            ReadEvent::NeedMore => {}
        }
        event
    }

    /// Wakes the receiver for the message in the inbox. Drops the message if there is no receiver.
    fn deliver(&mut self) {
        let bytes = self.inbox.as_ref().map_or(0, Message::len);
        self.counters.ws.received(bytes);
        if self.has_receiver {
            self.handler_ready |= self.receiver.wake(&self.handler);
        } else if let Some(buffer) =
            self.inbox.take().and_then(|message| Outgoing::from(message).into_buffer())
        {
            recycle(buffer);
        }
    }

    fn stop_receiving(&mut self, state: ReceiveState) {
        self.receive_state = state;
        self.handler_ready |= self.receiver.wake(&self.handler);
        // Sending fails from here on, so a waiting sender must be woken too.
        self.handler_ready |= self.sender.wake(&self.handler);
    }

    /// Lends the memory of large messages to the outbox instead of copying them.
    pub(crate) fn lend(&mut self) {
        self.lends = true;
    }

    /// Returns `true` if the connection must poll the handler, once for each time that is needed.
    pub(crate) fn take_handler_ready(&mut self) -> bool {
        std::mem::take(&mut self.handler_ready)
    }

    /// Returns `true` if the inbox is empty, so that the next event can be read.
    pub(crate) fn can_read(&self) -> bool {
        self.inbox.is_none()
    }

    /// Writes the pending Pong and Close frame, if any, unless at least [`REPLY_AHEAD_BYTES`] wait for the
    /// peer.
    pub(crate) fn reply(&mut self) {
        if self.session.has_pending_reply() && self.queued_bytes() < REPLY_AHEAD_BYTES {
            self.session.reply(self.outbox.buffer());
        }
    }

    /// Writes the pending Pong and Close frame, if any, however many bytes wait for the peer.
    pub(crate) fn reply_last(&mut self) {
        self.session.reply(self.outbox.buffer());
    }

    /// Wakes a waiting sender if the outbound queue has room.
    pub(crate) fn wake_sender(&mut self) {
        if self.sender.is_waiting() && self.queued_bytes() < self.outbound_bytes {
            self.handler_ready |= self.sender.wake(&self.handler);
        }
    }

    /// Returns `true` if a sender or a control frame waits for the peer to read.
    pub(crate) fn waits_for_room(&self) -> bool {
        self.sender.is_waiting() || self.session.has_pending_reply()
    }

    pub(crate) fn closing(&self) -> Closing {
        self.session.closing()
    }

    /// Writes a message of an outlet to the connection's outbox, unless the socket is closing. Called between
    /// two calls of the connection.
    pub(crate) fn write_direct(&mut self, outbox: &mut Outbox, message: &ws::Prepared) {
        // What was encoded before is sent before: a compressed message refers to those before it.
        if !self.outbox.is_empty() {
            outbox.append(&mut self.outbox);
        }
        // A socket that is closing sends no further message.
        if let Ok(frame) = self.frame(message) {
            outbox.share_whole(frame);
        }
    }

    /// Sends a ping, unless the socket is closing.
    pub(crate) fn ping(&mut self) {
        let _ = self.session.ping(self.outbox.buffer(), b"");
    }

    /// Returns the metric label for the code of the peer's Close frame.
    pub(crate) fn close_label(&self) -> &'static str {
        self.close.as_ref().and_then(|close| close.code).map_or("none", Code::label)
    }

    /// Ends the socket: nothing more is received or sent, and pending calls of the handler return.
    pub(crate) fn end(&mut self) {
        self.inbox = None;
        self.attached.clear();
        self.stop_receiving(ReceiveState::Ended);
    }

    /// Returns how many bytes wait for the peer.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.outbox.len() + self.behind_bytes
    }
}

/// The handler's side.
impl SocketState {
    pub(super) fn poll_recv(&mut self, cx: &Context<'_>) -> Poll<Option<Result<Message, ProtocolError>>> {
        if let Some(message) = self.inbox.take() {
            self.wake_connection();
            return Poll::Ready(Some(Ok(message)));
        }
        match std::mem::replace(&mut self.receive_state, ReceiveState::Ended) {
            ReceiveState::Open => {
                self.receive_state = ReceiveState::Open;
                self.receiver.register(cx);
                Poll::Pending
            }
            ReceiveState::Failed(error) => Poll::Ready(Some(Err(error))),
            ReceiveState::Ended => Poll::Ready(None),
        }
    }

    /// Queues the message once it fits the outbound queue. Until then the message stays in `message`.
    pub(super) fn poll_send(
        &mut self,
        message: &mut Option<Outgoing<'_>>,
        cx: &Context<'_>,
    ) -> Poll<Result<(), Closed>> {
        let Some(next) = message.take() else { return Poll::Ready(Ok(())) };
        match self.try_send(next) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(TrySendError::Closed) => Poll::Ready(Err(Closed)),
            Err(TrySendError::Full(back)) => {
                *message = Some(back);
                self.sender.register(cx);
                // `behind_bytes` may be outdated. The connection updates it and checks for room again.
                self.wake_connection();
                Poll::Pending
            }
        }
    }

    pub(super) fn try_send<'a>(&mut self, message: Outgoing<'a>) -> Result<(), TrySendError<'a>> {
        if !self.session.closing().may_send() || matches!(self.receive_state, ReceiveState::Ended) {
            return Err(TrySendError::Closed);
        }
        let queued = self.queued_bytes();
        if queued > 0 && queued + message.len() > self.outbound_bytes {
            return Err(TrySendError::Full(message));
        }
        self.write_owned(message).map_err(|Closed| TrySendError::Closed)?;
        self.wake_connection();
        Ok(())
    }

    /// Writes a message, even if the outbound queue is full. Lends its memory to the outbox, or recycles it.
    fn write_owned(&mut self, message: Outgoing<'_>) -> Result<(), Closed> {
        if !self.write_header_if_lent(&message)? {
            self.write(&message)?;
            message.into_buffer().into_iter().for_each(recycle);
            return Ok(());
        }
        self.count_sent(message.len());
        let buffer = message.into_buffer().and_then(|buffer| self.outbox.lend(buffer));
        buffer.into_iter().for_each(recycle);
        Ok(())
    }

    /// Writes the frame header of a message whose memory is worth lending. Returns `false` for other
    /// messages.
    fn write_header_if_lent(&mut self, message: &Outgoing<'_>) -> Result<bool, Closed> {
        let Self { session, outbox, lends: true, .. } = self else { return Ok(false) };
        match message.plain() {
            Some(plain) if message.is_owned() && message.len() >= SHARE_MIN_BYTES => {
                session.append_header(outbox.buffer(), plain)
            }
            _ => Ok(false),
        }
    }

    fn count_sent(&mut self, bytes: usize) {
        self.sent_bytes += bytes as u64;
        self.counters.ws.sent(bytes);
    }

    /// Counts a message that did not fit the outbound queue.
    pub(super) fn count_full(&self) {
        self.counters.ws.full.add(1);
    }

    /// Writes a message, even if the outbound queue is full.
    pub(crate) fn write(&mut self, message: &Outgoing<'_>) -> Result<(), Closed> {
        if let Outgoing::Prepared(prepared) = message {
            return self.write_prepared(&prepared.0);
        }
        if let Some(plain) = message.plain() {
            let Self { session, outbox, .. } = self;
            with_scratch(|scratch| session.send(outbox.buffer(), plain, scratch))?;
        }
        self.count_sent(message.len());
        Ok(())
    }

    /// Writes a prepared message, even if the outbound queue is full.
    pub(crate) fn write_prepared(&mut self, message: &ws::Prepared) -> Result<(), Closed> {
        let frame = self.frame(message)?;
        self.outbox.share_whole(frame);
        Ok(())
    }

    /// Returns the frame of a prepared message, and counts it as sent.
    #[inline]
    fn frame(&mut self, message: &ws::Prepared) -> Result<Bytes, Closed> {
        let frame = self.session.send_prepared(message)?;
        self.count_sent(message.payload_bytes());
        Ok(frame)
    }

    pub(crate) fn close(&mut self, code: Code, reason: &str) -> Result<(), Closed> {
        self.session.close(self.outbox.buffer(), code, reason)?;
        self.counters.ws.closes_by_server.add(code.label());
        self.wake_connection();
        Ok(())
    }

    pub(super) fn peer_close(&self) -> Option<CloseFrame> {
        self.close.as_deref().cloned()
    }

    pub(super) fn attach(&mut self, source: BoxedSource) {
        self.attached.push(source);
        self.wake_connection();
    }

    /// Records that the receiving half was dropped. Messages are still read and dropped, so that the peer's
    /// Close frame is seen.
    pub(super) fn drop_receiver(&mut self) {
        self.has_receiver = false;
        self.inbox = None;
        self.wake_connection();
    }

    /// Wakes the connection, unless it is processing the socket.
    fn wake_connection(&self) {
        if !self.connection_active {
            self.connection.wake_by_ref();
        }
    }
}
