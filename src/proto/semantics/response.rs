//! Responses: what their header fields say about the message itself, and whether they have content.

use http::{HeaderName, HeaderValue, StatusCode, header};

use super::list;

/// An IMF-fixdate (RFC 9110 §5.6.7), such as `Sun, 06 Nov 1994 08:49:37 GMT`.
pub type Date = [u8; 29];

/// Length of a response's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// So many bytes.
    Known(u64),
    /// Unknown until it ends.
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
    /// Takes note of a field. Returns `true` if it is sent as it is: of several dates the first, and no
    /// length, transfer coding or connection option.
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

    /// Returns the Content-Length to declare, in decimal digits: the real length of content that is sent
    /// or, to HEAD, would be; else what the handler says of a response whose content is not here (RFC 9110
    /// §8.6).
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

/// Whether a response has content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proto) enum Content {
    /// It has, possibly of length 0.
    Sent,
    /// It would have, but answers HEAD.
    Omitted,
    /// It has none, as the client has it.
    NotModified,
    /// It can have none.
    Never,
}

/// Returns whether a response to HEAD, or to CONNECT, or to any other method has content (RFC 9110 §6.4.1).
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
    /// A number that was written here: the last so many bytes.
    Written([u8; 20], usize),
    /// Digits of somebody else's.
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
