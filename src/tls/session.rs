//! The server's side of one TLS session.
//!
//! It uses rustls' unbuffered interface. An idle session thus holds no buffer: an incomplete record is kept
//! in `partial`, and all other memory belongs to the caller.

use std::sync::Arc;

use rustls::{
    HandshakeKind, ProtocolVersion, ServerConfig,
    server::UnbufferedServerConnection,
    unbuffered::{ConnectionState, UnbufferedStatus},
};

use super::{
    event::{Negotiated, SessionEvent},
    records::{write_encoded, write_encrypted},
    seal::Sealing,
    session_error::SessionError,
};
use crate::{
    metrics::{TlsProtocol, TlsVersion},
    net::Outbox,
};

/// Maximum number of bytes of incomplete records. A handshake message has up to 64 KiB, a record up to 16
/// KiB.
const MAX_PARTIAL_BYTES: usize = 80 * 1024;

/// Room for a record with `close_notify`, and for a key update before it.
const CLOSE_NOTIFY_BYTES: usize = 128;

/// The server's side of one session.
pub(crate) struct Session {
    tls: UnbufferedServerConnection,
    /// Received ciphertext that is not a complete record or handshake message.
    pub(super) partial: Vec<u8>,
    sealing: Sealing,
    /// `true` once the result of the handshake was reported.
    negotiated: bool,
    /// `true` once the peer has sent `close_notify`. Further bytes are ignored.
    ended: bool,
}

impl Session {
    pub(super) fn new(config: Arc<ServerConfig>) -> Result<Self, SessionError> {
        let tls = UnbufferedServerConnection::new(config)?;
        let sealing = Sealing::default();
        Ok(Self { tls, partial: Vec::new(), sealing, negotiated: false, ended: false })
    }

    /// Processes ciphertext. Calls `on_event` for each event, and writes answers of the session to `wire`.
    /// Ignores bytes after the peer's `close_notify`.
    ///
    /// `scratch` is empty working memory. It is empty again afterwards.
    ///
    /// # Errors
    ///
    /// Fails if the session is broken. `wire` then holds the alert for the peer, if there is one, and the
    /// session must not be used again.
    pub(crate) fn receive(
        &mut self,
        bytes: &[u8],
        wire: &mut Outbox,
        scratch: &mut Vec<u8>,
        mut on_event: impl FnMut(SessionEvent<'_>),
    ) -> Result<(), SessionError> {
        if self.ended {
            return Ok(());
        }
        // rustls decrypts in place, but the bytes belong to the engine. So they are copied.
        let uses_scratch = self.partial.is_empty();
        let mut buffer = std::mem::take(if uses_scratch { scratch } else { &mut self.partial });
        buffer.extend_from_slice(bytes);
        let done = self.process(&mut buffer, wire, &mut on_event);
        let (Ok(used) | Err((used, _))) = &done;
        if uses_scratch {
            self.partial = buffer[*used..].to_vec();
            buffer.clear();
            *scratch = buffer;
        } else if *used < buffer.len() {
            buffer.drain(..used);
            self.partial = buffer;
        }
        match done {
            Err((_, error)) => Err(error),
            Ok(_) if self.partial.len() > MAX_PARTIAL_BYTES => {
                let text = "the client sent a TLS record or a handshake message that is too long".to_owned();
                Err(SessionError { label: "oversized_record", text })
            }
            Ok(_) => Ok(()),
        }
    }

    /// Processes complete records. Returns the number of bytes processed, with an error too.
    fn process(
        &mut self,
        buffer: &mut [u8],
        wire: &mut Outbox,
        on_event: &mut impl FnMut(SessionEvent<'_>),
    ) -> Result<usize, (usize, SessionError)> {
        let mut used = 0;
        loop {
            let UnbufferedStatus { discard, state, .. } = self.tls.process_tls_records(&mut buffer[used..]);
            used += discard;
            match state {
                Err(error) => {
                    self.write_alert(&mut buffer[used..], wire);
                    return Err((used, error.into()));
                }
                Ok(ConnectionState::ReadTraffic(mut traffic)) if self.negotiated => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(|error| (used, error.into()))?;
                        used += record.discard;
                        on_event(SessionEvent::Data(record.payload));
                    }
                }
                // The result of the handshake is reported first. The next round returns the data.
                Ok(ConnectionState::ReadTraffic(_)) => {}
                Ok(ConnectionState::EncodeTlsData(data)) => write_encoded(data, wire),
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => {
                    self.ended = true;
                    on_event(SessionEvent::CloseNotify);
                    return Ok(buffer.len());
                }
                Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => {
                    self.report_negotiated(on_event);
                    return Ok(used);
                }
                // The other states concern early data, which is not accepted.
                Ok(_) => return Ok(used),
            }
            self.report_negotiated(on_event);
        }
    }

    /// Reports the result of the handshake once.
    fn report_negotiated(&mut self, on_event: &mut impl FnMut(SessionEvent<'_>)) {
        if !self.negotiated && !self.tls.is_handshaking() {
            self.negotiated = true;
            on_event(SessionEvent::Negotiated(self.negotiated()));
        }
    }

    fn negotiated(&self) -> Negotiated {
        Negotiated {
            version: match self.tls.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => TlsVersion::Tls12,
                _ => TlsVersion::Tls13,
            },
            protocol: match self.tls.alpn_protocol() {
                Some(b"h2") => TlsProtocol::H2,
                Some(_) => TlsProtocol::Http11,
                None => TlsProtocol::None,
            },
            resumed: self.tls.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }

    /// Writes the alert of a broken session.
    ///
    /// rustls returns queued output before it looks at received bytes. The loop ends with the last output,
    /// because a broken session must not process more bytes.
    fn write_alert(&mut self, mut rest: &mut [u8], wire: &mut Outbox) {
        while self.tls.wants_write() {
            let UnbufferedStatus { discard, state, .. } = self.tls.process_tls_records(rest);
            let Ok(ConnectionState::EncodeTlsData(data)) = state else { return };
            write_encoded(data, wire);
            rest = &mut rest[discard..];
        }
    }

    /// Returns the number of plaintext bytes that were taken from the outbox and are not encrypted.
    pub(crate) fn unsealed(&self) -> usize {
        self.sealing.len()
    }

    /// Encrypts plaintext to `wire` until `wire` holds 48 KiB. `scratch` is working memory.
    ///
    /// # Errors
    ///
    /// Fails if the session cannot encrypt further data, for example because its keys are used up.
    pub(crate) fn seal(
        &mut self,
        plain: &mut Outbox,
        wire: &mut Outbox,
        scratch: &mut Vec<u8>,
    ) -> Result<(), SessionError> {
        self.sealing.seal(&mut self.tls, &mut self.partial, plain, wire, scratch)
    }

    /// Writes `close_notify`, which tells the peer that it has received everything (RFC 8446 §6.1). Writes
    /// nothing if the session cannot send.
    pub(crate) fn close(&mut self, wire: &mut Outbox) {
        let status = self.tls.process_tls_records(&mut self.partial);
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) = status.state {
            // If this fails, the peer sees a truncated stream. That is what it is then.
            let _ = write_encrypted(wire, CLOSE_NOTIFY_BYTES, |room| traffic.queue_close_notify(room));
        }
    }
}
