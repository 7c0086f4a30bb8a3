//! Records written to the end of an outbox, with as much room as each needs.

use rustls::{
    server::ServerConnectionData,
    unbuffered::{EncodeError, EncodeTlsData, EncryptError},
};

use super::session_error::SessionError;
use crate::net::Outbox;

/// Writes a record of the handshake, or an alert. Writes nothing if rustls cannot encode it.
pub(super) fn write_encoded(mut data: EncodeTlsData<'_, ServerConnectionData>, wire: &mut Outbox) {
    let wire = wire.buffer();
    let start = wire.len();
    let mut room = 0;
    loop {
        wire.resize(start + room, 0);
        match data.encode(&mut wire[start..]) {
            Ok(written) => return wire.truncate(start + written),
            Err(EncodeError::InsufficientSize(size)) if size.required_size > room => {
                room = size.required_size;
            }
            Err(_) => return wire.truncate(start),
        }
    }
}

/// Writes an encrypted record. `encrypt` gets `room` bytes, and more in a second call if they are not enough.
///
/// # Errors
///
/// Fails if `encrypt` fails for another reason than a lack of room. The outbox is then unchanged.
pub(super) fn write_encrypted(
    wire: &mut Outbox,
    mut room: usize,
    mut encrypt: impl FnMut(&mut [u8]) -> Result<usize, EncryptError>,
) -> Result<(), SessionError> {
    let wire = wire.buffer();
    let start = wire.len();
    loop {
        wire.resize(start + room, 0);
        match encrypt(&mut wire[start..]) {
            Ok(written) => {
                wire.truncate(start + written);
                return Ok(());
            }
            Err(EncryptError::InsufficientSize(size)) if size.required_size > room => {
                room = size.required_size;
            }
            Err(error) => {
                wire.truncate(start);
                return Err(unwritable(&error.to_string()));
            }
        }
    }
}

/// Returns the error of a session that cannot send.
pub(super) fn unwritable(text: &str) -> SessionError {
    SessionError { label: "unwritable", text: text.to_owned() }
}
