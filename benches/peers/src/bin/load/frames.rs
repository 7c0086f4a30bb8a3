//! WebSocket as seen by a client (RFC 6455), just enough for messages of one frame each.
//!
//! No extension is offered. Every frame that leaves is masked with a key of its own; what comes is looked at where it
//! lies in the input, so that the client costs less than the server does.

use windlass::proto::ws::{
    Mask,
    frame::{Header, Opcode},
    handshake::accept_key,
};
use windlass_cli::client::response;

use crate::fault::{Fault, Kind};

/// The key of every handshake: it guards against caches (§10.3), of which there are none here.
const KEY: &str = "d2luZGxhc3MgYmVuY2guLg==";
/// Most payload of one frame that is believed.
const MAX_PAYLOAD_BYTES: u64 = 64 * 1024 * 1024;

/// A whole frame with a message, or with the answer to a ping.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    /// Bytes of the input it took.
    pub(crate) taken: usize,
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

/// Parses the answer to [`handshake`]: the bytes it took; `None` when it is not whole yet.
pub(crate) fn parse_opened(input: &[u8]) -> Result<Option<usize>, Fault> {
    response::parse_handshake(input, &accept_key(KEY.as_bytes()).unwrap_or_default())
}

/// Appends a masked frame whose payload is `parts`, one after the other. `number` chooses the key.
pub(crate) fn append(out: &mut Vec<u8>, opcode: Opcode, parts: [&[u8]; 2], number: u64) {
    let key = key(number);
    let header = Header { key: Some(key), ..Header::new(opcode, parts[0].len() + parts[1].len()) };
    header.append_to(out);
    let mut mask = Mask::new(key);
    parts.into_iter().for_each(|part| mask.append(out, part));
}

/// Makes keys that look random. That nobody can guess them matters to caches only.
fn key(number: u64) -> [u8; 4] {
    let [.., a, b, c, d] = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    [a, b, c, d]
}

/// Parses the frame at the start of `input`; `None` when it is not whole yet.
///
/// A ping is answered in `out`, and the frame behind it is returned, its `taken` counting both.
pub(crate) fn parse<'a>(input: &'a [u8], out: &mut Vec<u8>) -> Result<Option<Frame<'a>>, Fault> {
    let mut at = 0;
    loop {
        let Some(mut frame) = whole(&input[at..])? else { return Ok(None) };
        frame.taken += at;
        match frame.opcode {
            Opcode::Text | Opcode::Binary => return Ok(Some(frame)),
            Opcode::Ping => {
                // Parsed again if what follows is not whole: then it is answered twice, which harms nobody (§5.5.3).
                append(out, Opcode::Pong, [frame.payload, &[]], 0);
                at = frame.taken;
            }
            Opcode::Pong => at = frame.taken,
            Opcode::Close => return Err(Fault::new(Kind::Closed, "the server closed a WebSocket")),
            Opcode::Continuation => {
                return Err(Fault::new(Kind::Malformed, "a fragment where a message must come"));
            }
        }
    }
}

fn whole(input: &[u8]) -> Result<Option<Frame<'_>>, Fault> {
    let malformed = |what: String| Fault::new(Kind::Malformed, what);
    let Some((header, length)) = Header::parse(input).map_err(|fault| malformed(format!("{fault:?}")))?
    else {
        return Ok(None);
    };
    if header.key.is_some() || header.rsv1 || !header.fin || header.len > MAX_PAYLOAD_BYTES {
        return Err(malformed(format!("a frame that is masked, compressed, a fragment or huge: {header:?}")));
    }
    let taken = length + header.len as usize;
    Ok(input.get(length..taken).map(|payload| Frame { taken, opcode: header.opcode, payload }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_masked_with_another_key_each_time() {
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
    fn a_message_is_found_behind_a_ping_which_is_answered() {
        let (input, mut out) = (b"\x89\x01p\x82\x03abc\x82", Vec::new());
        for end in 0..8 {
            assert_eq!(parse(&input[..end], &mut out).unwrap(), None);
        }
        out.clear();
        let expected = Frame { taken: 8, opcode: Opcode::Binary, payload: b"abc" };
        assert_eq!(parse(input, &mut out).unwrap(), Some(expected));
        assert_eq!((out[0], out[1]), (0x8a, 0x81));
    }

    #[test]
    fn frames_that_no_server_may_send_here_are_refused() {
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
