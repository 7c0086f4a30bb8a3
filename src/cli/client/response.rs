//! Complete responses of HTTP/1.1, with a body of exactly one length.

use std::borrow::Cow;

use windlass::proto::h1::{self, Framing, Limits, ReplyHead, Step, chunk::Chunked};

use super::fault::{Fault, Kind};

/// Limits of a chunked body: no extensions and no trailers.
const PLAIN_CHUNKS: Limits =
    Limits { line_bytes: 0, head_bytes: 0, headers: 0, extension_bytes: 0, trailer_bytes: 0 };

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

/// Parses the response at the start of `input`, which must not answer a HEAD. Returns `None` if it is
/// incomplete.
///
/// # Errors
///
/// The input is not an HTTP/1.1 response, or its body has no valid length.
pub fn parse(input: &[u8]) -> Result<Option<Response<'_>>, Fault> {
    let Some(head) = parse_head(input, |_, _| ())? else { return Ok(None) };
    let rest = &input[head.len..];
    let body = match head.framing {
        None => return Err(malformed("the response has neither Content-Length nor chunked coding")),
        Some(Framing::None) => Some((0, Cow::Borrowed(&[][..]))),
        Some(Framing::Length(size)) => {
            let size = usize::try_from(size).map_err(malformed)?;
            rest.get(..size).map(|body| (size, Cow::Borrowed(body)))
        }
        Some(Framing::Chunked) => join_chunks(rest)?.map(|(size, body)| (size, Cow::Owned(body))),
    };
    Ok(body.map(|(size, body)| Response {
        len: head.len + size,
        status: head.status,
        body,
        closes: !head.keep_alive,
    }))
}

/// Parses the head of a chunked event stream. Returns its length, or `None` if it is incomplete.
///
/// # Errors
///
/// The head is malformed, the status is not 200, or the body is not chunked.
pub fn parse_stream_head(input: &[u8]) -> Result<Option<usize>, Fault> {
    let Some(head) = parse_head(input, |_, _| ())? else { return Ok(None) };
    if head.status != 200 {
        let detail = format_args!("server answered the subscription with status {}", head.status);
        return Err(Fault::new(Kind::Status, detail));
    }
    match head.framing {
        Some(Framing::Chunked) => Ok(Some(head.len)),
        _ => Err(malformed("the event stream of the server is not chunked")),
    }
}

/// Parses the response to a WebSocket's opening handshake (RFC 6455 §4.2.2). Returns its length, or `None` if
/// it is incomplete.
///
/// # Errors
///
/// The response is malformed, its status is not 101, or its Sec-WebSocket-Accept is not `accept`.
pub fn parse_handshake(input: &[u8], accept: &str) -> Result<Option<usize>, Fault> {
    let mut accepts = false;
    let head = parse_head(input, |name, value| {
        accepts |= name.eq_ignore_ascii_case("sec-websocket-accept") && value == accept.as_bytes();
    })?;
    match head {
        None => Ok(None),
        Some(ReplyHead { status: 101, len, .. }) if accepts => Ok(Some(len)),
        Some(ReplyHead { status: 101, .. }) => {
            Err(malformed("the Sec-WebSocket-Accept of the server does not match the key"))
        }
        Some(ReplyHead { status, .. }) => Err(Fault::new(
            Kind::Status,
            format_args!("server answered the WebSocket handshake with status {status}"),
        )),
    }
}

/// Returns a decoder of chunks without extensions and trailers.
pub fn chunks() -> Chunked {
    Chunked::new(&PLAIN_CHUNKS)
}

/// Appends the data of the chunks in `input` to `data`. Returns `true` if the last chunk was among them.
///
/// # Errors
///
/// The input is not chunked, or bytes follow the last chunk.
pub fn decode_chunks(chunks: &mut Chunked, input: &[u8], data: &mut Vec<u8>) -> Result<bool, Fault> {
    let mut rest = input;
    loop {
        match chunks.decode(rest).map_err(bad_chunk)? {
            Step::NeedMore => return Ok(false),
            Step::Data { consumed, data: range } => {
                data.extend_from_slice(&rest[range]);
                rest = &rest[consumed..];
            }
            Step::Done { consumed } if consumed == rest.len() => return Ok(true),
            Step::Done { .. } => return Err(malformed("server sent bytes after the last chunk")),
        }
    }
}

/// Joins the data of the chunks at the start of `input`. Returns the number of bytes they occupy and the
/// data, or `None` if they are incomplete.
fn join_chunks(input: &[u8]) -> Result<Option<(usize, Vec<u8>)>, Fault> {
    let (mut chunks, mut at, mut body) = (chunks(), 0, Vec::new());
    loop {
        match chunks.decode(&input[at..]).map_err(bad_chunk)? {
            Step::NeedMore => return Ok(None),
            Step::Data { consumed, data } => {
                body.extend_from_slice(&input[at..][data]);
                at += consumed;
            }
            Step::Done { consumed } => return Ok(Some((at + consumed, body))),
        }
    }
}

fn parse_head<'b>(input: &'b [u8], visit: impl FnMut(&'b str, &'b [u8])) -> Result<Option<ReplyHead>, Fault> {
    h1::parse_reply(input, false, visit).map_err(malformed)
}

fn bad_chunk(reject: h1::Reject) -> Fault {
    malformed(format_args!("invalid chunk in the response: {reject}"))
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
        for chunks in [
            "\r\n",
            "0x1\r\na\r\n",
            "1\r\nab\r\n",
            "1;\r\na\r\n",
            "0\r\na: b\r\n\r\n",
            "00000000000000001\r\n",
        ] {
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
