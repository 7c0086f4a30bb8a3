//! Bounds on what a peer can make one connection hold.

/// Bounds of one WebSocket connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest message, bytes, all its fragments together and after inflation. Default 1 MiB. Larger: close
    /// code 1009, told as soon as a frame header announces it. Costs up to twice as much memory for a
    /// connection that sends a compressed one, since a compressed message is inflated when all of it is
    /// there.
    ///
    /// There is no bound on the ratio of compression below it: honest JSON reaches 75 : 1.
    pub message_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { message_bytes: 1024 * 1024 }
    }
}

impl Limits {
    /// Returns the most bytes that a message may have before inflation: DEFLATE may lengthen what does not
    /// compress.
    pub(super) fn compressed_bytes(self) -> usize {
        self.message_bytes.saturating_add(self.message_bytes / 8).saturating_add(64)
    }
}
