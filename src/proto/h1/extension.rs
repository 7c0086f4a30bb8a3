//! Syntax of chunk extensions, one byte after the other (RFC 9112 §7.1.1).
//!
//! Bad white space (`BWS`) is accepted where the grammar allows it: before and after `;` and `=`. At the end
//! of the line it is refused.

use crate::proto::semantics::{Reject, is_token_byte};

/// Part of the extensions that the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extension {
    /// White space between the size and the first `;`.
    BeforeFirst,
    /// Start of a name, or white space before it.
    Start,
    Name,
    /// White space after a name.
    AfterName,
    /// Start of a value, or white space before it.
    ValueStart,
    /// Value that is a token.
    Token,
    /// Value that is a quoted string.
    Quoted,
    /// Byte after a backslash in a quoted string.
    Escaped,
    /// Byte after the closing quote of a value.
    AfterQuoted,
    /// White space after a value.
    AfterValue,
}

impl Extension {
    /// Returns `true` if the line may end here.
    pub(super) fn may_end(self) -> bool {
        matches!(self, Self::Name | Self::Token | Self::AfterQuoted)
    }

    /// Returns the part after this byte.
    pub(super) fn next(self, byte: u8) -> Result<Self, Reject> {
        let is_blank = matches!(byte, b' ' | b'\t');
        match (self, byte) {
            (_, b'\n') => Err(Reject::BareLf),
            (Self::BeforeFirst | Self::Name | Self::AfterName | Self::Token, b';')
            | (Self::AfterQuoted | Self::AfterValue, b';') => Ok(Self::Start),
            (Self::Name | Self::AfterName, b'=') => Ok(Self::ValueStart),
            (Self::ValueStart, b'"') => Ok(Self::Quoted),
            (Self::Quoted, b'"') => Ok(Self::AfterQuoted),
            (Self::Quoted, b'\\') => Ok(Self::Escaped),
            (Self::Quoted | Self::Escaped, b'\t' | b' '..=b'~' | 0x80..) => Ok(Self::Quoted),
            (Self::Start | Self::Name, byte) if is_token_byte(byte) => Ok(Self::Name),
            (Self::ValueStart | Self::Token, byte) if is_token_byte(byte) => Ok(Self::Token),
            (Self::BeforeFirst | Self::Start | Self::AfterName | Self::ValueStart, _) if is_blank => Ok(self),
            (Self::Name, _) if is_blank => Ok(Self::AfterName),
            (Self::Token | Self::AfterQuoted | Self::AfterValue, _) if is_blank => Ok(Self::AfterValue),
            // White space that no extension follows.
            (Self::BeforeFirst, _) => Err(Reject::ChunkSize),
            _ => Err(Reject::ChunkExtension),
        }
    }
}
