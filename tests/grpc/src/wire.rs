//! gRPC messages and statuses on the wire, by
//! [PROTOCOL-HTTP2](https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
//!
//! A message has a prefix of five bytes: a compression flag and its length, big-endian. A call ends with
//! trailers that carry its status. A call that fails before its first message has a single header block
//! ("trailers-only"). Compression is not supported.

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use prost::Message;
use windlass::{
    Body, BodyError, Response,
    http::{HeaderMap, HeaderName, HeaderValue},
};

/// Largest accepted message in bytes, the default of most gRPC implementations.
pub const MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// Length of a message's prefix in bytes.
pub const PREFIX_BYTES: usize = 5;

/// Media type of every response.
pub const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/grpc");

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");

/// ASCII characters that a status message must escape.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');

/// Status code of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(pub u32);

impl Code {
    /// Success.
    pub const OK: Self = Self(0);
    /// The client cancelled the call.
    pub const CANCELLED: Self = Self(1);
    /// The arguments are invalid, regardless of the server's state.
    pub const INVALID_ARGUMENT: Self = Self(3);
    /// The deadline passed before the call was complete.
    pub const DEADLINE_EXCEEDED: Self = Self(4);
    /// A limit was exceeded, such as the size of a message.
    pub const RESOURCE_EXHAUSTED: Self = Self(8);
    /// The server does not support the method or a feature that it needs.
    pub const UNIMPLEMENTED: Self = Self(12);
    /// An invariant is broken, such as the framing of a message.
    pub const INTERNAL: Self = Self(13);
}

/// Status of a call: its code and a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The status code.
    pub code: Code,
    /// Explanation for the client; any text.
    pub message: Cow<'static, str>,
}

impl Status {
    /// Creates a status.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into() }
    }

    /// Creates the status of a successful call.
    pub const fn ok() -> Self {
        Self { code: Code::OK, message: Cow::Borrowed("") }
    }

    /// Adds the status to the trailers.
    pub fn write(&self, trailers: &mut HeaderMap) {
        trailers.insert(STATUS, HeaderValue::from(self.code.0));
        if self.message.is_empty() {
            return;
        }
        let escaped = utf8_percent_encode(&self.message, ESCAPED).to_string();
        // The escaped text is visible ASCII and spaces, which a field value may hold.
        if let Ok(value) = HeaderValue::try_from(escaped) {
            trailers.insert(MESSAGE, value);
        }
    }

    /// Creates the response of a call that fails before its first message: headers only.
    pub fn into_response(self) -> Response {
        let mut fields = HeaderMap::with_capacity(3);
        self.write(&mut fields);
        let mut response = Response::typed(CONTENT_TYPE, Body::empty());
        for (name, value) in &fields {
            response.fields_mut().append(name.clone(), value.clone());
        }
        if self.code == Code::UNIMPLEMENTED {
            response.fields_mut().append(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        response
    }
}

/// Maps a failed request body to a status: cancelled by the client, too large, or invalid.
impl From<BodyError> for Status {
    fn from(error: BodyError) -> Self {
        let code = match error {
            BodyError::Aborted => Code::CANCELLED,
            BodyError::TooLarge => Code::RESOURCE_EXHAUSTED,
            _ => Code::INTERNAL,
        };
        Self::new(code, error.to_string())
    }
}

/// Returns `true` for the media type of gRPC, with an optional suffix such as `+proto` or parameters.
pub fn is_grpc(content_type: &str) -> bool {
    let rest = content_type.strip_prefix("application/grpc");
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';']))
}

/// Appends a message with its prefix.
///
/// # Errors
///
/// `RESOURCE_EXHAUSTED` if the length does not fit the prefix.
pub fn push(message: &impl Message, out: &mut BytesMut) -> Result<(), Status> {
    let start = out.len();
    out.put_bytes(0, PREFIX_BYTES);
    // Encoding fails only for lack of room, and the buffer grows.
    let _ = message.encode(out);
    let length = u32::try_from(out.len() - start - PREFIX_BYTES)
        .map_err(|_| Status::new(Code::RESOURCE_EXHAUSTED, "the response message is too large"))?;
    out[start + 1..start + PREFIX_BYTES].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// Reads the prefix at the start of `bytes`. Returns the length of the message after it; `None` if the prefix
/// is incomplete.
///
/// # Errors
///
/// `UNIMPLEMENTED` for a compressed message, `RESOURCE_EXHAUSTED` for one over [`MESSAGE_BYTES`], `INTERNAL`
/// for an invalid prefix.
pub fn length(bytes: &[u8]) -> Result<Option<usize>, Status> {
    let Some([flag, length @ ..]) = bytes.first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
    match flag {
        0 => {}
        1 => return Err(Status::new(Code::UNIMPLEMENTED, "compressed messages are not supported")),
        _ => return Err(Status::new(Code::INTERNAL, "unknown compression flag")),
    }
    match usize::try_from(u32::from_be_bytes(*length)) {
        Ok(length) if length <= MESSAGE_BYTES => Ok(Some(length)),
        _ => Err(Status::new(Code::RESOURCE_EXHAUSTED, format!("a message exceeds {MESSAGE_BYTES} bytes"))),
    }
}

/// Decodes a body that consists of exactly one message.
///
/// # Errors
///
/// Those of [`length`]; `INTERNAL` if the body is not exactly one message of this type.
pub fn only<M: Message + Default>(mut body: Bytes) -> Result<M, Status> {
    match length(&body)? {
        Some(length) if body.len() - PREFIX_BYTES == length => decode(body.split_off(PREFIX_BYTES)),
        _ => Err(Status::new(Code::INTERNAL, "the call takes exactly one message")),
    }
}

/// Decodes a message without its prefix.
///
/// # Errors
///
/// `INTERNAL` if the bytes are not a message of this type.
pub fn decode<M: Message + Default>(bytes: Bytes) -> Result<M, Status> {
    M::decode(bytes).map_err(|error| Status::new(Code::INTERNAL, format!("invalid message: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::{Payload, SimpleRequest};

    fn code<T>(result: Result<T, Status>) -> Option<Code> {
        result.err().map(|status| status.code)
    }

    #[test]
    fn a_message_is_decoded_and_every_truncation_is_an_error() {
        let message = SimpleRequest {
            response_size: 7,
            payload: Some(Payload { kind: 0, body: Bytes::from_static(b"abc") }),
            ..SimpleRequest::default()
        };
        let mut out = BytesMut::from("before");
        push(&message, &mut out).unwrap();
        let wire = out.split_off(6).freeze();
        assert_eq!(wire, &b"\0\0\0\0\x09\x10\x07\x1a\x05\x12\x03abc"[..]);
        assert_eq!(only::<SimpleRequest>(wire.clone()).unwrap(), message);
        for cut in 0..wire.len() {
            assert_eq!(code(only::<SimpleRequest>(wire.slice(..cut))), Some(Code::INTERNAL), "{cut}");
        }
    }

    #[test]
    fn invalid_prefixes_are_refused() {
        assert_eq!(length(b"\0\0\0\0"), Ok(None));
        assert_eq!(length(b"\0\0\x40\0\0"), Ok(Some(MESSAGE_BYTES)));
        assert_eq!(code(length(b"\0\0\x40\0\x01")), Some(Code::RESOURCE_EXHAUSTED));
        assert_eq!(code(length(b"\x01\0\0\0\0")), Some(Code::UNIMPLEMENTED));
        assert_eq!(code(length(b"\x02\0\0\0\0")), Some(Code::INTERNAL));
    }

    #[test]
    fn a_status_message_is_percent_encoded() {
        let mut trailers = HeaderMap::new();
        Status::new(Code(2), "\t\n100% \u{263a}\r~").write(&mut trailers);
        assert_eq!(trailers["grpc-status"], "2");
        assert_eq!(trailers["grpc-message"], "%09%0A100%25 %E2%98%BA%0D~");
        trailers.clear();
        Status::ok().write(&mut trailers);
        assert_eq!((trailers.len(), trailers["grpc-status"].as_bytes()), (1, &b"0"[..]));
    }

    #[test]
    fn only_the_media_types_of_grpc_are_recognized() {
        for (content_type, is) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;charset=utf-8", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            assert_eq!(is_grpc(content_type), is, "{content_type}");
        }
    }
}
