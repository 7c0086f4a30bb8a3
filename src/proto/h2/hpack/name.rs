//! Field names that HTTP/2 gives a meaning of its own, and the syntax of all others.

use crate::proto::semantics::is_token_byte;

/// A field name, as far as a request's meaning depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// `:method`.
    Method,
    /// `:scheme`.
    Scheme,
    /// `:authority`.
    Authority,
    /// `:path`.
    Path,
    /// `:protocol` (RFC 8441 §4).
    Protocol,
    /// Any other name that begins with a colon.
    OtherPseudo,
    /// `host`.
    Host,
    /// `cookie`.
    Cookie,
    /// `content-length`.
    ContentLength,
    /// `expect`.
    Expect,
    /// `priority` (RFC 9218 §5).
    Priority,
    /// `te`.
    Te,
    /// A field that belongs to one connection of HTTP/1.1 (RFC 9113 §8.2.2).
    ConnectionSpecific,
    /// Any other valid name.
    Other,
    /// A name that is empty, or has a byte that is not allowed: upper case is not (RFC 9113 §8.2.1).
    Invalid,
}

impl Name {
    /// Recognizes a name.
    pub fn of(name: &[u8]) -> Self {
        match name {
            [] => Self::Invalid,
            [b':', ..] => Self::pseudo(name),
            _ if !name.iter().all(|&byte| ALLOWED[usize::from(byte)]) => Self::Invalid,
            _ => Self::regular(name),
        }
    }

    /// Returns `true` for the names that begin with a colon.
    pub fn is_pseudo(self) -> bool {
        matches!(
            self,
            Self::Method | Self::Scheme | Self::Authority | Self::Path | Self::Protocol | Self::OtherPseudo
        )
    }

    const fn pseudo(name: &[u8]) -> Self {
        match name {
            b":method" => Self::Method,
            b":scheme" => Self::Scheme,
            b":authority" => Self::Authority,
            b":path" => Self::Path,
            b":protocol" => Self::Protocol,
            _ => Self::OtherPseudo,
        }
    }

    const fn regular(name: &[u8]) -> Self {
        match name {
            b"te" => Self::Te,
            b"host" => Self::Host,
            b"cookie" => Self::Cookie,
            b"expect" => Self::Expect,
            b"priority" => Self::Priority,
            b"content-length" => Self::ContentLength,
            b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding" | b"upgrade" => {
                Self::ConnectionSpecific
            }
            _ => Self::Other,
        }
    }

    /// Recognizes a valid name at compile time.
    pub(super) const fn of_valid(name: &[u8]) -> Self {
        match name {
            [b':', ..] => Self::pseudo(name),
            _ => Self::regular(name),
        }
    }
}

/// Token bytes without upper-case letters.
static ALLOWED: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = is_token_byte(byte as u8) && !(byte as u8).is_ascii_uppercase();
        byte += 1;
    }
    table
};
