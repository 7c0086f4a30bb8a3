//! Encryption of plaintext into as few records as possible, and only as far ahead as the peer reads.

use rustls::{
    server::UnbufferedServerConnection,
    unbuffered::{ConnectionState, UnbufferedStatus},
};

use super::{
    records::{unwritable, write_encoded, write_encrypted},
    session_error::SessionError,
};
use crate::net::{Outbox, outbox::Segment};

/// Maximum number of plaintext bytes in a record (RFC 8446 §5.1).
const RECORD_BYTES: usize = 16 * 1024;

/// Maximum number of bytes that a record adds with the supported cipher suites: header, explicit nonce,
/// content type and tag.
const OVERHEAD_BYTES: usize = 32;

/// Number of ciphertext bytes from which no more plaintext is encrypted.
///
/// Plaintext may be shared with other connections, ciphertext cannot. With its last record the ciphertext
/// fits a buffer that the engine's pool keeps (64 KiB).
const SEALED_AHEAD_BYTES: usize = 3 * RECORD_BYTES;

/// Plaintext that was taken from the outbox and is not encrypted completely.
#[derive(Default)]
pub(super) struct Sealing {
    segment: Option<Segment>,
    /// Number of bytes of the segment that are encrypted.
    done: usize,
}

impl Sealing {
    /// Returns the number of bytes that are not encrypted.
    pub(super) fn len(&self) -> usize {
        self.segment.as_ref().map_or(0, |segment| segment.as_slice().len() - self.done)
    }

    /// Encrypts plaintext until `wire` holds [`SEALED_AHEAD_BYTES`] or all plaintext is encrypted.
    ///
    /// `partial` is the session's incomplete received record, which rustls requires. `scratch` is working
    /// memory.
    ///
    /// # Errors
    ///
    /// Fails if the session cannot encrypt further data, for example because its keys are used up.
    pub(super) fn seal(
        &mut self,
        tls: &mut UnbufferedServerConnection,
        partial: &mut Vec<u8>,
        plain: &mut Outbox,
        wire: &mut Outbox,
        scratch: &mut Vec<u8>,
    ) -> Result<(), SessionError> {
        if plain.is_empty() && self.len() == 0 {
            return Ok(());
        }
        let bytes = (plain.len() + self.len()).min(SEALED_AHEAD_BYTES);
        wire.buffer().reserve(bytes + bytes.div_ceil(RECORD_BYTES) * OVERHEAD_BYTES);
        while wire.len() < SEALED_AHEAD_BYTES && self.load(plain) {
            if self.len() >= RECORD_BYTES || plain.is_empty() {
                let length = self.len().min(RECORD_BYTES);
                encrypt_record(tls, partial, &self.unsealed()[..length], wire)?;
                self.done += length;
            } else {
                scratch.clear();
                while scratch.len() < RECORD_BYTES && self.load(plain) {
                    self.gather(RECORD_BYTES - scratch.len(), scratch);
                }
                encrypt_record(tls, partial, scratch, wire)?;
            }
        }
        if self.len() == 0 {
            self.recycle(plain);
        }
        Ok(())
    }

    /// Takes the next segment of the outbox if the current one is encrypted. Returns `false` if there is
    /// none.
    fn load(&mut self, plain: &mut Outbox) -> bool {
        while self.len() == 0 {
            let Some(next) = plain.take() else { return false };
            self.recycle(plain);
            (self.segment, self.done) = (Some(next), 0);
        }
        true
    }

    /// Drops the current segment. Gives its buffer back to the outbox, unless other connections share it.
    fn recycle(&mut self, plain: &mut Outbox) {
        if let Some(Segment::Owned(buffer) | Segment::Lent(buffer)) = self.segment.take() {
            plain.refill(buffer);
        }
        self.done = 0;
    }

    /// Returns the bytes of the current segment that are not encrypted.
    fn unsealed(&self) -> &[u8] {
        self.segment.as_ref().map_or(&[], |segment| &segment.as_slice()[self.done..])
    }

    /// Moves up to `room` bytes of the current segment to the end of `into`.
    fn gather(&mut self, room: usize, into: &mut Vec<u8>) {
        let unsealed = self.unsealed();
        let moved = unsealed.len().min(room);
        into.extend_from_slice(&unsealed[..moved]);
        self.done += moved;
    }
}

/// Encrypts `content` as one record. Writes what the session has queued before it, such as an answer to a key
/// update.
fn encrypt_record(
    tls: &mut UnbufferedServerConnection,
    partial: &mut Vec<u8>,
    content: &[u8],
    wire: &mut Outbox,
) -> Result<(), SessionError> {
    loop {
        let UnbufferedStatus { discard, state, .. } = tls.process_tls_records(partial);
        match state {
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                let room = content.len() + OVERHEAD_BYTES;
                return write_encrypted(wire, room, |room| traffic.encrypt(content, room));
            }
            Ok(ConnectionState::EncodeTlsData(data)) => write_encoded(data, wire),
            Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
            Ok(_) => return Err(unwritable("the TLS session is not in a state in which it can send data")),
            Err(error) => return Err(error.into()),
        }
        partial.drain(..discard);
    }
}
