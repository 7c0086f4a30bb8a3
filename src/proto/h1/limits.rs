//! How much of a request is read before it is refused.

/// Bounds what one HTTP/1.1 request may make us hold or search. All sizes are bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest request line, without its line end. Default 8 KiB; beyond it `414`. Keep it below `head_bytes`.
    pub line_bytes: usize,
    /// Longest head, from the first byte to the empty line's end. Default 16 KiB; beyond it `431`.
    pub head_bytes: usize,
    /// Most header fields of one request, and most trailer fields. Default 100; beyond it `431`. Up to 128 are
    /// parsed without an allocation.
    pub headers: usize,
    /// Most bytes of chunk extensions in one message. Default 1 KiB; beyond it `400`.
    pub extension_bytes: usize,
    /// Longest trailer section of one message. Default 4 KiB; beyond it `431`.
    pub trailer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            line_bytes: 8 * 1024,
            head_bytes: 16 * 1024,
            headers: 100,
            extension_bytes: 1024,
            trailer_bytes: 4 * 1024,
        }
    }
}
