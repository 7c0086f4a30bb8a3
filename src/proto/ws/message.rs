//! Message under reception, fragment by fragment.

use super::{Fault, Limits, Mask, Scratch, text::Text};

/// Type of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum MessageType {
    Text,
    Binary,
}

/// Message under reception, or the one that was returned last; `None` between messages.
#[derive(Debug, Default)]
pub(super) enum Message {
    #[default]
    None,
    Text(Text),
    Binary(Vec<u8>),
    /// Compressed message. It is inflated when it is complete, so that many connections can share one
    /// inflater.
    Compressed(MessageType, Vec<u8>),
}

impl Message {
    /// Starts an uncompressed message.
    pub(super) fn plain(kind: MessageType, scratch: &mut Scratch) -> Self {
        match kind {
            MessageType::Text => Self::Text(Text::new(scratch.buffer())),
            MessageType::Binary => Self::Binary(scratch.buffer()),
        }
    }

    /// Starts a compressed message.
    pub(super) fn compressed(kind: MessageType, scratch: &mut Scratch) -> Self {
        Self::Compressed(kind, scratch.buffer())
    }

    /// Returns `true` if there is no message.
    pub(super) fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Checks that the message with a frame of this length does not exceed the limit.
    pub(super) fn check_room(&self, frame_len: u64, limits: Limits) -> Result<(), Fault> {
        let (len, max) = match self {
            Self::Compressed(_, bytes) => (bytes.len(), limits.compressed_bytes()),
            _ => (self.len(), limits.message_bytes),
        };
        let room = max.saturating_sub(len);
        if frame_len > room as u64 { Err(Fault::TooBig) } else { Ok(()) }
    }

    /// Unmasks a piece of a frame's payload and appends it. Text must be valid UTF-8 so far.
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
            Self::Text(text) => scratch.unmask(mask, piece, |plain| text.push(plain)),
        }
    }

    /// Appends uncompressed bytes.
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

    /// Returns the number of bytes received so far.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Text(text) => text.len(),
            Self::Binary(bytes) | Self::Compressed(_, bytes) => bytes.len(),
        }
    }

    /// Checks that a message does not end within a character of its text.
    pub(super) fn finish(&mut self) -> Result<(), Fault> {
        match self {
            Self::Text(text) => text.finish(),
            _ => Ok(()),
        }
    }

    /// Removes the message and recycles its memory.
    pub(super) fn release(&mut self, scratch: &mut Scratch) {
        match std::mem::take(self) {
            Self::None => {}
            Self::Text(text) => scratch.recycle(text.into_buffer()),
            Self::Binary(bytes) | Self::Compressed(_, bytes) => scratch.recycle(bytes),
        }
    }
}
