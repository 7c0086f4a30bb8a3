//! Parser of response heads, for the client's side of tests.

use http::{HeaderName, HeaderValue, Response, StatusCode, header};

use super::Framing;

/// Maximum number of header fields of a response.
const HEADERS: usize = 128;

/// Parsed head of a response.
#[derive(Debug)]
pub struct ReplyHead {
    /// Status and header fields.
    pub response: Response<()>,
    /// Framing of the body; `None` if the end of the connection ends it.
    pub framing: Option<Framing>,
    /// The connection may serve another request.
    pub keep_alive: bool,
    /// Length of the head, in bytes.
    pub len: usize,
}

/// Parses the head of a response. Returns `None` while it is incomplete. `is_head`: the request was HEAD.
///
/// # Errors
///
/// The bytes are no valid response. The error describes the fault.
pub fn parse_reply(input: &[u8], is_head: bool) -> Result<Option<ReplyHead>, String> {
    let mut storage = [httparse::EMPTY_HEADER; HEADERS];
    let mut parsed = httparse::Response::new(&mut storage);
    let len = match parsed.parse(input) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let status = StatusCode::from_u16(parsed.code.unwrap_or_default()).map_err(|error| error.to_string())?;
    let mut response = Response::new(());
    *response.status_mut() = status;
    for header in parsed.headers.iter() {
        let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|error| error.to_string())?;
        let value = HeaderValue::from_bytes(header.value).map_err(|error| error.to_string())?;
        response.headers_mut().append(name, value);
    }
    let framing = framing(&response, is_head)?;
    let is = |name, word: &[u8]| {
        response.headers().get(name).is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(word))
    };
    let keep_alive = framing.is_some() && parsed.version == Some(1) && !is(header::CONNECTION, b"close");
    Ok(Some(ReplyHead { response, framing, keep_alive, len }))
}

/// Returns the framing of the body (RFC 9112 §6.3).
fn framing(response: &Response<()>, is_head: bool) -> Result<Option<Framing>, String> {
    let status = response.status();
    if is_head || status.is_informational() || matches!(status.as_u16(), 204 | 304) {
        return Ok(Some(Framing::None));
    }
    if response.headers().contains_key(header::TRANSFER_ENCODING) {
        return Ok(Some(Framing::Chunked));
    }
    let Some(length) = response.headers().get(header::CONTENT_LENGTH) else { return Ok(None) };
    let length = length.to_str().ok().and_then(|length| length.parse().ok());
    length
        .map(|length| Some(Framing::Length(length)))
        .ok_or_else(|| "invalid content-length: expected a number".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str, is_head: bool) -> (u16, Option<Framing>, bool) {
        let head = parse_reply(text.as_bytes(), is_head).unwrap().unwrap();
        assert_eq!(head.len, text.len());
        (head.response.status().as_u16(), head.framing, head.keep_alive)
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
        assert!(parse_reply(b"HTTP/1.1 200 OK\r\n", false).unwrap().is_none());
        assert!(parse_reply(b"nonsense\r\n\r\n", false).is_err());
    }
}
