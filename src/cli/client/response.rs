//! Strict parser of HTTP/1.1 responses (RFC 9112). It accepts exactly one body length and reads nothing
//! beyond the response.

use std::borrow::Cow;

use super::fault::{Fault, Kind};

/// Maximum number of header fields of a response.
const MAX_HEADERS: usize = 64;

/// Complete response.
#[derive(Debug, PartialEq, Eq)]
pub struct Response<'a> {
    /// Number of input bytes that the response occupies.
    pub len: usize,
    /// Status code.
    pub status: u16,
    /// Body. The data of all chunks, if it is chunked.
    pub body: Cow<'a, [u8]>,
    /// `true` if the server will close the connection after this response.
    pub closes: bool,
}

/// Framing of the body.
enum Framing {
    Length(usize),
    Chunked,
}

/// Parses the head of a chunked event stream. Returns its length, or `None` if it is incomplete.
///
/// # Errors
///
/// The head is malformed, the status is not 200, or the body is not chunked.
pub fn parse_stream_head(input: &[u8]) -> Result<Option<usize>, Fault> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = head.parse(input).map_err(malformed)? else {
        return Ok(None);
    };
    if head.code != Some(200) {
        return Err(Fault::new(
            Kind::Status,
            format_args!("the status of the event stream is {:?}", head.code),
        ));
    }
    match read_headers(head.headers)? {
        (Framing::Chunked, _) => Ok(Some(length)),
        (Framing::Length(_), _) => Err(malformed("the event stream has a Content-Length")),
    }
}

/// Parses the response to a WebSocket's opening handshake (RFC 6455 §4.2.2). Returns its length, or `None` if
/// it is incomplete.
///
/// # Errors
///
/// The response is malformed, its status is not 101, or its Sec-WebSocket-Accept is not `accept`.
pub fn parse_handshake(input: &[u8], accept: &str) -> Result<Option<usize>, Fault> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = head.parse(input).map_err(malformed)? else {
        return Ok(None);
    };
    if head.code != Some(101) {
        return Err(Fault::new(Kind::Status, format_args!("the status of the handshake is {:?}", head.code)));
    }
    let is_answer = |header: &httparse::Header<'_>| header.name.eq_ignore_ascii_case("sec-websocket-accept");
    match head.headers.iter().find(|header| is_answer(header)) {
        Some(header) if header.value == accept.as_bytes() => Ok(Some(length)),
        _ => Err(malformed("the Sec-WebSocket-Accept does not match the key")),
    }
}

/// Parses the response at the start of `input`. Returns `None` if it is incomplete.
///
/// # Errors
///
/// The input is not an HTTP/1.1 response, or its body has no valid length.
pub fn parse(input: &[u8]) -> Result<Option<Response<'_>>, Fault> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Response::new(&mut headers);
    let length = match head.parse(input) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(malformed(error)),
    };
    let status = head.code.unwrap_or(0);
    if matches!(status, 100..=199 | 204 | 304) {
        // These responses have no body, whatever their header fields say (RFC 9112 §6.3).
        return Ok(Some(Response { len: length, status, body: Cow::Borrowed(&[]), closes: false }));
    }
    let (framing, closes) = read_headers(head.headers)?;
    let rest = &input[length..];
    let body = match framing {
        Framing::Length(size) => rest.get(..size).map(|body| (size, Cow::Borrowed(body))),
        Framing::Chunked => join_chunks(rest)?.map(|(size, body)| (size, Cow::Owned(body))),
    };
    Ok(body.map(|(size, body)| Response { len: length + size, status, body, closes }))
}

fn read_headers(headers: &[httparse::Header<'_>]) -> Result<(Framing, bool), Fault> {
    let (mut framing, mut closes) = (None, false);
    for header in headers {
        let found = if header.name.eq_ignore_ascii_case("content-length") {
            Framing::Length(
                decimal(header.value).ok_or_else(|| malformed("the Content-Length is not a number"))?,
            )
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            if !header.value.eq_ignore_ascii_case(b"chunked") {
                return Err(malformed("the Transfer-Encoding is not chunked"));
            }
            Framing::Chunked
        } else {
            let connection = header.name.eq_ignore_ascii_case("connection");
            closes |= connection && header.value.eq_ignore_ascii_case(b"close");
            continue;
        };
        if framing.replace(found).is_some() {
            return Err(malformed("the body has two lengths"));
        }
    }
    framing.map(|framing| (framing, closes)).ok_or_else(|| malformed("the body has no length"))
}

/// Joins the data of the chunks at the start of `input`. Returns the number of bytes they occupy and the
/// data, or `None` if they are incomplete. Does not accept trailers.
fn join_chunks(input: &[u8]) -> Result<Option<(usize, Vec<u8>)>, Fault> {
    let (mut at, mut body) = (0, Vec::new());
    loop {
        let Some((taken, chunk)) = parse_chunk(&input[at..])? else {
            return Ok(None);
        };
        at += taken;
        if chunk.is_empty() {
            return Ok(Some((at, body)));
        }
        body.extend_from_slice(chunk);
    }
}

/// Parses the chunk at the start of `input`. Returns the number of bytes it occupies and its data, or `None`
/// if it is incomplete.
///
/// # Errors
///
/// The input is not a chunk.
pub fn parse_chunk(input: &[u8]) -> Result<Option<(usize, &[u8])>, Fault> {
    let Some(line) = input.windows(2).position(|pair| pair == b"\r\n") else {
        return Ok(None);
    };
    let size = hexadecimal(&input[..line]).ok_or_else(|| malformed("a chunk size is not a number"))?;
    let start = line + 2;
    let Some(chunk) = input.get(start..start + size + 2) else {
        return Ok(None);
    };
    let data = chunk.strip_suffix(b"\r\n").ok_or_else(|| malformed("a chunk does not end at its size"))?;
    Ok(Some((start + size + 2, data)))
}

fn decimal(text: &[u8]) -> Option<usize> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

fn hexadecimal(text: &[u8]) -> Option<usize> {
    let digits = (1..=8).contains(&text.len()) && text.iter().all(u8::is_ascii_hexdigit);
    usize::from_str_radix(std::str::from_utf8(text).ok().filter(|_| digits)?, 16).ok()
}

fn malformed(detail: impl std::fmt::Display) -> Fault {
    Fault::new(Kind::Malformed, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body_of(input: &[u8]) -> Vec<u8> {
        parse(input).unwrap().unwrap().body.into_owned()
    }

    #[test]
    fn every_prefix_is_incomplete() {
        for complete in [
            b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc".as_slice(),
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
        ] {
            for end in 0..complete.len() {
                assert_eq!(parse(&complete[..end]).unwrap(), None, "{end}");
            }
            let response = parse(complete).unwrap().unwrap();
            assert_eq!(
                (response.len, response.status, response.body.as_ref()),
                (complete.len(), 200, b"abc".as_slice())
            );
            assert_eq!(body_of(&[complete, b"HTTP/1.1 "].concat()), b"abc");
        }
    }

    #[test]
    fn a_body_without_or_with_two_lengths_is_rejected() {
        for headers in [
            "",
            "content-length: 1\r\ncontent-length: 1\r\n",
            "content-length: 1\r\ntransfer-encoding: chunked\r\n",
            "content-length: +1\r\n",
            "content-length: \r\n",
            "transfer-encoding: gzip\r\n",
        ] {
            let input = format!("HTTP/1.1 200 OK\r\n{headers}\r\na");
            assert!(parse(input.as_bytes()).is_err(), "{headers:?}");
        }
    }

    #[test]
    fn bad_chunks_are_refused() {
        for chunks in ["\r\n", "0x1\r\na\r\n", "1\r\nab\r\n", "1;\r\na\r\n", "fffffffff\r\n"] {
            let input = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}");
            assert!(parse(input.as_bytes()).is_err(), "{chunks:?}");
        }
    }

    #[test]
    fn responses_without_a_body_end_with_their_head() {
        let response = parse(b"HTTP/1.1 204 No Content\r\n\r\nHTTP").unwrap().unwrap();
        assert_eq!((response.len, response.status, response.body.len()), (27, 204, 0));
    }

    #[test]
    fn a_handshake_must_match_its_key() {
        let complete = b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: abc=\r\n\r\n";
        assert_eq!(parse_handshake(complete, "abc=").unwrap(), Some(complete.len()));
        assert_eq!(parse_handshake(&complete[..40], "abc=").unwrap(), None);
        assert_eq!(parse_handshake(complete, "abd=").unwrap_err().kind, Kind::Malformed);
        let refused = b"HTTP/1.1 426 Upgrade Required\r\n\r\n";
        assert_eq!(parse_handshake(refused, "abc=").unwrap_err().kind, Kind::Status);
    }

    #[test]
    fn connection_close_is_detected() {
        let input = b"HTTP/1.1 200 OK\r\nconnection: Close\r\ncontent-length: 0\r\n\r\n";
        assert!(parse(input).unwrap().unwrap().closes);
    }
}
