//! Percent-encoding in paths: the one rule for routes, parameters and topics.
//!
//! - A path is split at its plain slashes, before anything is decoded. An encoded reserved character, such as
//!   the slash `%2F`, never separates (RFC 3986 §2.2).
//! - An encoded unreserved character (letters, digits, `-`, `.`, `_`, `~`) is equal to the plain one, and the
//!   case of the digits does not matter (RFC 3986 §6.2.2): `/%61` is `/a`, and `%2f` is `%2F`.
//! - A path is decoded once: `%2561` is the text `%61`.
//! - A path with a `%` that two hexadecimal digits do not follow is no URI. Nothing in it is equal to
//!   anything else, and such a `%` stands for itself.

use std::borrow::Cow;

/// Slash of a path segment in normal form.
const ENCODED_SLASH: &str = "%2F";

/// Returns the path in normal form: with unreserved characters decoded, and upper-case digits elsewhere. A
/// path with a `%` that two hexadecimal digits do not follow is returned as it is.
pub(crate) fn normalized(path: &str) -> Cow<'_, str> {
    let mut pieces = path.split('%');
    let mut normal = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let Some(byte) = piece.as_bytes().get(..2).and_then(decode) else { return Cow::Borrowed(path) };
        let (digits, plain) = piece.split_at(2);
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            normal.push(char::from(byte));
        } else {
            normal.push('%');
            normal.push_str(&digits.to_ascii_uppercase());
        }
        normal.push_str(plain);
    }
    if normal == path { Cow::Borrowed(path) } else { Cow::Owned(normal) }
}

/// Decodes the value of a parameter that matches one segment, or of one segment of a longer value. Bytes that
/// are not UTF-8 become U+FFFD.
pub(crate) fn decoded(value: &str) -> Cow<'_, str> {
    percent_encoding::percent_decode_str(value).decode_utf8_lossy()
}

/// Decodes the value of a parameter that matches the rest of a path. An encoded slash stays encoded, so that
/// every plain slash separates two segments.
pub(crate) fn decoded_rest(value: &str) -> Cow<'_, str> {
    if !value.contains(ENCODED_SLASH) {
        return decoded(value);
    }
    let pieces: Vec<_> = value.split(ENCODED_SLASH).map(decoded).collect();
    Cow::Owned(pieces.join(ENCODED_SLASH))
}

/// Returns `true` if the value, decoded, is UTF-8 without NUL.
pub(crate) fn is_text(value: &str) -> bool {
    percent_encoding::percent_decode_str(value).decode_utf8().is_ok_and(|text| !text.contains('\0'))
}

fn decode(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (high, low) = (digit(digits[0])?, digit(digits[1])?);
    u8::try_from(high << 4 | low).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unreserved_characters_are_decoded() {
        for (path, normal) in [
            ("/a/b", "/a/b"),
            ("/%61/%7E%2d", "/a/~-"),
            ("/a%2fb%3a", "/a%2Fb%3A"),
            ("/%2561", "/%2561"),
            ("/%c3%a4", "/%C3%A4"),
            ("/100%", "/100%"),
            ("/%4/%zz%", "/%4/%zz%"),
            ("/%\u{e4}", "/%\u{e4}"),
            ("/%2e%2E/", "/../"),
            ("/%%361", "/%%361"),
            ("/%61%", "/%61%"),
            ("/%u0061", "/%u0061"),
            ("/\u{e4}%61", "/\u{e4}a"),
        ] {
            assert_eq!(normalized(path), normal);
        }
        assert!(matches!(normalized("/a%2Fb"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_decoded_rest_keeps_encoded_slashes() {
        assert_eq!(decoded_rest("a%20b/c%2Fd/%C3%A4"), "a b/c%2Fd/\u{e4}");
        assert_eq!(decoded_rest("a%252F"), "a%2F");
        assert_eq!(decoded("a%2Fb"), "a/b");
    }
}
