//! One end of one WebSocket connection: bytes in, events out; messages in, bytes out.

use super::{
    Close, Closed, Closing, Code, Event, Fault, Limits, Mask, Outgoing, Role, Scratch,
    close::MAX_REASON_BYTES,
    compression::Compression,
    deflate::{Params, Settings},
    frame::{Header, MAX_CONTROL_BYTES, Opcode, Reader},
    message::{Kind, Message},
};

/// The frame whose payload is coming in.
#[derive(Debug)]
struct Frame {
    opcode: Opcode,
    fin: bool,
    mask: Mask,
    left: u64,
}

/// What has come to an end; the event itself borrows from the session.
enum Fact {
    Message,
    Ping,
    Pong,
    Close,
}

/// The protocol's state on one connection, after the handshake.
///
/// Everything the peer sends goes through [`receive`](Self::receive). What the protocol itself must say (the
/// answer to a ping, to a Close, to a fault) is written by [`reply`](Self::reply): call it after each event
/// while little waits to be sent, else once there is room again. Then every ping of an honest peer is
/// answered, before what is said later, and of a flood that is not read only the latest is (RFC 6455 §5.5.3).
#[derive(Debug)]
pub struct Session {
    role: Role,
    limits: Limits,
    reader: Reader,
    frame: Option<Frame>,
    message: Message,
    /// Whether `message` was handed out and its memory is free.
    is_delivered: bool,
    /// Payload of the control frame in progress.
    control: Vec<u8>,
    /// Payload of the latest ping.
    ping: Vec<u8>,
    owes_pong: bool,
    closing: Closing,
    compression: Option<Box<Compression>>,
}

impl Session {
    /// Starts behind the handshake, without compression.
    pub fn new(role: Role, limits: Limits) -> Self {
        Self {
            role,
            limits,
            reader: Reader::default(),
            frame: None,
            message: Message::None,
            is_delivered: false,
            control: Vec::new(),
            ping: Vec::new(),
            owes_pong: false,
            closing: Closing::Open,
            compression: None,
        }
    }

    /// Turns permessage-deflate on, on the terms the handshake agreed on.
    #[must_use]
    pub fn with_deflate(mut self, params: Params, settings: &Settings) -> Self {
        self.compression = Some(Box::new(Compression::new(self.role, params, settings)));
        self
    }

    /// Takes input off up to the next event; `None` once all of it is taken. After an event, call again with
    /// what is left, now or when there is room for more.
    ///
    /// After the peer's Close all further input is taken and ignored.
    ///
    /// # Errors
    ///
    /// The peer broke the protocol or a limit. [`reply`](Self::reply) tells it why; then the connection is
    /// over. Every later call says the same.
    pub fn receive<'a>(
        &'a mut self,
        input: &mut &[u8],
        scratch: &mut Scratch,
    ) -> Result<Option<Event<'a>>, Fault> {
        if self.is_delivered {
            self.message.release(scratch);
            self.is_delivered = false;
        }
        match self.advance(input, scratch) {
            Ok(None) => Ok(None),
            Ok(Some(fact)) => Ok(self.event(fact)),
            Err(fault) => {
                self.closing = self.closing.after_fault(fault);
                self.message.release(scratch);
                Err(fault)
            }
        }
    }

    /// Appends what the protocol owes the peer: the answer to the latest ping, to its Close, or to its fault.
    pub fn reply(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.owes_pong) && self.closing.after_sent().is_some() {
            let header = self.header(Opcode::Pong, self.ping.len());
            header.append_frame(out, &self.ping);
        }
        match self.closing {
            Closing::Received(code) => self.say_close(out, Close { code, reason: "" }),
            Closing::Failing(fault) => {
                self.say_close(out, Close { code: Some(fault.code()), reason: fault.text() });
            }
            _ => {}
        }
    }

    /// Says whether [`reply`](Self::reply) has something to write.
    pub fn has_pending_reply(&self) -> bool {
        self.owes_pong || matches!(self.closing, Closing::Received(_) | Closing::Failing(_))
    }

    /// Appends a message, compressed if that was agreed on and it is long enough to pay.
    ///
    /// # Errors
    ///
    /// The connection is closing: nothing is appended.
    pub fn send(
        &mut self,
        out: &mut Vec<u8>,
        message: Outgoing<'_>,
        scratch: &mut Scratch,
    ) -> Result<(), Closed> {
        self.check_open()?;
        let payload = message.as_bytes();
        if let Some(compression) = &mut self.compression {
            let mut deflated = scratch.buffer();
            let is_deflated = compression.deflate(payload, &mut deflated, scratch);
            if is_deflated {
                let header = Header { rsv1: true, ..self.header(message.opcode(), deflated.len()) };
                header.append_frame(out, &deflated);
            }
            scratch.recycle(deflated);
            if is_deflated {
                return Ok(());
            }
        }
        self.header(message.opcode(), payload.len()).append_frame(out, payload);
        Ok(())
    }

    /// Appends only the header of a message that is to follow as it is; false, and nothing is appended, if
    /// this one may have to be compressed or masked: then [`send`](Self::send) it.
    ///
    /// # Errors
    ///
    /// The connection is closing: nothing is appended.
    pub fn append_header(&mut self, out: &mut Vec<u8>, message: Outgoing<'_>) -> Result<bool, Closed> {
        self.check_open()?;
        let as_it_is = self.compression.is_none() && matches!(self.role, Role::Server);
        if as_it_is {
            self.header(message.opcode(), message.as_bytes().len()).append_to(out);
        }
        Ok(as_it_is)
    }

    /// Appends a ping with at most 125 bytes of payload; a longer one is cut.
    ///
    /// # Errors
    ///
    /// The connection is closing: nothing is appended.
    pub fn ping(&mut self, out: &mut Vec<u8>, payload: &[u8]) -> Result<(), Closed> {
        self.check_open()?;
        let payload = &payload[..payload.len().min(MAX_CONTROL_BYTES)];
        self.header(Opcode::Ping, payload.len()).append_frame(out, payload);
        Ok(())
    }

    /// Appends a Close: the first, or in answer to the peer's. A reason longer than 123 bytes is cut between
    /// characters.
    ///
    /// # Errors
    ///
    /// One was sent before: nothing is appended.
    pub fn close(&mut self, out: &mut Vec<u8>, code: Code, reason: &str) -> Result<(), Closed> {
        if self.closing.after_sent().is_none() {
            return Err(Closed);
        }
        debug_assert!(code.may_be_sent() && MAX_REASON_BYTES == MAX_CONTROL_BYTES - 2);
        self.say_close(out, Close { code: Some(code), reason });
        Ok(())
    }

    /// Returns how far the closing handshake has come.
    pub fn closing(&self) -> Closing {
        self.closing
    }

    /// Says whether the peer is in the middle of a message or a frame: its silence now is a stall, not
    /// idleness.
    pub fn is_inside_message(&self) -> bool {
        self.reader.is_inside() || self.frame.is_some() || !(self.message.is_none() || self.is_delivered)
    }

    /// Returns how many bytes of an unfinished message it holds.
    pub fn buffered_bytes(&self) -> usize {
        if self.is_delivered { 0 } else { self.message.len() }
    }

    pub(super) fn role(&self) -> Role {
        self.role
    }

    pub(super) fn check_open(&self) -> Result<(), Closed> {
        if self.closing.may_send() { Ok(()) } else { Err(Closed) }
    }

    pub(super) fn compression(&mut self) -> Option<&mut Compression> {
        self.compression.as_deref_mut()
    }

    /// Makes the header of a frame of ours.
    pub(super) fn header(&self, opcode: Opcode, len: usize) -> Header {
        let key = match self.role {
            Role::Server => None,
            Role::Client { key } => Some(key()),
        };
        Header { key, ..Header::new(opcode, len) }
    }

    fn say_close(&mut self, out: &mut Vec<u8>, close: Close<'_>) {
        if let Some(next) = self.closing.after_sent() {
            self.closing = next;
            let payload = close.payload();
            self.header(Opcode::Close, payload.len()).append_frame(out, &payload);
        }
    }

    fn event(&mut self, fact: Fact) -> Option<Event<'_>> {
        match fact {
            Fact::Message => {
                self.is_delivered = true;
                match &mut self.message {
                    Message::Text(text) => Some(Event::Text(text.text())),
                    Message::Binary(bytes) => Some(Event::Binary(bytes)),
                    Message::None | Message::Compressed(..) => None,
                }
            }
            Fact::Ping => Some(Event::Ping(&self.ping)),
            Fact::Pong => Some(Event::Pong(&self.control)),
            Fact::Close => Close::parse(&self.control).ok().map(Event::Close),
        }
    }

    fn advance(&mut self, input: &mut &[u8], scratch: &mut Scratch) -> Result<Option<Fact>, Fault> {
        loop {
            match self.closing {
                Closing::Failing(fault) | Closing::Failed(fault) => return Err(fault),
                Closing::Received(_) | Closing::Closed => {
                    *input = &[];
                    return Ok(None);
                }
                Closing::Open | Closing::Sent => {}
            }
            if self.frame.is_none() {
                let Some(header) = self.reader.read(input)? else { return Ok(None) };
                self.begin(header, scratch)?;
            }
            match self.take_payload(input, scratch)? {
                None => return Ok(None),
                Some(frame) => {
                    if let Some(fact) = self.end(&frame, scratch)? {
                        return Ok(Some(fact));
                    }
                }
            }
        }
    }

    /// Checks a header against what came before it, and makes room for what it announces.
    fn begin(&mut self, header: Header, scratch: &mut Scratch) -> Result<(), Fault> {
        let Header { fin, rsv1, opcode, key, len } = header;
        match (self.role, key) {
            (Role::Server, None) => return Err(Fault::Unmasked),
            (Role::Client { .. }, Some(_)) => return Err(Fault::Masked),
            _ => {}
        }
        // Only the first frame of a message says whether it is compressed (RFC 7692 §6.1).
        let starts = matches!(opcode, Opcode::Text | Opcode::Binary);
        if rsv1 && !(starts && self.compression.is_some()) {
            return Err(Fault::ReservedBits);
        }
        match opcode {
            Opcode::Continuation if self.message.is_none() => return Err(Fault::Continuation),
            Opcode::Text | Opcode::Binary if !self.message.is_none() => return Err(Fault::Interrupted),
            Opcode::Text if rsv1 => self.message = Message::compressed(Kind::Text, scratch),
            Opcode::Text => self.message = Message::plain(Kind::Text, scratch),
            Opcode::Binary if rsv1 => self.message = Message::compressed(Kind::Binary, scratch),
            Opcode::Binary => self.message = Message::plain(Kind::Binary, scratch),
            Opcode::Close | Opcode::Ping | Opcode::Pong => self.control.clear(),
            Opcode::Continuation => {}
        }
        if !opcode.is_control() {
            self.message.check_room(len, self.limits)?;
        }
        self.frame = Some(Frame { opcode, fin, mask: Mask::new(key.unwrap_or_default()), left: len });
        Ok(())
    }

    /// Takes what is there of the frame's payload; returns the frame once that is all.
    fn take_payload(&mut self, input: &mut &[u8], scratch: &mut Scratch) -> Result<Option<Frame>, Fault> {
        let Some(frame) = &mut self.frame else { return Ok(None) };
        let len = usize::try_from(frame.left).unwrap_or(usize::MAX).min(input.len());
        let (piece, rest) = input.split_at(len);
        *input = rest;
        frame.left -= len as u64;
        if frame.opcode.is_control() {
            frame.mask.append(&mut self.control, piece);
        } else {
            self.message.push_masked(&mut frame.mask, piece, scratch)?;
        }
        Ok(self.frame.take_if(|frame| frame.left == 0))
    }

    fn end(&mut self, frame: &Frame, scratch: &mut Scratch) -> Result<Option<Fact>, Fault> {
        match frame.opcode {
            Opcode::Ping => {
                std::mem::swap(&mut self.ping, &mut self.control);
                self.owes_pong = self.closing.may_send();
                Ok(Some(Fact::Ping))
            }
            Opcode::Pong => Ok(Some(Fact::Pong)),
            Opcode::Close => {
                let code = Close::parse(&self.control)?.code;
                self.closing = self.closing.after_received(code);
                self.message.release(scratch);
                Ok(Some(Fact::Close))
            }
            _ if !frame.fin => Ok(None),
            _ => {
                if let Message::Compressed(kind, bytes) = &mut self.message {
                    let (kind, bytes) = (*kind, std::mem::take(bytes));
                    self.message = self.inflated(kind, bytes, scratch)?;
                }
                self.message.end()?;
                Ok(Some(Fact::Message))
            }
        }
    }

    fn inflated(&mut self, kind: Kind, compressed: Vec<u8>, scratch: &mut Scratch) -> Result<Message, Fault> {
        let mut message = Message::plain(kind, scratch);
        let limit = self.limits.message_bytes;
        let Some(compression) = &mut self.compression else { return Ok(message) };
        compression.inflate(&compressed, scratch, |piece| {
            if piece.len() > limit - message.len().min(limit) {
                return Err(Fault::InflatedTooBig);
            }
            message.push(piece)
        })?;
        scratch.recycle(compressed);
        Ok(message)
    }
}
