//! One socket's state, shared by its connection and its handler; it belongs to one shard.
//!
//! ```text
//!  connection ─ bytes ─► take ─► inbox ──────► recv   handler
//!             ◄─ outbox ──────── session ◄──── send
//! ```
//!
//! The inbox holds one message: the connection takes no further event off its bytes before the handler has taken that.

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
};

use super::{
    CloseFrame, Closed, Code, Message, Outgoing, ProtocolError, TrySendError,
    scratch::{recycle, with_scratch},
    source::BoxedSource,
    waiter::Waiter,
};
use crate::{
    body::Form,
    metrics::ShardCounters,
    net::{Outbox, outbox::SHARE_MIN_BYTES},
    proto::ws::{Closing, Event, Fault, Session},
};

/// The answer to a ping waits while more than this waits for the peer, bytes: of a flood the latest only is answered.
const REPLY_AHEAD_BYTES: usize = 4 * 1024;

/// What was taken off the bytes that came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Took {
    /// All of them, and there is nothing more to do.
    All,
    /// A message, for the handler.
    Message,
    /// Something that is answered already.
    Control,
    /// The peer's Close.
    Close,
    /// A fault: nothing behind it is taken.
    Fault(Fault),
}

/// What the handler is told when no message is left.
#[derive(Debug, Default)]
enum Tidings {
    /// More may come.
    #[default]
    Open,
    Fault(ProtocolError),
    Over,
}

/// Who looks at a socket.
pub(crate) struct Wakers {
    /// Has the connection look at everything.
    pub(crate) connection: Waker,
    /// Has it poll the handler too.
    pub(crate) handler: Waker,
}

/// One socket.
pub(crate) struct State {
    session: Session,
    /// What is written; while the connection is fed, this is its own.
    pub(crate) outbox: Outbox,
    /// Bytes that wait for the peer behind the outbox.
    pub(crate) behind_bytes: usize,
    outbound_bytes: usize,
    /// What carries it returns memory that was lent to it.
    lends: bool,
    inbox: Option<Message>,
    tidings: Tidings,
    close: Option<Box<CloseFrame>>,
    receiver: Waiter,
    sender: Waiter,
    /// Sources that were attached and that the connection has not seen.
    pub(crate) attached: Vec<BoxedSource>,
    /// The handler still has the half that receives.
    receives: bool,
    /// The handler has what it waited for, and its connection shall poll it.
    due: bool,
    /// The connection is being fed: it looks at everything by itself.
    pub(crate) fed: bool,
    connection: Waker,
    /// Wakes the handler that the connection polls; whoever waits with it is polled in place.
    handler: Waker,
    counters: Arc<ShardCounters>,
    /// Payload bytes sent, for the access log.
    pub(crate) sent_bytes: u64,
}

impl State {
    pub(super) fn new(
        session: Session,
        outbound_bytes: usize,
        wakers: Wakers,
        counters: Arc<ShardCounters>,
    ) -> Self {
        Self {
            session,
            outbox: Outbox::default(),
            behind_bytes: 0,
            outbound_bytes,
            lends: false,
            inbox: None,
            tidings: Tidings::Open,
            close: None,
            receiver: Waiter::default(),
            sender: Waiter::default(),
            attached: Vec::new(),
            receives: true,
            due: false,
            fed: true,
            connection: wakers.connection,
            handler: wakers.handler,
            counters,
            sent_bytes: 0,
        }
    }
}

/// The connection's side.
impl State {
    /// Takes input off up to the next event. What the protocol owes the peer is written while little waits for it.
    pub(crate) fn take(&mut self, input: &mut &[u8]) -> Took {
        let took = with_scratch(|scratch| match self.session.receive(input, scratch) {
            Ok(None) => Took::All,
            Ok(Some(Event::Text(text))) => {
                self.inbox = Some(Message::Text(std::mem::take(text)));
                Took::Message
            }
            Ok(Some(Event::Binary(bytes))) => {
                self.inbox = Some(Message::Binary(std::mem::take(bytes)));
                Took::Message
            }
            Ok(Some(Event::Ping(_) | Event::Pong(_))) => Took::Control,
            Ok(Some(Event::Close(close))) => {
                self.close = Some(Box::new(CloseFrame { code: close.code, reason: close.reason.to_owned() }));
                Took::Close
            }
            Err(fault) => Took::Fault(fault),
        });
        match took {
            Took::Message => self.deliver(),
            Took::Control => self.reply(),
            Took::Close => self.tell(Tidings::Over),
            Took::Fault(fault) => self.tell(Tidings::Fault(ProtocolError(fault))),
            Took::All => {}
        }
        took
    }

    /// Wakes the handler for the message in the inbox; nobody's is thrown away.
    fn deliver(&mut self) {
        let bytes = self.inbox.as_ref().map_or(0, Message::len);
        self.counters.ws.received(bytes);
        if self.receives {
            self.due |= self.receiver.wake(&self.handler);
        } else if let Some(memory) =
            self.inbox.take().and_then(|message| Outgoing::from(message).into_memory())
        {
            recycle(memory);
        }
    }

    fn tell(&mut self, tidings: Tidings) {
        self.tidings = tidings;
        self.due |= self.receiver.wake(&self.handler);
        // Nothing but a Close is sent from here on.
        self.due |= self.sender.wake(&self.handler);
    }

    /// Lends the memory of large messages to the outbox, instead of copying them to it.
    pub(crate) fn lend(&mut self) {
        self.lends = true;
    }

    /// Says whether the handler has what it waited for, once.
    pub(crate) fn take_due(&mut self) -> bool {
        std::mem::take(&mut self.due)
    }

    /// Says whether the next event may be taken: the handler has taken the last message.
    pub(crate) fn may_take(&self) -> bool {
        self.inbox.is_none()
    }

    /// Writes what the protocol owes the peer, if there is room for that.
    pub(crate) fn reply(&mut self) {
        if self.session.has_pending_reply() && self.queued_bytes() < REPLY_AHEAD_BYTES {
            self.session.reply(self.outbox.buffer());
        }
    }

    /// Writes what the protocol owes the peer, however much waits.
    pub(crate) fn reply_last(&mut self) {
        self.session.reply(self.outbox.buffer());
    }

    /// Wakes the handler that waits for room, if there is some.
    pub(crate) fn room_came(&mut self) {
        if self.sender.waits() && self.queued_bytes() < self.outbound_bytes {
            self.due |= self.sender.wake(&self.handler);
        }
    }

    /// Says whether the handler waits until the peer takes something.
    pub(crate) fn waits_for_room(&self) -> bool {
        self.sender.waits() || self.session.has_pending_reply()
    }

    /// Returns the form in which prepared messages may be sent past the session; `None`: in none.
    pub(crate) fn form(&mut self) -> Option<Form> {
        self.session.sends_deflated().map(|deflated| if deflated { Form::DeflatedFrame } else { Form::Frame })
    }

    pub(crate) fn closing(&self) -> Closing {
        self.session.closing()
    }

    /// Pings the peer; not while the socket closes.
    pub(crate) fn ping(&mut self) {
        let _ = self.session.ping(self.outbox.buffer(), b"");
    }

    /// Names the code of the peer's Close, for the metrics.
    pub(crate) fn close_label(&self) -> &'static str {
        self.close.as_ref().and_then(|close| close.code).map_or("none", Code::label)
    }

    /// Ends it: whoever holds a half of it is told.
    pub(crate) fn end(&mut self) {
        self.inbox = None;
        self.attached.clear();
        self.tell(Tidings::Over);
    }

    /// Returns how many bytes wait for the peer.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.outbox.len() + self.behind_bytes
    }
}

/// The handler's side.
impl State {
    pub(super) fn poll_recv(&mut self, cx: &Context<'_>) -> Poll<Option<Result<Message, ProtocolError>>> {
        if let Some(message) = self.inbox.take() {
            self.notify();
            return Poll::Ready(Some(Ok(message)));
        }
        match std::mem::replace(&mut self.tidings, Tidings::Over) {
            Tidings::Open => {
                self.tidings = Tidings::Open;
                self.receiver.wait(cx);
                Poll::Pending
            }
            Tidings::Fault(error) => Poll::Ready(Some(Err(error))),
            Tidings::Over => Poll::Ready(None),
        }
    }

    /// Sends a message if there is room for it, or nothing else waits; else it stays where it is.
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
                self.sender.wait(cx);
                // The connection looks again whether there is room: what it last said may be old.
                self.notify();
                Poll::Pending
            }
        }
    }

    pub(super) fn try_send<'a>(&mut self, message: Outgoing<'a>) -> Result<(), TrySendError<'a>> {
        if !self.session.closing().may_send() || matches!(self.tidings, Tidings::Over) {
            return Err(TrySendError::Closed);
        }
        let queued = self.queued_bytes();
        if queued > 0 && queued + message.len() > self.outbound_bytes {
            return Err(TrySendError::Full(message));
        }
        self.write_owned(message).map_err(|Closed| TrySendError::Closed)?;
        self.notify();
        Ok(())
    }

    /// Writes a message; the memory it owns goes to the outbox, or to the next message.
    fn write_owned(&mut self, message: Outgoing<'_>) -> Result<(), Closed> {
        if !self.announces(&message)? {
            self.write(&message)?;
            message.into_memory().into_iter().for_each(recycle);
            return Ok(());
        }
        self.count_sent(message.len());
        let memory = message.into_memory().and_then(|memory| self.outbox.lend(memory));
        memory.into_iter().for_each(recycle);
        Ok(())
    }

    /// Writes the header of a message that is worth lending; says whether it did.
    fn announces(&mut self, message: &Outgoing<'_>) -> Result<bool, Closed> {
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

    /// Counts a message that found no room.
    pub(super) fn count_full(&self) {
        self.counters.ws.full.add(1);
    }

    /// Writes a message, whatever waits.
    pub(crate) fn write(&mut self, message: &Outgoing<'_>) -> Result<(), Closed> {
        let Self { session, outbox, .. } = self;
        match message {
            Outgoing::Prepared(prepared) => outbox.share(session.send_prepared(&prepared.0)?),
            message => {
                let Some(plain) = message.plain() else { return Ok(()) };
                with_scratch(|scratch| session.send(outbox.buffer(), plain, scratch))?;
            }
        }
        self.count_sent(message.len());
        Ok(())
    }

    pub(crate) fn close(&mut self, code: Code, reason: &str) -> Result<(), Closed> {
        self.session.close(self.outbox.buffer(), code, reason)?;
        self.counters.ws.closes_by_server.add(code.label());
        self.notify();
        Ok(())
    }

    pub(super) fn peer_close(&self) -> Option<CloseFrame> {
        self.close.as_deref().cloned()
    }

    pub(super) fn attach(&mut self, source: BoxedSource) {
        self.attached.push(source);
        self.notify();
    }

    /// The half that receives is gone: what comes is thrown away, so that the peer's Close is still seen.
    pub(super) fn receive_no_more(&mut self) {
        self.receives = false;
        self.inbox = None;
        self.notify();
    }

    /// Has the connection look at the socket, unless it is about to.
    fn notify(&self) {
        if !self.fed {
            self.connection.wake_by_ref();
        }
    }
}
