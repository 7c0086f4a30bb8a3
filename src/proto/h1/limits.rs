//! Limits of one HTTP/1.1 request.

/// Limits of one HTTP/1.1 request. A request that exceeds one is refused with the status given there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Maximum length of the request line without its line end, in bytes. Default 8 KiB, status 414. Should
    /// be less than `head_bytes`.
    pub line_bytes: usize,
    /// Maximum length of the head including the empty line, in bytes. Default 32 KiB, status 431.
    pub head_bytes: usize,
    /// Maximum number of header fields, and likewise of trailer fields. Default 100, status 431. A head of up
    /// to 128 fields is parsed without an allocation.
    pub headers: usize,
    /// Maximum size of all chunk extensions of one message, in bytes. Default 1 KiB, status 400.
    pub extension_bytes: usize,
    /// Maximum size of the trailer section of one message, in bytes. Default 4 KiB, status 431.
    pub trailer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            line_bytes: 8 * 1024,
            head_bytes: 32 * 1024,
            headers: 100,
            extension_bytes: 1024,
            trailer_bytes: 4 * 1024,
        }
    }
}
