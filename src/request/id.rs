//! Identifiers of requests.

use std::fmt;

use http::HeaderName;

/// Maximum length of a request's identifier, bytes. A longer one is ignored.
const MAX_BYTES: usize = 64;

/// Identifier of a request: 1 to 64 bytes of visible ASCII. A handler can take it as an argument.
///
/// It is the `x-request-id` of the request, or the one that [`RequestIds`](crate::middleware::RequestIds) has
/// made. As an argument it requires one of them: a request without one is answered with `500`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RequestId {
    bytes: [u8; MAX_BYTES],
    length: usize,
}

impl RequestId {
    /// Name of the header field.
    pub const NAME: HeaderName = HeaderName::from_static("x-request-id");

    /// Copies a value. Returns `None` if it is empty, longer than 64 bytes or not visible ASCII.
    pub fn new(value: &[u8]) -> Option<Self> {
        let is_valid = !value.is_empty() && value.iter().all(u8::is_ascii_graphic);
        let mut bytes = [0; MAX_BYTES];
        bytes.get_mut(..value.len()).filter(|_| is_valid)?.copy_from_slice(value);
        Some(Self { bytes, length: value.len() })
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RequestId").field(&self.as_str()).finish()
    }
}
