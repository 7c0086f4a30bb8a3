//! Strict checks of the header fields that describe the message itself, such as `Host` and `Content-Length`.
//!
//! Each field is checked once, in order. Any other field costs only a comparison of its length and first
//! byte.

use super::{Framing, Version};
use crate::proto::semantics::{
    self, Expectation, Reject, Span, content_length, is_host, is_name, is_token, trim,
};

/// Properties of the message, from the fields that were checked so far.
#[derive(Debug, Default)]
pub(super) struct MessageInfo {
    /// Position of the value of `Host`.
    pub(super) host: Option<Span>,
    /// `Connection: keep-alive` was sent.
    pub(super) keep_alive: bool,
    /// `Connection: close` was sent.
    pub(super) close: bool,
    /// `Connection: upgrade` was sent.
    pub(super) upgrade_option: bool,
    /// An `Upgrade` field was sent.
    pub(super) upgrade_field: bool,
    /// `Expect: 100-continue` was sent.
    pub(super) expects_continue: bool,
    length: Option<u64>,
    coding: Option<Coding>,
}

/// Summary of the transfer codings that were read so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    /// `chunked` and nothing else.
    Chunked,
    /// Codings before `chunked`, which is last.
    UnknownThenChunked,
    /// Codings other than `chunked`.
    Unknown,
    /// `chunked` twice or not last, or an element that is not a coding.
    Invalid,
}

impl MessageInfo {
    /// Checks one field. `at` is the position of its value.
    pub(super) fn check(&mut self, name: &[u8], value: &[u8], at: Span) -> Result<(), Reject> {
        let Some(first) = name.first() else { return Err(Reject::FieldName) };
        match (name.len(), first | 0x20) {
            (4, b'h') if is_name(name, b"host") => self.host(value, at),
            (6, b'e') if is_name(name, b"expect") => self.expect(value),
            (7, b'u') if is_name(name, b"upgrade") => {
                self.upgrade_field = true;
                Ok(())
            }
            (10, b'c') if is_name(name, b"connection") => {
                self.connection(value);
                Ok(())
            }
            (14, b'c') if is_name(name, b"content-length") => self.length(value),
            (17, b't') if is_name(name, b"transfer-encoding") => {
                self.coding(value);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Decides the framing of the body (RFC 9112 §6.3). Stricter than the RFC: whatever two parsers could
    /// understand differently is refused.
    pub(super) fn framing(&self, version: Version) -> Result<Framing, Reject> {
        match (self.coding, self.length) {
            (None, None) => Ok(Framing::None),
            (None, Some(length)) => Ok(Framing::Length(length)),
            (Some(_), Some(_)) => Err(Reject::LengthWithCoding),
            (Some(_), None) if version == Version::Http10 => Err(Reject::CodingInOldVersion),
            (Some(Coding::Chunked), None) => Ok(Framing::Chunked),
            (Some(Coding::UnknownThenChunked), None) => Err(Reject::CodingUnknown),
            (Some(Coding::Unknown | Coding::Invalid), None) => Err(Reject::CodingInvalid),
        }
    }

    fn host(&mut self, value: &[u8], at: Span) -> Result<(), Reject> {
        if self.host.replace(at).is_some() {
            return Err(Reject::HostRepeated);
        }
        if is_host(value) { Ok(()) } else { Err(Reject::HostInvalid) }
    }

    fn expect(&mut self, value: &[u8]) -> Result<(), Reject> {
        match semantics::expectation(value) {
            Expectation::None => Ok(()),
            Expectation::Continue => {
                self.expects_continue = true;
                Ok(())
            }
            Expectation::Unknown => Err(Reject::Expectation),
        }
    }

    fn connection(&mut self, value: &[u8]) {
        for option in semantics::list(value) {
            match option.len() {
                5 => self.close |= option.eq_ignore_ascii_case(b"close"),
                7 => self.upgrade_option |= option.eq_ignore_ascii_case(b"upgrade"),
                10 => self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive"),
                _ => {}
            }
        }
    }

    fn length(&mut self, value: &[u8]) -> Result<(), Reject> {
        let length = content_length(value).ok_or(Reject::LengthInvalid)?;
        if self.length.replace(length).is_some() { Err(Reject::LengthRepeated) } else { Ok(()) }
    }

    /// Adds the codings of one `Transfer-Encoding` field. Several fields are one list (RFC 9110 §5.3).
    fn coding(&mut self, value: &[u8]) {
        for coding in semantics::list(value) {
            let chunked = coding.eq_ignore_ascii_case(b"chunked");
            self.coding = Some(match self.coding {
                None if chunked => Coding::Chunked,
                Some(Coding::Unknown) if chunked => Coding::UnknownThenChunked,
                None | Some(Coding::Unknown) if is_coding(coding) => Coding::Unknown,
                _ => Coding::Invalid,
            });
        }
    }
}

/// Returns `true` if the name of this list element is a valid name of a coding other than `chunked`.
/// Parameters are not checked, because no such coding is supported.
fn is_coding(element: &[u8]) -> bool {
    let name = element.split(|&byte| byte == b';').next().unwrap_or_default();
    is_token(trim(name)) && !trim(name).eq_ignore_ascii_case(b"chunked")
}
