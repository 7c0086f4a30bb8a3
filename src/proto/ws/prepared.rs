//! A message for many connections: its frames are made once.

use bytes::Bytes;

use super::{
    Closed, Outgoing, Role, Scratch, Session,
    deflate::{MAX_WINDOW_BITS, Settings},
    frame::Header,
};

/// A message whose wire forms are made once and shared: cloning it, or queueing a form, copies no payload.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The whole frame.
    plain: Bytes,
    /// Length of its header.
    header_bytes: usize,
    /// The whole frame of the compressed message.
    compressed: Option<Bytes>,
    opcode: super::frame::Opcode,
}

impl Prepared {
    /// Makes the plain form: one copy of the payload.
    pub fn new(message: Outgoing<'_>) -> Self {
        let payload = message.as_bytes();
        let mut plain = Vec::new();
        Header::new(message.opcode(), payload.len()).append_frame(&mut plain, payload);
        let header_bytes = plain.len() - payload.len();
        Self { plain: plain.into(), header_bytes, compressed: None, opcode: message.opcode() }
    }

    /// Makes the compressed form too, unless the message is below the threshold or gets no shorter. It stands
    /// for itself, so one form serves every connection whose window is 32 KiB, whatever its context.
    #[must_use]
    pub fn with_deflate(mut self, settings: &Settings, scratch: &mut Scratch) -> Self {
        let payload = self.payload();
        let mut deflated = Vec::new();
        if payload.len() >= settings.threshold_bytes
            && scratch.deflate_fresh(settings.level, MAX_WINDOW_BITS, &payload, &mut deflated)
            && deflated.len() < payload.len()
        {
            let mut frame = Vec::new();
            Header { rsv1: true, ..Header::new(self.opcode, deflated.len()) }
                .append_frame(&mut frame, &deflated);
            self.compressed = Some(frame.into());
        }
        self
    }

    /// Returns the payload.
    pub fn payload(&self) -> Bytes {
        self.plain.slice(self.header_bytes..)
    }

    /// Returns the length of the payload, bytes.
    pub fn payload_bytes(&self) -> usize {
        self.plain.len() - self.header_bytes
    }

    /// Returns the compressed frame if it is wanted and there is one, else the plain one; see
    /// [`Session::sends_deflated`].
    pub fn frame(&self, deflated: bool) -> &Bytes {
        self.compressed.as_ref().filter(|_| deflated).unwrap_or(&self.plain)
    }

    /// Returns the bytes of memory that its forms hold.
    pub fn len_bytes(&self) -> usize {
        self.plain.len() + self.compressed.as_ref().map_or(0, Bytes::len)
    }
}

impl Session {
    /// Returns the form of a prepared message that suits this connection, to be queued as it is. A client's
    /// frames have keys of their own, so it gets a copy.
    ///
    /// # Errors
    ///
    /// The connection is closing.
    pub fn send_prepared(&mut self, message: &Prepared) -> Result<Bytes, Closed> {
        self.check_open()?;
        if let Role::Client { .. } = self.role() {
            let (payload, mut frame) = (message.payload(), Vec::new());
            self.header(message.opcode, payload.len()).append_frame(&mut frame, &payload);
            return Ok(frame.into());
        }
        let compressed = message.compressed.as_ref();
        let shared = compressed.filter(|_| self.compression().is_some_and(|own| own.takes_shared()));
        Ok(shared.unwrap_or(&message.plain).clone())
    }

    /// Says whether prepared messages go to this peer compressed where they can be, if frames of them may be
    /// sent without [`send_prepared`](Self::send_prepared); `None`: they may not, for each changes what the
    /// next message may refer to.
    pub fn sends_deflated(&mut self) -> Option<bool> {
        self.compression().map_or(Some(false), |own| own.sends_shared())
    }
}
