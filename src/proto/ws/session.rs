//! State of one WebSocket connection: bytes in, events out; messages in, bytes out.

use super::{
    Close, Closed, Closing, Code, Event, Fault, Limits, Mask, Outgoing, Role, Scratch,
    close::MAX_REASON_BYTES,
    compression::Compression,
    deflate::{Params, Settings},
    frame::{Header, MAX_CONTROL_BYTES, Opcode, Reader},
    message::{Message, MessageType},
};

/// Frame whose payload is being received. `remaining` is the rest of it, in bytes.
#[derive(Debug)]
struct Frame {
    opcode: Opcode,
    fin: bool,
    mask: Mask,
    remaining: u64,
}

/// Type of a complete event. The event itself borrows from the session.
enum EventType {
    Message,
    Ping,
    Pong,
    Close,
}

/// Protocol state of one connection, after the handshake.
///
/// All input goes through [`receive`](Self::receive). The replies that the protocol requires are written by
/// [`reply`](Self::reply): to a ping, to the peer's Close, and to a protocol violation. Call it after each
/// event while the output buffer is small, otherwise once it has room. Then a peer that reads gets a pong for
/// every ping, ahead of later messages. A peer that floods pings without reading gets a pong only for the
/// latest one (RFC 6455 §5.5.3).
#[derive(Debug)]
pub struct Session {
    role: Role,
    limits: Limits,
    reader: Reader,
    frame: Option<Frame>,
    message: Message,
    /// `true` if `message` was returned as an event, so that its memory can be reused.
    is_delivered: bool,
    /// Payload of the control frame under reception.
    control: Vec<u8>,
    /// Payload of the latest ping.
    ping: Vec<u8>,
    pong_pending: bool,
    closing: Closing,
    compression: Option<Box<Compression>>,
}

impl Session {
    /// Creates the state after a handshake, without compression.
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
            pong_pending: false,
            closing: Closing::Open,
            compression: None,
        }
    }

    /// Enables permessage-deflate with the negotiated parameters.
    #[must_use]
    pub fn with_deflate(mut self, params: Params, settings: &Settings) -> Self {
        self.compression = Some(Box::new(Compression::new(self.role, params, settings)));
        self
    }

    /// Consumes input up to the next event. Returns `None` once all input is consumed. After an event, call
    /// it again with the rest of the input, at once or when there is room for more output.
    ///
    /// After the peer's Close, all further input is consumed and ignored.
    ///
    /// # Errors
    ///
    /// The peer violated the protocol or exceeded a limit. [`reply`](Self::reply) writes a Close with the
    /// reason; then the connection is finished. Every later call returns the same error.
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
            Ok(Some(event)) => Ok(self.event(event)),
            Err(fault) => {
                self.closing = self.closing.after_fault(fault);
                self.message.release(scratch);
                Err(fault)
            }
        }
    }

    /// Appends the pending replies: to the latest ping, to the peer's Close, or to a protocol violation.
    pub fn reply(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.pong_pending) && self.closing.after_sent().is_some() {
            let header = self.header(Opcode::Pong, self.ping.len());
            header.append_frame(out, &self.ping);
        }
        match self.closing {
            Closing::Received(code) => self.append_close(out, Close { code, reason: "" }),
            Closing::Failing(fault) => {
                self.append_close(out, Close { code: Some(fault.code()), reason: fault.text() });
            }
            _ => {}
        }
    }

    /// Returns `true` if [`reply`](Self::reply) has something to write: a Pong or a Close.
    pub fn has_pending_reply(&self) -> bool {
        self.pong_pending || matches!(self.closing, Closing::Received(_) | Closing::Failing(_))
    }

    /// Appends a message. It is compressed if that was negotiated and the message reaches the threshold.
    ///
    /// # Errors
    ///
    /// The connection is closing. Nothing is appended.
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

    /// Appends only the header of a message, so that the caller can send the payload without copying it.
    /// Returns `false` and appends nothing if the payload must be masked or may be compressed: use
    /// [`send`](Self::send) then.
    ///
    /// # Errors
    ///
    /// The connection is closing. Nothing is appended.
    pub fn append_header(&mut self, out: &mut Vec<u8>, message: Outgoing<'_>) -> Result<bool, Closed> {
        self.check_open()?;
        let is_verbatim = self.compression.is_none() && matches!(self.role, Role::Server);
        if is_verbatim {
            self.header(message.opcode(), message.as_bytes().len()).append_to(out);
        }
        Ok(is_verbatim)
    }

    /// Appends a ping. The payload is cut to 125 bytes.
    ///
    /// # Errors
    ///
    /// The connection is closing. Nothing is appended.
    pub fn ping(&mut self, out: &mut Vec<u8>, payload: &[u8]) -> Result<(), Closed> {
        self.check_open()?;
        let payload = &payload[..payload.len().min(MAX_CONTROL_BYTES)];
        self.header(Opcode::Ping, payload.len()).append_frame(out, payload);
        Ok(())
    }

    /// Appends a Close, either the first one or the reply to the peer's. The reason is cut to 123 bytes,
    /// between characters.
    ///
    /// # Errors
    ///
    /// This side has already sent a Close. Nothing is appended.
    pub fn close(&mut self, out: &mut Vec<u8>, code: Code, reason: &str) -> Result<(), Closed> {
        if self.closing.after_sent().is_none() {
            return Err(Closed);
        }
        debug_assert!(code.may_be_sent() && MAX_REASON_BYTES == MAX_CONTROL_BYTES - 2);
        self.append_close(out, Close { code: Some(code), reason });
        Ok(())
    }

    /// Returns the state of the closing handshake.
    pub fn closing(&self) -> Closing {
        self.closing
    }

    /// Returns `true` if the peer has sent a part of a message or a frame. A pause is then a stall and not
    /// idleness.
    pub fn is_inside_message(&self) -> bool {
        self.reader.is_partial() || self.frame.is_some() || !(self.message.is_none() || self.is_delivered)
    }

    /// Returns the number of bytes received of an incomplete message.
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

    /// Creates the header of an outgoing frame.
    pub(super) fn header(&self, opcode: Opcode, len: usize) -> Header {
        let key = match self.role {
            Role::Server => None,
            Role::Client { key } => Some(key()),
        };
        Header { key, ..Header::new(opcode, len) }
    }

    fn append_close(&mut self, out: &mut Vec<u8>, close: Close<'_>) {
        if let Some(next) = self.closing.after_sent() {
            self.closing = next;
            let payload = close.payload();
            self.header(Opcode::Close, payload.len()).append_frame(out, &payload);
        }
    }

    fn event(&mut self, event: EventType) -> Option<Event<'_>> {
        match event {
            EventType::Message => {
                self.is_delivered = true;
                match &mut self.message {
                    Message::Text(text) => Some(Event::Text(text.text())),
                    Message::Binary(bytes) => Some(Event::Binary(bytes)),
                    Message::None | Message::Compressed(..) => None,
                }
            }
            EventType::Ping => Some(Event::Ping(&self.ping)),
            EventType::Pong => Some(Event::Pong(&self.control)),
            EventType::Close => Close::parse(&self.control).ok().map(Event::Close),
        }
    }

    fn advance(&mut self, input: &mut &[u8], scratch: &mut Scratch) -> Result<Option<EventType>, Fault> {
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
                self.start_frame(header, scratch)?;
            }
            match self.read_payload(input, scratch)? {
                None => return Ok(None),
                Some(frame) => {
                    if let Some(event) = self.finish_frame(&frame, scratch)? {
                        return Ok(Some(event));
                    }
                }
            }
        }
    }

    /// Checks a header against the preceding frames, and prepares to receive the payload.
    fn start_frame(&mut self, header: Header, scratch: &mut Scratch) -> Result<(), Fault> {
        let Header { fin, rsv1, opcode, key, len } = header;
        match (self.role, key) {
            (Role::Server, None) => return Err(Fault::Unmasked),
            (Role::Client { .. }, Some(_)) => return Err(Fault::Masked),
            _ => {}
        }
        // Only the first frame of a message has the compression bit (RFC 7692 §6.1).
        let is_first = matches!(opcode, Opcode::Text | Opcode::Binary);
        if rsv1 && !(is_first && self.compression.is_some()) {
            return Err(Fault::ReservedBits);
        }
        match opcode {
            Opcode::Continuation if self.message.is_none() => return Err(Fault::Continuation),
            Opcode::Text | Opcode::Binary if !self.message.is_none() => return Err(Fault::Interrupted),
            Opcode::Text if rsv1 => self.message = Message::compressed(MessageType::Text, scratch),
            Opcode::Text => self.message = Message::plain(MessageType::Text, scratch),
            Opcode::Binary if rsv1 => self.message = Message::compressed(MessageType::Binary, scratch),
            Opcode::Binary => self.message = Message::plain(MessageType::Binary, scratch),
            Opcode::Close | Opcode::Ping | Opcode::Pong => self.control.clear(),
            Opcode::Continuation => {}
        }
        if !opcode.is_control() {
            self.message.check_room(len, self.limits)?;
        }
        self.frame = Some(Frame { opcode, fin, mask: Mask::new(key.unwrap_or_default()), remaining: len });
        Ok(())
    }

    /// Consumes the available payload of the current frame. Returns the frame once its payload is complete.
    fn read_payload(&mut self, input: &mut &[u8], scratch: &mut Scratch) -> Result<Option<Frame>, Fault> {
        let Some(frame) = &mut self.frame else { return Ok(None) };
        let len = usize::try_from(frame.remaining).unwrap_or(usize::MAX).min(input.len());
        let (piece, rest) = input.split_at(len);
        *input = rest;
        frame.remaining -= len as u64;
        if frame.opcode.is_control() {
            frame.mask.append(&mut self.control, piece);
        } else {
            self.message.push_masked(&mut frame.mask, piece, scratch)?;
        }
        Ok(self.frame.take_if(|frame| frame.remaining == 0))
    }

    fn finish_frame(&mut self, frame: &Frame, scratch: &mut Scratch) -> Result<Option<EventType>, Fault> {
        match frame.opcode {
            Opcode::Ping => {
                std::mem::swap(&mut self.ping, &mut self.control);
                self.pong_pending = self.closing.may_send();
                Ok(Some(EventType::Ping))
            }
            Opcode::Pong => Ok(Some(EventType::Pong)),
            Opcode::Close => {
                let code = Close::parse(&self.control)?.code;
                self.closing = self.closing.after_received(code);
                self.message.release(scratch);
                Ok(Some(EventType::Close))
            }
            _ if !frame.fin => Ok(None),
            _ => {
                if let Message::Compressed(kind, bytes) = &mut self.message {
                    let (kind, bytes) = (*kind, std::mem::take(bytes));
                    self.message = self.inflate(kind, bytes, scratch)?;
                }
                self.message.finish()?;
                Ok(Some(EventType::Message))
            }
        }
    }

    fn inflate(
        &mut self,
        kind: MessageType,
        compressed: Vec<u8>,
        scratch: &mut Scratch,
    ) -> Result<Message, Fault> {
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
