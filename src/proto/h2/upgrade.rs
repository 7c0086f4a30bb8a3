//! The settings in an HTTP/1.1 request with `Upgrade: h2c` (RFC 7540 §3.2.1).

use super::PeerSettings;

/// Decodes the value of `HTTP2-Settings`: the payload of a SETTINGS frame in base64url without padding.
/// Returns `None` if it is not valid.
pub fn settings(value: &[u8]) -> Option<PeerSettings> {
    let mut peer = PeerSettings::default();
    peer.apply(&decode(value)?).ok()?;
    Some(peer)
}

/// Decodes base64url without padding (RFC 4648 §5). Bits of the last letter that encode nothing must be zero.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    for letters in text.chunks(4) {
        let (mut bits, count) = (0, letters.len());
        for letter in letters {
            bits = bits << 6 | digit(*letter)?;
        }
        let [_, decoded @ ..] = (bits << (6 * (4 - count))).to_be_bytes();
        let (decoded, rest) = decoded.split_at(count - 1);
        if count == 1 || rest.iter().any(|byte| *byte != 0) && count < 4 {
            return None;
        }
        bytes.extend_from_slice(decoded);
    }
    Some(bytes)
}

fn digit(letter: u8) -> Option<u32> {
    let digit = match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'-' => 62,
        b'_' => 63,
        _ => return None,
    };
    Some(u32::from(digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64url_is_decoded_without_padding() {
        let cases: [(&str, &[u8]); 6] = [
            ("", b""),
            ("Zg", b"f"),
            ("Zm8", b"fo"),
            ("Zm9v", b"foo"),
            ("Zm9vYmFy", b"foobar"),
            ("-_8", b"\xfb\xff"),
        ];
        for (text, bytes) in cases {
            assert_eq!(decode(text.as_bytes()).as_deref(), Some(bytes), "{text}");
        }
        for invalid in ["Z", "Zg==", "Zh", "Zm9", "Zm9v!", "Zm9vZ", "+/8", "Zm 9"] {
            assert_eq!(decode(invalid.as_bytes()), None, "{invalid}");
        }
    }

    #[test]
    fn settings_must_be_valid() {
        // Those of curl: 100 streams, a window of 32 MiB, no pushes.
        let peer = settings(b"AAMAAABkAAQCAAAAAAIAAAAA").unwrap();
        assert_eq!(peer.initial_window, 32 << 20);
        assert_eq!(settings(b"").unwrap().initial_window, 65_535);
        assert!(settings(b"AAMAAABk=").is_none() && settings(b"AAMA").is_none());
        assert!(settings(b"AAIAAAAC").is_none(), "ENABLE_PUSH is neither 0 nor 1");
    }
}
