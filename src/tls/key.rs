//! Kinds of private keys, to explain why one cannot be used.

use rustls::pki_types::PrivateKeyDer;

use super::der::{INTEGER, OBJECT_IDENTIFIER, SEQUENCE, expect};

/// Algorithms of PKCS#8 keys by their object identifier.
const ALGORITHMS: &[(&[u8], &str)] = &[
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1], "RSA"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10], "RSA-PSS"),
    (&[0x2a, 0x86, 0x48, 0xce, 0x38, 4, 1], "DSA"),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1], "ECDSA"),
    (&[0x2b, 0x65, 0x6e], "X25519"),
    (&[0x2b, 0x65, 0x6f], "X448"),
    (&[0x2b, 0x65, 0x70], "Ed25519"),
    (&[0x2b, 0x65, 0x71], "Ed448"),
];

/// Describes a key that cannot be used: its algorithm, and the size of an RSA key.
pub(super) fn describe(key: &PrivateKeyDer<'_>) -> Option<String> {
    match key {
        PrivateKeyDer::Pkcs1(key) => rsa(key.secret_pkcs1_der()),
        PrivateKeyDer::Sec1(_) => Some("an ECDSA key on another curve".to_owned()),
        PrivateKeyDer::Pkcs8(key) => pkcs8(key.secret_pkcs8_der()),
        _ => None,
    }
}

/// Describes a PKCS#8 key (RFC 5208 §5).
fn pkcs8(key: &[u8]) -> Option<String> {
    let (fields, _) = expect(key, SEQUENCE)?;
    let (algorithm, fields) = expect(expect(fields, INTEGER)?.1, SEQUENCE)?;
    let (id, _) = expect(algorithm, OBJECT_IDENTIFIER)?;
    let name = ALGORITHMS.iter().find(|(known, _)| *known == id).map(|(_, name)| *name)?;
    /// Tag of an octet string.
    const OCTETS: u8 = 0x04;
    Some(match name {
        "RSA" => rsa(expect(fields, OCTETS)?.0)?,
        "ECDSA" => "an ECDSA key on another curve".to_owned(),
        name => format!("a key for {name}"),
    })
}

/// Describes an RSA key (RFC 8017 §A.1.2).
fn rsa(key: &[u8]) -> Option<String> {
    let (fields, _) = expect(key, SEQUENCE)?;
    let (modulus, _) = expect(expect(fields, INTEGER)?.1, INTEGER)?;
    let leading = modulus.iter().take_while(|byte| **byte == 0).count();
    let first = modulus.get(leading)?;
    let bits = (modulus.len() - leading) * 8 - first.leading_zeros() as usize;
    Some(format!("an RSA key of {bits} bits"))
}
