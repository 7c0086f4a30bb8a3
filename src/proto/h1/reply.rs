//! Parser of response heads: the client's side of the protocol, for load generators and tests.
//!
//! It is strict: a response whose body has two lengths, or a length that is not a number, is a fault.

use std::{fmt, mem::MaybeUninit};

use super::{Framing, Version};
use crate::proto::semantics::{content_length, list};

/// Maximum number of header fields of a response.
const HEADERS: usize = 128;

/// Parsed head of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyHead {
    /// Length of the head, in bytes.
    pub len: usize,
    /// Status code.
    pub status: u16,
    /// Version of the response.
    pub version: Version,
    /// Framing of the body; `None` if the end of the connection ends it.
    pub framing: Option<Framing>,
    /// The connection may serve another request, as far as the head tells.
    pub keep_alive: bool,
}

/// Fault of a response head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyFault(Cause);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Syntax(httparse::Error),
    ContentLength,
    TransferEncoding,
    TwoLengths,
}

impl fmt::Display for ReplyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Cause::Syntax(error) => write!(f, "the server sent a response head that is not HTTP/1: {error}"),
            Cause::ContentLength => f.write_str("the server sent a Content-Length that is not a number"),
            Cause::TransferEncoding => f.write_str("the server sent a Transfer-Encoding that is not chunked"),
            Cause::TwoLengths => {
                f.write_str("the server sent more than one body length (Content-Length, Transfer-Encoding)")
            }
        }
    }
}

impl std::error::Error for ReplyFault {}

/// Header fields that concern the message itself.
#[derive(Default)]
struct Found {
    framing: Option<Framing>,
    close: bool,
    keep_alive: bool,
}

/// Parses the head of a response and passes each header field to `visit`. Returns `None` while the head is
/// incomplete. `is_head`: the request was HEAD.
///
/// # Errors
///
/// The bytes are not a valid response head, have more than 128 fields, or declare an invalid or a second
/// length.
pub fn parse_reply<'b>(
    input: &'b [u8],
    is_head: bool,
    mut visit: impl FnMut(&'b str, &'b [u8]),
) -> Result<Option<ReplyHead>, ReplyFault> {
    let mut storage = [const { MaybeUninit::uninit() }; HEADERS];
    let mut head = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let len = match config.parse_response_with_uninit_headers(&mut head, input, &mut storage) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(ReplyFault(Cause::Syntax(error))),
    };
    let mut found = Found::default();
    for header in head.headers.iter() {
        found.read(header.name, header.value).map_err(ReplyFault)?;
        visit(header.name, header.value);
    }
    let status = head.code.unwrap_or(0);
    // Without a body, whatever the fields are (RFC 9112 §6.3).
    let is_empty = is_head || matches!(status, 100..=199 | 204 | 304);
    let framing = if is_empty { Some(Framing::None) } else { found.framing };
    let version = if head.version == Some(0) { Version::Http10 } else { Version::Http11 };
    let persists = if version == Version::Http11 { !found.close } else { found.keep_alive };
    Ok(Some(ReplyHead { len, status, version, framing, keep_alive: persists && framing.is_some() }))
}

impl Found {
    fn read(&mut self, name: &str, value: &[u8]) -> Result<(), Cause> {
        let framing = if name.eq_ignore_ascii_case("content-length") {
            Framing::Length(content_length(value).ok_or(Cause::ContentLength)?)
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Cause::TransferEncoding);
            }
            Framing::Chunked
        } else {
            if name.eq_ignore_ascii_case("connection") {
                self.close |= list(value).any(|option| option.eq_ignore_ascii_case(b"close"));
                self.keep_alive |= list(value).any(|option| option.eq_ignore_ascii_case(b"keep-alive"));
            }
            return Ok(());
        };
        self.framing.replace(framing).map_or(Ok(()), |_| Err(Cause::TwoLengths))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, is_head: bool) -> Result<Option<ReplyHead>, ReplyFault> {
        parse_reply(text.as_bytes(), is_head, |_, _| ())
    }

    fn parsed(text: &str, is_head: bool) -> (u16, Option<Framing>, bool) {
        let head = parse(text, is_head).unwrap().unwrap();
        assert_eq!(head.len, text.len());
        (head.status, head.framing, head.keep_alive)
    }

    #[test]
    fn framing_and_persistence_follow_the_head() {
        let five = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";
        assert_eq!(parsed(five, false), (200, Some(Framing::Length(5)), true));
        assert_eq!(parsed(five, true), (200, Some(Framing::None), true));
        let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nConnection: Close\r\n\r\n";
        assert_eq!(parsed(chunked, false), (200, Some(Framing::Chunked), false));
        assert_eq!(parsed("HTTP/1.1 204 No Content\r\n\r\n", false), (204, Some(Framing::None), true));
        assert_eq!(parsed("HTTP/1.1 200 OK\r\n\r\n", false), (200, None, false));
        let old = "HTTP/1.0 200 OK\r\ncontent-length: 0\r\n";
        assert_eq!(parsed(&format!("{old}\r\n"), false), (200, Some(Framing::Length(0)), false));
        let kept = format!("{old}connection: x, keep-alive\r\n\r\n");
        assert_eq!(parsed(&kept, false), (200, Some(Framing::Length(0)), true));
    }

    #[test]
    fn every_field_is_visited() {
        let mut fields = Vec::new();
        let input = b"HTTP/1.1 200 OK\r\nA: 1\r\nb: 2 3\r\n\r\n";
        parse_reply(input, false, |name, value| fields.push((name, value))).unwrap();
        assert_eq!(fields, [("A", b"1".as_slice()), ("b", b"2 3")]);
    }

    #[test]
    fn a_partial_head_is_incomplete() {
        let whole = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n";
        assert!((0..whole.len()).all(|end| parse(&whole[..end], false).unwrap().is_none()));
    }

    #[test]
    fn invalid_heads_are_refused() {
        for fields in [
            "content-length: 1\r\ncontent-length: 1\r\n",
            "content-length: 1\r\ntransfer-encoding: chunked\r\n",
            "content-length: +1\r\n",
            "content-length: \r\n",
            "content-length: 18446744073709551616\r\n",
            "transfer-encoding: gzip\r\n",
            "a b: c\r\n",
        ] {
            assert!(parse(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n"), false).is_err(), "{fields:?}");
        }
        assert!(parse("nonsense\r\n\r\n", false).is_err());
    }
}
