//! One TLS session of a server: ciphertext in, plaintext and alerts out. No socket, no clock.
//!
//! It stands on rustls' unbuffered interface, so that an idle session holds no buffer: what is left of a record stays
//! in `partial`, and everything else is lent for the call.

use std::sync::Arc;

use rustls::{
    HandshakeKind, ProtocolVersion, ServerConfig,
    server::UnbufferedServerConnection,
    unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus},
};

use super::{Negotiated, SessionError, SessionEvent, seal::Sealing};
use crate::{
    metrics::{TlsProtocol, TlsVersion},
    net::Outbox,
};

/// Bytes of records that may wait for their rest: a handshake message is 64 KiB at most, a record a quarter of it.
const PARTIAL_BYTES: usize = 80 * 1024;

/// A server's side of one session.
pub(crate) struct Session {
    pub(super) tls: UnbufferedServerConnection,
    /// Ciphertext that is no whole record or handshake message yet.
    pub(super) partial: Vec<u8>,
    pub(super) sealing: Sealing,
    agreed: bool,
    /// The peer sent `close_notify`: what follows is not looked at.
    ended: bool,
}

impl Session {
    pub(super) fn new(config: Arc<ServerConfig>) -> Result<Self, SessionError> {
        let tls = UnbufferedServerConnection::new(config)?;
        Ok(Self { tls, partial: Vec::new(), sealing: Sealing::default(), agreed: false, ended: false })
    }

    /// Takes ciphertext: tells what it means, and writes what the handshake answers to `wire`. `spare` is memory to
    /// work in.
    ///
    /// # Errors
    ///
    /// The session is broken; the alert that says so is in `wire`, and nothing more may be taken or sealed.
    pub(crate) fn receive(
        &mut self,
        bytes: &[u8],
        wire: &mut Outbox,
        spare: &mut Vec<u8>,
        mut tell: impl FnMut(SessionEvent<'_>),
    ) -> Result<(), SessionError> {
        if self.ended {
            return Ok(());
        }
        // rustls decrypts in place, and the bytes are the engine's.
        let lent = self.partial.is_empty();
        let mut buffer = std::mem::take(if lent { spare } else { &mut self.partial });
        buffer.extend_from_slice(bytes);
        let done = self.process(&mut buffer, wire, &mut tell);
        let (Ok(used) | Err((used, _))) = &done;
        if lent {
            self.partial = buffer[*used..].to_vec();
            buffer.clear();
            *spare = buffer;
        } else if *used < buffer.len() {
            buffer.drain(..used);
            self.partial = buffer;
        }
        match done {
            Err((_, failure)) => Err(failure),
            Ok(_) if self.partial.len() > PARTIAL_BYTES => Err(SessionError {
                label: "oversized_record",
                text: "a record or message never ends".to_owned(),
            }),
            Ok(_) => Ok(()),
        }
    }

    /// Goes through whole records; returns how many bytes are done with.
    fn process(
        &mut self,
        buffer: &mut [u8],
        wire: &mut Outbox,
        tell: &mut impl FnMut(SessionEvent<'_>),
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
                // What was agreed is told first; the data is still there in the next round.
                Ok(ConnectionState::ReadTraffic(mut traffic)) if self.agreed => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(|error| (used, error.into()))?;
                        used += record.discard;
                        tell(SessionEvent::Data(record.payload));
                    }
                }
                Ok(ConnectionState::ReadTraffic(_)) => {}
                Ok(ConnectionState::EncodeTlsData(data)) => write(data, wire),
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => {
                    self.ended = true;
                    tell(SessionEvent::CloseNotify);
                    return Ok(buffer.len());
                }
                Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => {
                    self.tell_agreed(tell);
                    return Ok(used);
                }
                // Early data is not accepted, so that none is to be read.
                Ok(_) => return Ok(used),
            }
            self.tell_agreed(tell);
        }
    }

    fn tell_agreed(&mut self, tell: &mut impl FnMut(SessionEvent<'_>)) {
        if !self.agreed && !self.tls.is_handshaking() {
            self.agreed = true;
            tell(SessionEvent::Negotiated(self.agreement()));
        }
    }

    fn agreement(&self) -> Negotiated {
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

    /// Writes the alert of a session that broke. What waits to be sent comes before what was received, which must not
    /// be looked at again.
    fn write_alert(&mut self, mut rest: &mut [u8], wire: &mut Outbox) {
        while self.tls.wants_write() {
            let UnbufferedStatus { discard, state, .. } = self.tls.process_tls_records(rest);
            let Ok(ConnectionState::EncodeTlsData(data)) = state else { return };
            write(data, wire);
            rest = &mut rest[discard..];
        }
    }
}

/// Writes what the handshake, or an alert, has to say.
pub(super) fn write(mut data: EncodeTlsData<'_, rustls::server::ServerConnectionData>, wire: &mut Outbox) {
    let wire = wire.buffer();
    let start = wire.len();
    let mut room = 0;
    loop {
        wire.resize(start + room, 0);
        match data.encode(&mut wire[start..]) {
            Ok(written) => return wire.truncate(start + written),
            Err(EncodeError::InsufficientSize(size)) if size.required_size > room => {
                room = size.required_size
            }
            Err(_) => return wire.truncate(start),
        }
    }
}
