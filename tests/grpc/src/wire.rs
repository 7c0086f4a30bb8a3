//! Messages and statuses as gRPC puts them on the wire ([PROTOCOL-HTTP2](https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md)).
//!
//! A message has five bytes before it: whether it is compressed, and its length, big-endian. A call ends with trailers
//! that name its status; one that fails before its first message is a single block of headers ("trailers-only").
//! Compression is not spoken.

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use prost::Message;
use windlass::{
    Body, BodyError, Response,
    http::{HeaderMap, HeaderName, HeaderValue},
};

/// Largest message that is taken, bytes: what gRPC implementations agree on as their default.
pub const MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// Bytes before each message.
pub const PREFIX_BYTES: usize = 5;

/// The media type of every reply.
pub const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/grpc");

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");

/// What a status message may not hold as it is, beside what is not ASCII.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');

/// How a call ended, as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(pub u32);

impl Code {
    /// It succeeded.
    pub const OK: Self = Self(0);
    /// Its client gave it up.
    pub const CANCELLED: Self = Self(1);
    /// Its arguments make no sense, whatever the state of the server.
    pub const INVALID_ARGUMENT: Self = Self(3);
    /// It was not done in time.
    pub const DEADLINE_EXCEEDED: Self = Self(4);
    /// It asks for more than there is, such as too large a message.
    pub const RESOURCE_EXHAUSTED: Self = Self(8);
    /// The server does not know the method, or what it needs.
    pub const UNIMPLEMENTED: Self = Self(12);
    /// Something that must hold does not, such as the framing of a message.
    pub const INTERNAL: Self = Self(13);
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The number.
    pub code: Code,
    /// What the client is told; any text.
    pub message: Cow<'static, str>,
}

impl Status {
    /// Makes a status.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into() }
    }

    /// Makes the status of a call that succeeded.
    pub const fn ok() -> Self {
        Self { code: Code::OK, message: Cow::Borrowed("") }
    }

    /// Puts the status among trailers.
    pub fn write(&self, trailers: &mut HeaderMap) {
        trailers.insert(STATUS, HeaderValue::from(self.code.0));
        if self.message.is_empty() {
            return;
        }
        let escaped = utf8_percent_encode(&self.message, ESCAPED).to_string();
        // Nothing but visible ASCII and spaces is left, which a field may hold.
        if let Ok(value) = HeaderValue::try_from(escaped) {
            trailers.insert(MESSAGE, value);
        }
    }

    /// Makes the reply to a call that fails before its first message: headers only.
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

/// A body that ends early is its sender's doing, or the network's.
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

/// Says whether a media type is gRPC's: alone, or with how messages are written (`+proto`) or parameters behind it.
pub fn is_grpc(content_type: &str) -> bool {
    let rest = content_type.strip_prefix("application/grpc");
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';']))
}

/// Appends a message with its prefix.
///
/// # Errors
///
/// `RESOURCE_EXHAUSTED` when its length does not fit the prefix.
pub fn push(message: &impl Message, out: &mut BytesMut) -> Result<(), Status> {
    let start = out.len();
    out.put_bytes(0, PREFIX_BYTES);
    // The buffer grows: there is always room, the one thing that could be missing.
    let _ = message.encode(out);
    let length = u32::try_from(out.len() - start - PREFIX_BYTES)
        .map_err(|_| Status::new(Code::RESOURCE_EXHAUSTED, "the reply is larger than a message can be"))?;
    out[start + 1..start + PREFIX_BYTES].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// Reads the prefix at the start of `bytes`: the length of the message behind it. `None` when it is not complete.
///
/// # Errors
///
/// `UNIMPLEMENTED` for a compressed message, `RESOURCE_EXHAUSTED` for one above [`MESSAGE_BYTES`], `INTERNAL` for what
/// is no prefix.
pub fn length(bytes: &[u8]) -> Result<Option<usize>, Status> {
    let Some([flag, length @ ..]) = bytes.first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
    match flag {
        0 => {}
        1 => return Err(Status::new(Code::UNIMPLEMENTED, "compressed messages are not taken")),
        _ => return Err(Status::new(Code::INTERNAL, "a message has an unknown flag")),
    }
    match usize::try_from(u32::from_be_bytes(*length)) {
        Ok(length) if length <= MESSAGE_BYTES => Ok(Some(length)),
        _ => Err(Status::new(
            Code::RESOURCE_EXHAUSTED,
            format!("a message is larger than {MESSAGE_BYTES} bytes"),
        )),
    }
}

/// Decodes the one message that a whole body is.
///
/// # Errors
///
/// As [`length`]; `INTERNAL` when it is not exactly one, or not a message of this type.
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
/// `INTERNAL` when it is not one of this type.
pub fn decode<M: Message + Default>(bytes: Bytes) -> Result<M, Status> {
    M::decode(bytes)
        .map_err(|error| Status::new(Code::INTERNAL, format!("a message cannot be decoded: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::{Payload, SimpleRequest};

    fn code<T>(result: Result<T, Status>) -> Option<Code> {
        result.err().map(|status| status.code)
    }

    #[test]
    fn a_message_comes_back_and_every_cut_is_noticed() {
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
    fn prefixes_are_held_to_their_rules() {
        assert_eq!(length(b"\0\0\0\0"), Ok(None));
        assert_eq!(length(b"\0\0\x40\0\0"), Ok(Some(MESSAGE_BYTES)));
        assert_eq!(code(length(b"\0\0\x40\0\x01")), Some(Code::RESOURCE_EXHAUSTED));
        assert_eq!(code(length(b"\x01\0\0\0\0")), Some(Code::UNIMPLEMENTED));
        assert_eq!(code(length(b"\x02\0\0\0\0")), Some(Code::INTERNAL));
    }

    #[test]
    fn a_status_message_is_escaped_as_the_protocol_says() {
        let mut trailers = HeaderMap::new();
        Status::new(Code(2), "\t\n100% \u{263a}\r~").write(&mut trailers);
        assert_eq!(trailers["grpc-status"], "2");
        assert_eq!(trailers["grpc-message"], "%09%0A100%25 %E2%98%BA%0D~");
        trailers.clear();
        Status::ok().write(&mut trailers);
        assert_eq!((trailers.len(), trailers["grpc-status"].as_bytes()), (1, &b"0"[..]));
    }

    #[test]
    fn media_types_that_only_begin_like_it_are_others() {
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
