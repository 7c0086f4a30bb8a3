//! Plaintext on its way out: sealed into as few records as there can be, and only so far ahead.

use rustls::unbuffered::{ConnectionState, EncryptError, UnbufferedStatus};

use super::{Session, SessionError, session::write};
use crate::net::{Outbox, outbox::Segment};

/// Plaintext of one record at most (RFC 8446 §5.1).
const RECORD_BYTES: usize = 16 * 1024;

/// What a record adds at most with the suites in use: header, explicit nonce, content type, tag.
const OVERHEAD_BYTES: usize = 32;

/// Ciphertext waits for the kernel up to here; the rest stays plaintext, which may be shared with other connections.
/// With its last record it fits a buffer that is kept for reuse (64 KiB).
const AHEAD_BYTES: usize = 3 * RECORD_BYTES;

/// `close_notify` as a record, with room for an update of keys before it.
const ALERT_BYTES: usize = 128;

/// The segment that is being sealed.
#[derive(Default)]
pub(super) struct Sealing {
    segment: Option<Segment>,
    /// Bytes of it that are sealed.
    done: usize,
}

impl Sealing {
    fn len(&self) -> usize {
        self.segment.as_ref().map_or(0, |segment| segment.as_slice().len() - self.done)
    }

    /// Makes sure that there is something in front; false if nothing is left.
    fn load(&mut self, plain: &mut Outbox) -> bool {
        while self.len() == 0 {
            let Some(next) = plain.take() else { return false };
            self.recycle(plain);
            (self.segment, self.done) = (Some(next), 0);
        }
        true
    }

    /// Gives a buffer that is done with back to be written to.
    fn recycle(&mut self, plain: &mut Outbox) {
        if let Some(Segment::Owned(buffer) | Segment::Lent(buffer)) = self.segment.take() {
            plain.refill(buffer);
        }
        self.done = 0;
    }

    fn front(&self) -> &[u8] {
        self.segment.as_ref().map_or(&[], |segment| &segment.as_slice()[self.done..])
    }

    /// Moves up to `room` bytes behind what is gathered.
    fn gather(&mut self, room: usize, into: &mut Vec<u8>) {
        let front = self.front();
        let taken = front.len().min(room);
        into.extend_from_slice(&front[..taken]);
        self.done += taken;
    }
}

impl Session {
    /// Returns how many bytes were taken from the plaintext's outbox and are not sealed.
    pub(crate) fn unsealed(&self) -> usize {
        self.sealing.len()
    }

    /// Moves plaintext to the wire as far as that is short of bytes. `spare` is memory to work in.
    ///
    /// # Errors
    ///
    /// The session's keys are used up, and nothing can be sent any more.
    pub(crate) fn seal(
        &mut self,
        plain: &mut Outbox,
        wire: &mut Outbox,
        spare: &mut Vec<u8>,
    ) -> Result<(), SessionError> {
        if plain.is_empty() && self.sealing.len() == 0 {
            return Ok(());
        }
        let bytes = (plain.len() + self.sealing.len()).min(AHEAD_BYTES);
        wire.buffer().reserve(bytes + bytes.div_ceil(RECORD_BYTES) * OVERHEAD_BYTES);
        while wire.len() < AHEAD_BYTES && self.sealing.load(plain) {
            self.seal_record(plain, wire, spare)?;
        }
        if self.sealing.len() == 0 {
            self.sealing.recycle(plain);
        }
        Ok(())
    }

    fn seal_record(
        &mut self,
        plain: &mut Outbox,
        wire: &mut Outbox,
        spare: &mut Vec<u8>,
    ) -> Result<(), SessionError> {
        let front = self.sealing.front();
        if front.len() >= RECORD_BYTES || plain.is_empty() {
            let length = front.len().min(RECORD_BYTES);
            self.tls_seal(None, length, wire)?;
            self.sealing.done += length;
            return Ok(());
        }
        spare.clear();
        while spare.len() < RECORD_BYTES && self.sealing.load(plain) {
            self.sealing.gather(RECORD_BYTES - spare.len(), spare);
        }
        self.tls_seal(Some(spare), spare.len(), wire)
    }

    /// Seals what was gathered, or the first bytes of the segment in front, as one record.
    fn tls_seal(
        &mut self,
        gathered: Option<&[u8]>,
        length: usize,
        wire: &mut Outbox,
    ) -> Result<(), SessionError> {
        let Self { tls, partial, sealing, .. } = self;
        let content = gathered.unwrap_or_else(|| &sealing.front()[..length]);
        loop {
            let UnbufferedStatus { discard, state, .. } = tls.process_tls_records(partial);
            match state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    return encrypt(wire, content.len() + OVERHEAD_BYTES, |room| {
                        traffic.encrypt(content, room)
                    });
                }
                Ok(ConnectionState::EncodeTlsData(data)) => write(data, wire),
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(_) => return Err(unwritable("the session takes no data")),
                Err(error) => return Err(error.into()),
            }
            partial.drain(..discard);
        }
    }

    /// Writes `close_notify`: what was sent is all there is (RFC 8446 §6.1).
    pub(crate) fn close(&mut self, wire: &mut Outbox) {
        let Self { tls, partial, .. } = self;
        let status = tls.process_tls_records(partial);
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) = status.state {
            // Without it the peer sees a truncation, which is what there is when it cannot be written.
            let _ = encrypt(wire, ALERT_BYTES, |room| traffic.queue_close_notify(room));
        }
    }
}

/// Makes room behind what waits on the wire, and more of it when that was too little.
fn encrypt(
    wire: &mut Outbox,
    room: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, EncryptError>,
) -> Result<(), SessionError> {
    let wire = wire.buffer();
    let (start, mut room) = (wire.len(), room);
    loop {
        wire.resize(start + room, 0);
        match write(&mut wire[start..]) {
            Ok(written) => {
                wire.truncate(start + written);
                return Ok(());
            }
            Err(EncryptError::InsufficientSize(size)) if size.required_size > room => {
                room = size.required_size
            }
            Err(error) => {
                wire.truncate(start);
                return Err(unwritable(&error.to_string()));
            }
        }
    }
}

fn unwritable(text: &str) -> SessionError {
    SessionError { label: "unwritable", text: text.to_owned() }
}
