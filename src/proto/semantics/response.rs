//! Response heads: fields that concern the message itself, and the rules about content.

use http::{HeaderName, HeaderValue, StatusCode, header};

use super::list;

/// An IMF-fixdate (RFC 9110 §5.6.7), such as `Sun, 06 Nov 1994 08:49:37 GMT`.
pub type Date = [u8; 29];

/// Length of a response's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// So many bytes.
    Known(u64),
    /// The body tells its length only when it ends.
    Unknown,
}

/// The fields of a handler's response that concern the message itself.
#[derive(Debug, Default)]
pub(in crate::proto) struct MessageFields<'h> {
    length: Option<&'h [u8]>,
    /// `connection: close`.
    pub(in crate::proto) closes: bool,
    /// There is a `date`.
    pub(in crate::proto) has_date: bool,
}

impl<'h> MessageFields<'h> {
    /// Records a field of the handler's response. Returns `true` if it is sent as it is, and `false` for
    /// `content-length`, `transfer-encoding`, `connection`, and a `date` after the first.
    #[inline]
    pub(in crate::proto) fn is_copied(&mut self, name: &HeaderName, value: &'h HeaderValue) -> bool {
        if *name == header::CONTENT_LENGTH {
            self.length = self.length.or(Some(value.as_bytes()));
            return false;
        }
        if *name == header::CONNECTION {
            self.closes |= list(value.as_bytes()).any(|option| option.eq_ignore_ascii_case(b"close"));
            return false;
        }
        if *name == header::DATE {
            return !std::mem::replace(&mut self.has_date, true);
        }
        *name != header::TRANSFER_ENCODING
    }

    /// Returns the Content-Length to declare, in decimal digits: for content that is sent its length, if
    /// known; for content that is not sent, in answer to HEAD or with 304, the handler's own field, or else
    /// for HEAD the known length (RFC 9110 §8.6). `None` otherwise.
    pub(in crate::proto) fn content_length(&self, content: Content, length: Length) -> Option<Digits<'h>> {
        let own = self.length.filter(|digits| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit));
        match (content, own, length) {
            (Content::Sent, _, Length::Known(length)) | (Content::Omitted, None, Length::Known(length)) => {
                Some(Digits::of(length))
            }
            (Content::Omitted | Content::NotModified, Some(own), _) => Some(Digits::Own(own)),
            _ => None,
        }
    }
}

/// Presence of content in a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proto) enum Content {
    /// The response has content, possibly of length 0.
    Sent,
    /// The response would have content, but answers HEAD.
    Omitted,
    /// The response has no content, because the client has it (304).
    NotModified,
    /// A response with this status never has content.
    Never,
}

/// Returns the presence of content in a response with this status (RFC 9110 §6.4.1). `is_head`, `is_connect`:
/// the request's method.
pub(in crate::proto) fn content(is_head: bool, is_connect: bool, status: StatusCode) -> Content {
    match status {
        StatusCode::NOT_MODIFIED => Content::NotModified,
        StatusCode::NO_CONTENT => Content::Never,
        status if status.is_informational() || is_connect && status.is_success() => Content::Never,
        _ if is_head => Content::Omitted,
        _ => Content::Sent,
    }
}

/// A number in decimal, without an allocation.
#[derive(Clone, Copy, Debug)]
pub(in crate::proto) enum Digits<'h> {
    /// A number that was written here: the bytes of the array from this index on.
    Written([u8; 20], usize),
    /// Digits of the handler's own `content-length`.
    Own(&'h [u8]),
}

impl Digits<'_> {
    /// Writes a number.
    #[inline]
    pub(in crate::proto) fn of(mut number: u64) -> Self {
        let mut digits = [0; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break Self::Written(digits, at);
            }
        }
    }

    /// Returns the digits.
    #[inline]
    pub(in crate::proto) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Written(digits, at) => &digits[*at..],
            Self::Own(digits) => digits,
        }
    }
}
