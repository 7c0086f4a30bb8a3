//! One message as it comes in, fragment by fragment.

use super::{Fault, Limits, Mask, Scratch, text::Text};

/// Kind of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Text,
    Binary,
}

/// The message in progress, or the one just handed out.
#[derive(Debug, Default)]
pub(super) enum Message {
    #[default]
    None,
    Text(Text),
    Binary(Vec<u8>),
    /// All of it is collected before it is inflated, so that the context of a shard can serve many
    /// connections.
    Compressed(Kind, Vec<u8>),
}

impl Message {
    /// Starts a plain message.
    pub(super) fn plain(kind: Kind, scratch: &mut Scratch) -> Self {
        match kind {
            Kind::Text => Self::Text(Text::new(scratch.buffer())),
            Kind::Binary => Self::Binary(scratch.buffer()),
        }
    }

    /// Starts a compressed message.
    pub(super) fn compressed(kind: Kind, scratch: &mut Scratch) -> Self {
        Self::Compressed(kind, scratch.buffer())
    }

    /// Says whether there is none.
    pub(super) fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Says whether a frame of this length fits.
    pub(super) fn check_room(&self, len: u64, limits: Limits) -> Result<(), Fault> {
        let (have, most) = match self {
            Self::Compressed(_, bytes) => (bytes.len(), limits.compressed_bytes()),
            _ => (self.len(), limits.message_bytes),
        };
        let room = most.saturating_sub(have);
        if len > room as u64 { Err(Fault::TooBig) } else { Ok(()) }
    }

    /// Appends a piece of a frame's payload as it came.
    pub(super) fn push_masked(
        &mut self,
        mask: &mut Mask,
        piece: &[u8],
        scratch: &mut Scratch,
    ) -> Result<(), Fault> {
        match self {
            Self::None => Ok(()),
            Self::Binary(bytes) | Self::Compressed(_, bytes) => {
                mask.append(bytes, piece);
                Ok(())
            }
            Self::Text(text) => scratch.unmasked(mask, piece, |plain| text.push(plain)),
        }
    }

    /// Appends plain bytes.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<(), Fault> {
        match self {
            Self::Text(text) => text.push(piece),
            Self::Binary(bytes) => {
                bytes.extend_from_slice(piece);
                Ok(())
            }
            Self::None | Self::Compressed(..) => Ok(()),
        }
    }

    /// Returns the bytes so far.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Text(text) => text.len(),
            Self::Binary(bytes) | Self::Compressed(_, bytes) => bytes.len(),
        }
    }

    /// Ends a plain message.
    pub(super) fn end(&mut self) -> Result<(), Fault> {
        match self {
            Self::Text(text) => text.end(),
            _ => Ok(()),
        }
    }

    /// Gives its memory back.
    pub(super) fn release(&mut self, scratch: &mut Scratch) {
        match std::mem::take(self) {
            Self::None => {}
            Self::Text(text) => scratch.recycle(text.into_buffer()),
            Self::Binary(bytes) | Self::Compressed(_, bytes) => scratch.recycle(bytes),
        }
    }
}
