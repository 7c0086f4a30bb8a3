//! WebSocket client (RFC 6455) for messages of one frame each.
//!
//! No extension is offered. Every sent frame is masked with a different key. Received frames are borrowed
//! from the input, so that the client costs less than the server.

use windlass::proto::ws::{
    Mask,
    frame::{Header, Opcode},
    handshake::accept_key,
};
use windlass_cli::client::response;

use crate::fault::{Fault, Kind};

/// Key of every handshake. It protects caches (RFC 6455 §10.3), and there are none here.
const KEY: &str = "d2luZGxhc3MgYmVuY2guLg==";
/// Maximum payload of a frame.
const MAX_PAYLOAD_BYTES: u64 = 64 * 1024 * 1024;

/// Complete frame that holds a text or binary message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    /// Bytes of input used, including the pings before the frame.
    pub(crate) used: usize,
    pub(crate) opcode: Opcode,
    pub(crate) payload: &'a [u8],
}

/// Returns the request that opens a WebSocket.
pub(crate) fn handshake(path: &str, host: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nhost: {host}\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: {KEY}\r\n\r\n"
    )
    .into_bytes()
}

/// Parses the response to [`handshake`] and returns its length, or `None` if it is incomplete.
pub(crate) fn parse_handshake_response(input: &[u8]) -> Result<Option<usize>, Fault> {
    response::parse_handshake(input, &accept_key(KEY.as_bytes()).unwrap_or_default())
}

/// Appends a masked frame whose payload is the concatenation of `parts`. The key is derived from `number`.
pub(crate) fn append(out: &mut Vec<u8>, opcode: Opcode, parts: [&[u8]; 2], number: u64) {
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
/// Pings before the message are answered in `out`.
pub(crate) fn parse<'a>(input: &'a [u8], out: &mut Vec<u8>) -> Result<Option<Frame<'a>>, Fault> {
    let mut at = 0;
    loop {
        let Some(mut frame) = parse_frame(&input[at..])? else { return Ok(None) };
        frame.used += at;
        match frame.opcode {
            Opcode::Text | Opcode::Binary => return Ok(Some(frame)),
            Opcode::Ping => {
                // A ping is parsed and answered again if the next frame is incomplete. A second pong is
                // harmless (§5.5.3).
                append(out, Opcode::Pong, [frame.payload, &[]], 0);
                at = frame.used;
            }
            Opcode::Pong => at = frame.used,
            Opcode::Close => return Err(Fault::new(Kind::Closed, "server closed the WebSocket")),
            Opcode::Continuation => {
                return Err(Fault::new(Kind::Malformed, "continuation frame, expected a message"));
            }
        }
    }
}

fn parse_frame(input: &[u8]) -> Result<Option<Frame<'_>>, Fault> {
    let malformed = |detail: String| Fault::new(Kind::Malformed, detail);
    let Some((header, length)) = Header::parse(input).map_err(|fault| malformed(format!("{fault:?}")))?
    else {
        return Ok(None);
    };
    if header.key.is_some() || header.rsv1 || !header.fin || header.len > MAX_PAYLOAD_BYTES {
        let detail = format!("frame is masked, compressed, fragmented or too large: {header:?}");
        return Err(malformed(detail));
    }
    let used = length + header.len as usize;
    Ok(input.get(length..used).map(|payload| Frame { used, opcode: header.opcode, payload }))
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
        let expected = Frame { used: 8, opcode: Opcode::Binary, payload: b"abc" };
        assert_eq!(parse(input, &mut out).unwrap(), Some(expected));
        assert_eq!((out[0], out[1]), (0x8a, 0x81));
    }

    #[test]
    fn invalid_frames_from_the_server_are_rejected() {
        for (frame, kind) in [
            (b"\x82\x81keys!".as_slice(), Kind::Malformed),
            (b"\x02\x01a", Kind::Malformed),
            (b"\xc2\x01a", Kind::Malformed),
            (b"\x80\x01a", Kind::Malformed),
            (b"\x88\x00", Kind::Closed),
        ] {
            assert_eq!(parse(frame, &mut Vec::new()).unwrap_err().kind, kind, "{frame:?}");
        }
    }
}
