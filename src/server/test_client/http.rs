//! HTTP/1.1 from the client's side: requests are encoded, responses are parsed.

use bytes::Bytes;
use http::{Request, header, uri};

use crate::{
    net::memory::PeerPipe,
    proto::h1::{self, ReplyHead, Step},
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

/// Takes the head of the final response. Skips interim responses. Returns `None` if the head is incomplete.
#[track_caller]
pub(super) fn take_head(pipe: &PeerPipe, is_head: bool) -> Option<ReplyHead> {
    loop {
        let mut pipe = pipe.borrow_mut();
        match h1::parse_reply(&pipe.output, is_head) {
            Err(error) => panic!("invalid response: {error}: {}", pipe.output.escape_ascii()),
            Ok(None) => {
                assert!(
                    pipe.end.is_none(),
                    "the connection ended without a response: {}",
                    pipe.output.escape_ascii()
                );
                return None;
            }
            Ok(Some(head)) => {
                pipe.output.drain(..head.len);
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

/// Takes the next part of a response body. Returns `None` if it has not arrived yet.
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
