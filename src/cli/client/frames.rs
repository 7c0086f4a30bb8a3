//! WebSocket messages of a client (RFC 6455).
//!
//! No extension is offered. Each message is sent as one frame, masked with a different key. A received
//! message of one frame is borrowed from the input, so that the client costs less than the server.

use std::borrow::Cow;

use windlass::proto::ws::{
    Mask,
    frame::{Header, Opcode},
    handshake::accept_key,
};

use super::{
    fault::{Fault, Kind},
    response,
};

/// Key of every handshake. It protects caches (RFC 6455 §10.3), and there are none here.
const KEY: &str = "d2luZGxhc3MgYmVuY2guLg==";
/// Maximum payload of a received message, bytes.
const MAX_PAYLOAD_BYTES: u64 = 64 * 1024 * 1024;

/// Complete text or binary message.
#[derive(Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Bytes of input used, including control frames before and inside the message.
    pub used: usize,
    /// Text or binary.
    pub opcode: Opcode,
    /// Payload of all frames of the message.
    pub payload: Cow<'a, [u8]>,
}

/// Complete frame.
struct Frame<'a> {
    used: usize,
    opcode: Opcode,
    is_last: bool,
    payload: &'a [u8],
}

/// Returns the request that opens a WebSocket.
pub fn handshake(path: &str, host: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nhost: {host}\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: {KEY}\r\n\r\n"
    )
    .into_bytes()
}

/// Parses the response to [`handshake`] and returns its length, or `None` if it is incomplete.
///
/// # Errors
///
/// The server does not open the WebSocket.
pub fn parse_handshake_response(input: &[u8]) -> Result<Option<usize>, Fault> {
    response::parse_handshake(input, &accept_key(KEY.as_bytes()).unwrap_or_default())
}

/// Appends a masked frame whose payload is the concatenation of `parts`. The key is derived from `number`.
pub fn append(out: &mut Vec<u8>, opcode: Opcode, parts: [&[u8]; 2], number: u64) {
    let key = key(number);
    let header = Header { key: Some(key), ..Header::new(opcode, parts[0].len() + parts[1].len()) };
    header.append_to(out);
    let mut mask = Mask::new(key);
    parts.into_iter().for_each(|part| mask.append(out, part));
}

/// Returns a key that looks random. Unpredictable keys protect caches only, and there are none here.
fn key(number: u64) -> [u8; 4] {
    let [.., a, b, c, d] = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    [a, b, c, d]
}

/// Parses the first message of `input`, or returns `None` if it is incomplete.
///
/// Appends the replies to pings before the end of the message to `out`. If the message is incomplete, its
/// pings are answered again by the next call. A second pong is harmless (§5.5.3).
///
/// # Errors
///
/// The server closed the WebSocket, or a frame is invalid.
pub fn parse<'a>(input: &'a [u8], out: &mut Vec<u8>) -> Result<Option<Message<'a>>, Fault> {
    let mut message: Option<Message<'a>> = None;
    let mut used = 0;
    loop {
        let Some(frame) = parse_frame(&input[used..])? else { return Ok(None) };
        used += frame.used;
        message = match (frame.opcode, message) {
            (Opcode::Ping, message) => {
                append(out, Opcode::Pong, [frame.payload, &[]], 0);
                message
            }
            (Opcode::Pong, message) => message,
            (Opcode::Close, _) => {
                return Err(Fault::new(Kind::Closed, "server closed the WebSocket"));
            }
            (opcode @ (Opcode::Text | Opcode::Binary), None) => {
                let message = Message { used, opcode, payload: frame.payload.into() };
                if frame.is_last {
                    return Ok(Some(message));
                }
                Some(message)
            }
            (Opcode::Continuation, Some(mut message)) => {
                message.payload.to_mut().extend_from_slice(frame.payload);
                if message.payload.len() as u64 > MAX_PAYLOAD_BYTES {
                    return Err(Fault::new(Kind::Malformed, "received message exceeds 64 MiB"));
                }
                if frame.is_last {
                    return Ok(Some(Message { used, ..message }));
                }
                Some(message)
            }
            (opcode, _) => {
                return Err(Fault::new(
                    Kind::Malformed,
                    format_args!("server sent a {opcode:?} frame out of order"),
                ));
            }
        };
    }
}

fn parse_frame(input: &[u8]) -> Result<Option<Frame<'_>>, Fault> {
    let malformed = |detail: String| Fault::new(Kind::Malformed, detail);
    let Some((header, length)) = Header::parse(input).map_err(|fault| malformed(fault.to_string()))? else {
        return Ok(None);
    };
    if header.key.is_some() || header.rsv1 || header.len > MAX_PAYLOAD_BYTES {
        return Err(malformed(format!(
            "server sent a frame that is masked, compressed or above 64 MiB: {header:?}"
        )));
    }
    let used = length + header.len as usize;
    let payload = input.get(length..used);
    Ok(payload.map(|payload| Frame { used, opcode: header.opcode, is_last: header.fin, payload }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_frame_is_masked_with_a_different_key() {
        let mut frames = [Vec::new(), Vec::new()];
        for (number, frame) in frames.iter_mut().enumerate() {
            append(frame, Opcode::Text, [b"abc", b"de"], number as u64);
            let (header, length) = Header::parse(frame).unwrap().unwrap();
            let mut payload = Vec::new();
            Mask::new(header.key.unwrap()).append(&mut payload, &frame[length..]);
            assert_eq!((header.opcode, payload.as_slice()), (Opcode::Text, b"abcde".as_slice()));
        }
        assert_ne!(frames[0][2..6], frames[1][2..6]);
    }

    #[test]
    fn a_message_after_a_ping_is_parsed_and_the_ping_is_answered() {
        let (input, mut out) = (b"\x89\x01p\x82\x03abc\x82", Vec::new());
        for end in 0..8 {
            assert_eq!(parse(&input[..end], &mut out).unwrap(), None);
        }
        out.clear();
        let expected = Message { used: 8, opcode: Opcode::Binary, payload: b"abc".as_slice().into() };
        assert_eq!(parse(input, &mut out).unwrap(), Some(expected));
        assert_eq!((out[0], out[1]), (0x8a, 0x81));
    }

    #[test]
    fn the_frames_of_a_message_are_joined() {
        let (input, mut out) = (b"\x01\x02ab\x89\x00\x00\x01c\x80\x01d\x81", Vec::new());
        for end in 0..input.len() - 1 {
            assert_eq!(parse(&input[..end], &mut out).unwrap(), None, "{end}");
        }
        out.clear();
        let expected = Message { used: 12, opcode: Opcode::Text, payload: b"abcd".as_slice().into() };
        assert_eq!(parse(input, &mut out).unwrap(), Some(expected));
        assert_eq!(out[0], 0x8a);
    }

    #[test]
    fn invalid_frames_from_the_server_are_rejected() {
        for (frame, kind) in [
            (b"\x82\x81keys!".as_slice(), Kind::Malformed),
            (b"\x02\x01a\x82\x01b", Kind::Malformed),
            (b"\xc2\x01a", Kind::Malformed),
            (b"\x80\x01a", Kind::Malformed),
            (b"\x88\x00", Kind::Closed),
        ] {
            assert_eq!(parse(frame, &mut Vec::new()).unwrap_err().kind, kind, "{frame:?}");
        }
    }
}
