//! Names and values of fields, as far as a request's meaning depends on them: checked once, when they are
//! decoded. The dynamic table keeps the verdict with the field, so a field that a client sends again and
//! again costs a copy.

use crate::proto::semantics::{
    Form, Method, Reject, is_authority, is_field_value, is_token, is_token_byte, parse_target,
};

/// Meaning of a field's name.
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
    /// A name that is empty, or has a byte that is not allowed, such as an upper-case letter (RFC 9113
    /// §8.2.1).
    Invalid,
}

impl Name {
    /// Returns the meaning of a name.
    pub fn of(name: &[u8]) -> Self {
        match name {
            [] => Self::Invalid,
            [b':', ..] => Self::pseudo(name),
            _ if !name.iter().all(|&byte| ALLOWED[usize::from(byte)]) => Self::Invalid,
            _ => Self::regular(name),
        }
    }

    /// Returns `true` for the names that begin with a colon.
    #[inline]
    pub fn is_pseudo(self) -> bool {
        (self as u8) <= Self::OtherPseudo as u8
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

    /// Returns the meaning of a name that is known to be valid, also at compile time.
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

/// Verdict on a field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// A value that its field may have.
    Valid,
    /// A value that its field may not have; the request is refused for this reason.
    Refused(Reject),
    /// A method.
    Method(Method),
    /// A scheme.
    Scheme(Scheme),
    /// A target in origin form: a path, and a query unless the path is all of it.
    Origin {
        /// Bytes of the path.
        path_len: u16,
    },
    /// The target `*`.
    Asterisk,
    /// An empty target.
    Empty,
}

/// A scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `http`.
    Http,
    /// `https`.
    Https,
    /// A scheme that this server does not serve.
    Other,
}

impl Value {
    /// Returns the verdict on the value of a field with this name.
    pub fn of(name: Name, value: &[u8]) -> Self {
        match name {
            Name::Method => Self::method(value),
            Name::Scheme => Self::scheme(value),
            Name::Path => Self::target(value),
            Name::Authority | Name::Host if !is_authority(value) => Self::Refused(Reject::HostInvalid),
            _ if !is_field_value(value) => Self::Refused(Reject::FieldValue),
            _ => Self::Valid,
        }
    }

    fn method(token: &[u8]) -> Self {
        match Method::from_bytes(token) {
            Method::Other if !is_token(token) => Self::Refused(Reject::Method),
            method => Self::Method(method),
        }
    }

    fn scheme(scheme: &[u8]) -> Self {
        Self::Scheme(match scheme {
            scheme if scheme.eq_ignore_ascii_case(b"http") => Scheme::Http,
            scheme if scheme.eq_ignore_ascii_case(b"https") => Scheme::Https,
            _ => Scheme::Other,
        })
    }

    /// Returns the verdict on a `:path`. Whether it fits its method is checked later. Of the forms of
    /// HTTP/1.1 only two are valid.
    fn target(target: &[u8]) -> Self {
        match target {
            [] => return Self::Empty,
            b"*" => return Self::Asterisk,
            _ => {}
        }
        match parse_target(target, 0, target.len(), Method::Get) {
            Ok(parsed) => match u16::try_from(parsed.path.len()) {
                Ok(path_len) if parsed.form == Form::Origin => Self::Origin { path_len },
                Ok(_) => Self::Refused(Reject::Target),
                Err(_) => Self::Refused(Reject::LineTooLong),
            },
            Err(reject) => Self::Refused(reject),
        }
    }
}
