//! Text that comes in pieces, checked as it comes.

use super::Fault;

/// Longest encoding of one character.
const MAX_CHAR_BYTES: usize = 4;

/// The text so far. A piece may end within a character; its first bytes wait here for the rest.
///
/// A byte that cannot belong to any text is told at once, not when the message ends (RFC 6455 §8.1, and
/// Autobahn's fail-fast cases).
#[derive(Debug, Default)]
pub(super) struct Text {
    text: String,
    split: [u8; MAX_CHAR_BYTES],
    split_len: usize,
}

impl Text {
    /// Starts empty, in the memory of a buffer.
    pub(super) fn new(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        Self { text: String::from_utf8(buffer).unwrap_or_default(), ..Self::default() }
    }

    /// Appends a piece.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<(), Fault> {
        let rest = self.join(piece)?;
        let (whole, begun) = rest.split_at(rest.len() - begun_len(rest));
        let whole = simdutf8::compat::from_utf8(whole).map_err(|_| Fault::Text)?;
        self.text.push_str(whole);
        if !begun.is_empty() {
            self.split[..begun.len()].copy_from_slice(begun);
            self.split_len = begun.len();
            self.check_split()?;
        }
        Ok(())
    }

    /// Returns the bytes so far, those of a character that is not complete included.
    pub(super) fn len(&self) -> usize {
        self.text.len() + self.split_len
    }

    /// Ends the message.
    pub(super) fn end(&mut self) -> Result<(), Fault> {
        if self.split_len == 0 { Ok(()) } else { Err(Fault::Text) }
    }

    /// Returns the text, for whoever it is handed to.
    pub(super) fn text(&mut self) -> &mut String {
        &mut self.text
    }

    /// Returns the memory.
    pub(super) fn into_buffer(self) -> Vec<u8> {
        self.text.into_bytes()
    }

    /// Completes the character that the last piece split, as far as this piece goes; returns what follows it.
    fn join<'a>(&mut self, piece: &'a [u8]) -> Result<&'a [u8], Fault> {
        let mut rest = piece;
        while self.split_len > 0
            && let [byte, after @ ..] = rest
        {
            self.split[self.split_len] = *byte;
            self.split_len += 1;
            rest = after;
            self.check_split()?;
        }
        Ok(rest)
    }

    /// Moves a completed character to the text.
    fn check_split(&mut self) -> Result<(), Fault> {
        match std::str::from_utf8(&self.split[..self.split_len]) {
            Ok(character) => {
                self.text.push_str(character);
                self.split_len = 0;
                Ok(())
            }
            Err(error) if error.error_len().is_none() => Ok(()),
            Err(_) => Err(Fault::Text),
        }
    }
}

/// Returns how many bytes at the end may be the beginning of a character: a first byte and fewer than it asks
/// for.
fn begun_len(bytes: &[u8]) -> usize {
    let last = bytes.iter().rev().take(MAX_CHAR_BYTES - 1);
    for (before, &byte) in last.enumerate() {
        let asked = match byte {
            0x80..=0xbf => continue,
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xff => 4,
            _ => 1,
        };
        return if asked > before + 1 { before + 1 } else { 0 };
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
        text.end().map_err(|fault| (pieces.len(), fault))?;
        Ok(text.text().clone())
    }

    /// Every sequence of up to four of these bytes: both ends of each class of the encoding.
    const CLASSES: [u8; 17] = [
        0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc1, 0xc2, 0xdf, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0xf5,
    ];

    /// Says whether some text begins with these bytes.
    fn may_begin_a_text(bytes: &[u8]) -> bool {
        match std::str::from_utf8(bytes) {
            Ok(_) => true,
            Err(error) => error.error_len().is_none(),
        }
    }

    #[test]
    fn every_short_sequence_is_judged_at_the_first_byte_that_condemns_it_however_it_is_cut() {
        for index in 0..CLASSES.len().pow(4) {
            let bytes: [u8; 4] =
                std::array::from_fn(|at| CLASSES[index / CLASSES.len().pow(at as u32) % CLASSES.len()]);
            let condemned = (1..=4).find(|&len| !may_begin_a_text(&bytes[..len]));
            for cuts in 0..8_u8 {
                let (mut text, mut at, mut verdict) = (Text::default(), 0, None);
                for end in (1..=4).filter(|end| *end == 4 || cuts >> (end - 1) & 1 == 1) {
                    if verdict.is_none() && text.push(&bytes[at..end]).is_err() {
                        verdict = Some(end);
                    }
                    at = end;
                }
                let told = condemned.map(|len| (len..=4).find(|end| *end == 4 || cuts >> (end - 1) & 1 == 1));
                assert_eq!(verdict, told.flatten(), "{bytes:x?} cut {cuts:b}");
                if verdict.is_none() {
                    assert_eq!(text.len(), 4);
                    assert_eq!(text.end().is_ok(), std::str::from_utf8(&bytes).is_ok());
                }
            }
        }
    }

    #[test]
    fn characters_split_anywhere_come_together() {
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
    fn a_text_that_ends_within_a_character_is_refused() {
        assert_eq!(pushed(&[b"a\xe2\x82"]), Err((1, Fault::Text)));
    }
}
