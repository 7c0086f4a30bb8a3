//! Identifiers of requests.

/// Maximum length of a request's identifier, bytes. A longer one is ignored.
const MAX_BYTES: usize = 64;

/// Identifier of a request, copied from its `x-request-id` field so that it outlives the request.
#[derive(Clone, Copy)]
pub(crate) struct RequestId {
    bytes: [u8; MAX_BYTES],
    length: usize,
}

impl RequestId {
    /// Name of the header field.
    pub(crate) const FIELD: &'static str = "x-request-id";

    /// Copies a value. Returns `None` if it is empty, longer than 64 bytes or not visible ASCII.
    pub(crate) fn new(value: &[u8]) -> Option<Self> {
        let is_valid = !value.is_empty() && value.iter().all(u8::is_ascii_graphic);
        let mut bytes = [0; MAX_BYTES];
        bytes.get_mut(..value.len()).filter(|_| is_valid)?.copy_from_slice(value);
        Some(Self { bytes, length: value.len() })
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}
