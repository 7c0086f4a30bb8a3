//! Text that arrives in pieces, checked for UTF-8 as it arrives.

use super::Fault;

/// Maximum length of an encoded character.
const MAX_CHAR_BYTES: usize = 4;

/// Text received so far. A piece may end within a character. The bytes of that character are kept until the
/// rest arrives.
///
/// A byte that makes the text invalid is reported at once, not at the end of the message (RFC 6455 §8.1, and
/// the fail-fast cases of the Autobahn test suite).
#[derive(Debug, Default)]
pub(super) struct Text {
    text: String,
    partial: [u8; MAX_CHAR_BYTES],
    partial_len: usize,
}

impl Text {
    /// Creates an empty text that reuses the memory of a buffer.
    pub(super) fn new(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        Self { text: String::from_utf8(buffer).unwrap_or_default(), ..Self::default() }
    }

    /// Appends a piece.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<(), Fault> {
        let rest = self.complete_char(piece)?;
        let (whole, partial) = rest.split_at(rest.len() - partial_char_len(rest));
        let whole = simdutf8::compat::from_utf8(whole).map_err(|_| Fault::Text)?;
        self.text.push_str(whole);
        if !partial.is_empty() {
            self.partial[..partial.len()].copy_from_slice(partial);
            self.partial_len = partial.len();
            self.take_complete_char()?;
        }
        Ok(())
    }

    /// Returns the number of bytes received so far, including those of an incomplete character.
    pub(super) fn len(&self) -> usize {
        self.text.len() + self.partial_len
    }

    /// Checks that the text does not end within a character.
    pub(super) fn finish(&mut self) -> Result<(), Fault> {
        if self.partial_len == 0 { Ok(()) } else { Err(Fault::Text) }
    }

    /// Returns the text, without an incomplete character at its end.
    pub(super) fn text(&mut self) -> &mut String {
        &mut self.text
    }

    /// Returns the memory of the text.
    pub(super) fn into_buffer(self) -> Vec<u8> {
        self.text.into_bytes()
    }

    /// Adds the start of `piece` to the incomplete character. Returns the rest of the piece.
    fn complete_char<'a>(&mut self, piece: &'a [u8]) -> Result<&'a [u8], Fault> {
        let mut rest = piece;
        while self.partial_len > 0
            && let [byte, after @ ..] = rest
        {
            self.partial[self.partial_len] = *byte;
            self.partial_len += 1;
            rest = after;
            self.take_complete_char()?;
        }
        Ok(rest)
    }

    /// Moves the character to the text, if it is complete.
    fn take_complete_char(&mut self) -> Result<(), Fault> {
        match std::str::from_utf8(&self.partial[..self.partial_len]) {
            Ok(character) => {
                self.text.push_str(character);
                self.partial_len = 0;
                Ok(())
            }
            Err(error) if error.error_len().is_none() => Ok(()),
            Err(_) => Err(Fault::Text),
        }
    }
}

/// Returns the number of bytes at the end that may be the start of a character: a first byte and fewer bytes
/// than it requires.
fn partial_char_len(bytes: &[u8]) -> usize {
    let last = bytes.iter().rev().take(MAX_CHAR_BYTES - 1);
    for (before, &byte) in last.enumerate() {
        let required = match byte {
            0x80..=0xbf => continue,
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xff => 4,
            _ => 1,
        };
        return if required > before + 1 { before + 1 } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushed(pieces: &[&[u8]]) -> Result<String, (usize, Fault)> {
        let mut text = Text::default();
        for (index, piece) in pieces.iter().enumerate() {
            text.push(piece).map_err(|fault| (index, fault))?;
        }
        text.finish().map_err(|fault| (pieces.len(), fault))?;
        Ok(text.text().clone())
    }

    /// Bytes at both ends of each class of the UTF-8 encoding. The test uses every sequence of four of them.
    const CLASSES: [u8; 17] = [
        0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc1, 0xc2, 0xdf, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0xf5,
    ];

    /// Returns `true` if some text starts with these bytes.
    fn may_begin_a_text(bytes: &[u8]) -> bool {
        match std::str::from_utf8(bytes) {
            Ok(_) => true,
            Err(error) => error.error_len().is_none(),
        }
    }

    #[test]
    fn every_short_sequence_is_rejected_at_its_first_invalid_byte_however_it_is_split() {
        for index in 0..CLASSES.len().pow(4) {
            let bytes: [u8; 4] =
                std::array::from_fn(|at| CLASSES[index / CLASSES.len().pow(at as u32) % CLASSES.len()]);
            let invalid_at = (1..=4).find(|&len| !may_begin_a_text(&bytes[..len]));
            for cuts in 0..8_u8 {
                let (mut text, mut at, mut rejected_at) = (Text::default(), 0, None);
                for end in (1..=4).filter(|end| *end == 4 || cuts >> (end - 1) & 1 == 1) {
                    if rejected_at.is_none() && text.push(&bytes[at..end]).is_err() {
                        rejected_at = Some(end);
                    }
                    at = end;
                }
                let expected =
                    invalid_at.map(|len| (len..=4).find(|end| *end == 4 || cuts >> (end - 1) & 1 == 1));
                assert_eq!(rejected_at, expected.flatten(), "{bytes:x?} cut {cuts:b}");
                if rejected_at.is_none() {
                    assert_eq!(text.len(), 4);
                    assert_eq!(text.finish().is_ok(), std::str::from_utf8(&bytes).is_ok());
                }
            }
        }
    }

    #[test]
    fn characters_can_be_split_anywhere() {
        let text = "aκόσμε€𝄞z";
        for first in 0..=text.len() {
            for second in first..=text.len() {
                let bytes = text.as_bytes();
                let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                assert_eq!(pushed(&pieces), Ok(text.to_owned()));
            }
        }
    }

    #[test]
    fn a_text_that_ends_within_a_character_is_rejected() {
        assert_eq!(pushed(&[b"a\xe2\x82"]), Err((1, Fault::Text)));
    }
}
