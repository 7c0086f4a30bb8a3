//! The fields of a certificate that are read here (RFC 5280 §4.1). The certificate need not be valid: clients
//! judge it, the server only presents it.

use super::der::{INTEGER, SEQUENCE, element, expect, first};

/// Explicit tag of the version field.
const VERSION: u8 = 0xa0;

/// Returns the fields from the validity on.
pub(super) fn from_validity(certificate: &[u8]) -> Option<&[u8]> {
    let (certificate, _) = expect(certificate, SEQUENCE)?;
    let (mut fields, _) = expect(certificate, SEQUENCE)?;
    if fields.first() == Some(&VERSION) {
        fields = expect(fields, VERSION)?.1;
    }
    // The serial number, the signature algorithm and the issuer.
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        fields = expect(fields, tag)?.1;
    }
    Some(fields)
}

/// Returns the public key: the element SubjectPublicKeyInfo.
pub(super) fn public_key(certificate: &[u8]) -> Option<&[u8]> {
    let (.., fields) = element(from_validity(certificate)?)?;
    let (.., fields) = element(fields)?;
    first(fields).filter(|key| key.first() == Some(&SEQUENCE))
}
