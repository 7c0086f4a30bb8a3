//! Message for many connections, whose frames are encoded once.

use bytes::Bytes;

use super::{
    Closed, Outgoing, Role, Scratch, Session,
    deflate::{MAX_WINDOW_BITS, Settings},
    frame::Header,
};

/// Message whose frames are encoded once and shared. Cloning it or queueing a frame copies no payload.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// Uncompressed frame.
    plain: Bytes,
    /// Header length of the uncompressed frame.
    header_bytes: usize,
    /// Compressed frame, if any.
    compressed: Option<Bytes>,
    opcode: super::frame::Opcode,
}

impl Prepared {
    /// Encodes the uncompressed frame. Copies the payload once.
    pub fn new(message: Outgoing<'_>) -> Self {
        let payload = message.as_bytes();
        let mut plain = Vec::new();
        Header::new(message.opcode(), payload.len()).append_frame(&mut plain, payload);
        let header_bytes = plain.len() - payload.len();
        Self { plain: plain.into(), header_bytes, compressed: None, opcode: message.opcode() }
    }

    /// Adds the compressed frame, unless the message is below the threshold or does not get shorter. It is
    /// compressed with a fresh context, so it suits every connection with a 32 KiB window.
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

    /// Returns the length of the payload in bytes.
    pub fn payload_bytes(&self) -> usize {
        self.plain.len() - self.header_bytes
    }

    /// Returns the total length of the frames in bytes.
    pub fn len_bytes(&self) -> usize {
        self.plain.len() + self.compressed.as_ref().map_or(0, Bytes::len)
    }
}

impl Session {
    /// Returns the frame of a prepared message that suits this connection. A server's frame is shared. A
    /// client's frame is a copy, because each one has its own masking key.
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
        let shared = compressed.filter(|_| self.compression().is_some_and(|own| own.record_prepared()));
        Ok(shared.unwrap_or(&message.plain).clone())
    }
}
