//! Tokens and comma-separated lists (RFC 9110 §5.6).

/// Says whether a byte may stand in a token (`tchar`).
pub(in crate::proto) fn is_token_byte(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

/// Says whether this is a token: at least one byte, all of them token bytes.
pub(in crate::proto) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is_token_byte(byte))
}

/// Walks the elements of a comma-separated list, white space around them taken off. Empty ones are kept.
pub(in crate::proto) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim)
}

/// Takes optional white space (`OWS`) off both ends.
pub(in crate::proto) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = matches!(byte as u8,
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+'
            | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~');
        byte += 1;
    }
    table
};
