//! Scans bytes several at a time, in safe and portable code: heads are short, so that setting up wider
//! vectors costs more than it saves.

/// Returns the length of the leading run of bytes whose class in the table is 0.
pub(in crate::proto) fn plain_len(bytes: &[u8], classes: &[u8; 256]) -> usize {
    let class = |byte: u8| classes[usize::from(byte)];
    let (quads, _) = bytes.as_chunks::<4>();
    let plain =
        quads.iter().take_while(|[a, b, c, d]| class(*a) | class(*b) | class(*c) | class(*d) == 0).count()
            * 4;
    plain + bytes[plain..].iter().take_while(|&&byte| class(byte) == 0).count()
}

/// Compares a field name with `lower` without regard to case.
///
/// Both must be tokens, and `lower` only of lower-case letters and `-`: then a single bit separates the
/// cases.
pub(in crate::proto) fn is_name<const N: usize>(name: &[u8], lower: &[u8; N]) -> bool {
    let Ok(name) = <&[u8; N]>::try_from(name) else { return false };
    name.iter().zip(lower).fold(0, |different, (byte, lower)| different | ((byte | 0x20) ^ lower)) == 0
}

#[cfg(test)]
mod tests {
    use super::{super::tokens::is_token_byte, *};

    #[test]
    fn names_are_told_apart_but_not_their_case() {
        for name in ["content-length", "Content-Length", "CONTENT-LENGTH"] {
            assert!(is_name(name.as_bytes(), b"content-length"));
        }
        for name in ["content-lengt", "content-lengthh", "content_length", "kontent-length", ""] {
            assert!(!is_name(name.as_bytes(), b"content-length"));
        }
        for token in (0..=255_u8).filter(|&byte| is_token_byte(byte)) {
            let name = [b'h', b'o', token, b't'];
            assert_eq!(is_name(&name, b"host"), name.eq_ignore_ascii_case(b"host"));
        }
    }

    #[test]
    fn plain_bytes_are_counted_up_to_the_first_other() {
        let mut classes = [0; 256];
        classes[b'!' as usize] = 2;
        for len in 0..20 {
            let mut bytes = vec![b'a'; len];
            assert_eq!(plain_len(&bytes, &classes), len);
            for at in (0..len).rev() {
                bytes[at] = b'!';
                assert_eq!(plain_len(&bytes, &classes), at);
            }
        }
    }
}
