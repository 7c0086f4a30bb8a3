//! Limits of one WebSocket connection.

/// Limits of one WebSocket connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Maximum size of a message in bytes, over all its fragments and after inflation. Default: 1 MiB. A
    /// frame header that announces more is rejected at once with close code 1009.
    ///
    /// A connection that receives compressed messages may use up to twice as much memory, because a message
    /// is inflated when it is complete. The compression ratio below the limit is not bounded: ordinary JSON
    /// reaches 75 : 1.
    pub message_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { message_bytes: 1024 * 1024 }
    }
}

impl Limits {
    /// Returns the maximum size of a message before inflation. It is larger than the limit, because DEFLATE
    /// may lengthen data that does not compress.
    pub(super) fn compressed_bytes(self) -> usize {
        self.message_bytes.saturating_add(self.message_bytes / 8).saturating_add(64)
    }
}
