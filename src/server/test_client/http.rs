//! HTTP/1.1 from the client's side: requests are encoded, responses are parsed.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header, uri};

use crate::{
    net::memory::PeerPipe,
    proto::h1::{self, Framing, Step},
};

/// Appends the encoded request to `out`. Adds `Host` and `Content-Length` if they are missing.
pub(super) fn write_request<B: Into<Bytes>>(out: &mut Vec<u8>, request: Request<B>) {
    let (parts, body) = request.into_parts();
    let body = body.into();
    let target = parts.uri.path_and_query().map_or("/", uri::PathAndQuery::as_str);
    out.extend_from_slice(format!("{} {target} HTTP/1.1\r\n", parts.method).as_bytes());
    if !parts.headers.contains_key(header::HOST) {
        let host = parts.uri.authority().map_or("test", uri::Authority::as_str);
        out.extend_from_slice(format!("host: {host}\r\n").as_bytes());
    }
    if !parts.headers.contains_key(header::CONTENT_LENGTH) && !body.is_empty() {
        out.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
    }
    for (name, value) in &parts.headers {
        out.extend_from_slice(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(&body);
}

/// Head of a response.
pub(super) struct Head {
    /// Status and header fields.
    pub(super) response: Response<()>,
    /// Framing of the body; `None` if the end of the connection ends it.
    pub(super) framing: Option<Framing>,
    /// The connection may serve another request.
    pub(super) keep_alive: bool,
}

/// Parses a head. Returns it with its length, or `None` if it is incomplete.
fn parse_head(input: &[u8], is_head: bool) -> Result<Option<(Head, usize)>, String> {
    let mut fields = Vec::new();
    let head = h1::parse_reply(input, is_head, |name, value| fields.push((name, value)));
    let Some(head) = head.map_err(|fault| fault.to_string())? else { return Ok(None) };
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(head.status).map_err(|error| error.to_string())?;
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| error.to_string())?;
        let value = HeaderValue::from_bytes(value).map_err(|error| error.to_string())?;
        response.headers_mut().append(name, value);
    }
    Ok(Some((Head { response, framing: head.framing, keep_alive: head.keep_alive }, head.len)))
}

/// Takes the head of the final response. Skips interim responses. Returns `None` if the head is incomplete,
/// and panics if it is invalid or the connection has ended.
#[track_caller]
pub(super) fn take_head(pipe: &PeerPipe, is_head: bool) -> Option<Head> {
    loop {
        let mut pipe = pipe.borrow_mut();
        match parse_head(&pipe.output, is_head) {
            Err(error) => panic!("invalid response: {error}: {}", pipe.output.escape_ascii()),
            Ok(None) => {
                assert!(
                    pipe.end.is_none(),
                    "the connection ended before the response head was complete, received: \"{}\"",
                    pipe.output.escape_ascii()
                );
                return None;
            }
            Ok(Some((head, len))) => {
                pipe.output.drain(..len);
                if !head.response.status().is_informational() {
                    return Some(head);
                }
            }
        }
    }
}

/// The next part of a response body.
pub(super) enum BodyPart {
    Data(Bytes),
    End,
}

/// Takes the next part of a response body. Returns `None` if it has not arrived yet, and panics if the body
/// is invalid or incomplete.
///
/// Without a decoder the body ends with the connection.
#[track_caller]
pub(super) fn take_body_part(decoder: Option<&mut h1::Body>, pipe: &PeerPipe) -> Option<BodyPart> {
    let mut pipe = pipe.borrow_mut();
    let Some(decoder) = decoder else {
        if !pipe.output.is_empty() {
            return Some(BodyPart::Data(std::mem::take(&mut pipe.output).into()));
        }
        return pipe.end.map(|_| BodyPart::End);
    };
    match decoder.decode(&pipe.output) {
        Err(error) => panic!("invalid response body: {error}: {}", pipe.output.escape_ascii()),
        Ok(Step::Done { consumed }) => {
            pipe.output.drain(..consumed);
            Some(BodyPart::End)
        }
        Ok(Step::Data { consumed, data }) => {
            let data = Bytes::copy_from_slice(&pipe.output[data]);
            pipe.output.drain(..consumed);
            Some(BodyPart::Data(data))
        }
        Ok(Step::NeedMore) => {
            pipe.output.clear();
            assert!(pipe.end.is_none(), "the response body is incomplete");
            None
        }
    }
}
