//! Subscriptions over HTTP/2: the client's frames, with header blocks that need no table. Of a response's
//! block only the status is read.
//!
//! The windows are so large that the server never waits for them.

use std::net::SocketAddr;

use windlass_cli::client::fault::{Fault, Kind};

use super::PATH;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const HEADER_BYTES: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

/// Largest window (RFC 9113 §6.9.1).
const MAX_WINDOW: u32 = (1 << 31) - 1;
const DEFAULT_WINDOW: u32 = 65_535;

/// ENABLE_PUSH 0, INITIAL_WINDOW_SIZE [`MAX_WINDOW`].
const OWN_SETTINGS: &[u8] = &[0, 2, 0, 0, 0, 0, 0, 4, 0x7f, 0xff, 0xff, 0xff];

/// Something that the server sent.
pub(super) enum Received<'a> {
    /// The head of a response.
    Head,
    /// A part of the response with this index.
    Data(usize, &'a [u8]),
    /// A frame that concerns the connection.
    Other,
}

/// Returns what a client sends first: preface, settings, and one request on each of its streams.
pub(super) fn opening(streams: usize, host: SocketAddr) -> Vec<u8> {
    let mut out = PREFACE.to_vec();
    push_frame(&mut out, SETTINGS, 0, 0, OWN_SETTINGS);
    push_frame(&mut out, WINDOW_UPDATE, 0, 0, &(MAX_WINDOW - DEFAULT_WINDOW).to_be_bytes());
    // :method GET, :scheme http, then :path, :authority and accept as literals without indexing.
    let mut block = vec![0x82, 0x86];
    for (name, value) in
        [(&[0x04][..], PATH), (&[0x01], &host.to_string()), (&[0x0f, 0x04], "text/event-stream")]
    {
        block.extend_from_slice(name);
        block.push(value.len() as u8);
        block.extend_from_slice(value.as_bytes());
    }
    for index in 0..streams {
        push_frame(&mut out, HEADERS, END_HEADERS | END_STREAM, stream_of(index), &block);
    }
    out
}

/// Parses the next frame. Returns its length and content, or `None` if it is incomplete. Appends what must be
/// answered to `out`.
pub(super) fn parse<'a>(input: &'a [u8], out: &mut Vec<u8>) -> Result<Option<(usize, Received<'a>)>, Fault> {
    let Some((header, rest)) = input.split_first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = *header;
    let length = u32::from_be_bytes([0, l0, l1, l2]) as usize;
    let stream = u32::from_be_bytes([s0, s1, s2, s3]) & MAX_WINDOW;
    let Some(payload) = rest.get(..length) else { return Ok(None) };
    let received = match kind {
        HEADERS | DATA if flags & (END_STREAM | PADDED) != 0 || stream == 0 => {
            return Err(Fault::new(Kind::Closed, format_args!("server ended stream {stream}")));
        }
        // :status 200 as an index of the static table.
        HEADERS if payload.first() != Some(&0x88) => {
            return Err(Fault::new(Kind::Status, "a subscription was not answered with 200"));
        }
        HEADERS => Received::Head,
        DATA => Received::Data(index_of(stream), payload),
        RST_STREAM | GOAWAY => {
            return Err(Fault::new(Kind::Closed, format_args!("server sent a frame of type {kind}")));
        }
        SETTINGS | PING if flags & ACK == 0 => {
            push_frame(out, kind, ACK, 0, if kind == PING { payload } else { &[] });
            Received::Other
        }
        _ => Received::Other,
    };
    Ok(Some((HEADER_BYTES + length, received)))
}

fn stream_of(index: usize) -> u32 {
    index as u32 * 2 + 1
}

fn index_of(stream: u32) -> usize {
    (stream / 2) as usize
}

fn push_frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let [_, l0, l1, l2] = (payload.len() as u32).to_be_bytes();
    out.extend_from_slice(&[l0, l1, l2, kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_parsed_one_by_one_and_pings_are_answered() {
        let (mut input, mut out) = (Vec::new(), Vec::new());
        push_frame(&mut input, PING, 0, 0, b"12345678");
        push_frame(&mut input, HEADERS, END_HEADERS, 5, &[0x88]);
        push_frame(&mut input, DATA, 0, 5, b"data");
        let (used, received) = parse(&input, &mut out).unwrap().unwrap();
        assert!(matches!(received, Received::Other) && out[3..5] == [PING, ACK]);
        let (more, received) = parse(&input[used..], &mut out).unwrap().unwrap();
        assert!(matches!(received, Received::Head));
        let rest = &input[used + more..];
        assert!(matches!(parse(rest, &mut out).unwrap(), Some((_, Received::Data(2, b"data")))));
        assert!(parse(&rest[..rest.len() - 1], &mut out).unwrap().is_none());
    }

    #[test]
    fn an_end_and_another_status_are_faults() {
        for (kind, flags, payload) in
            [(DATA, END_STREAM, &b""[..]), (HEADERS, END_HEADERS, &[0x8d]), (RST_STREAM, 0, &[0; 4])]
        {
            let mut input = Vec::new();
            push_frame(&mut input, kind, flags, 1, payload);
            assert!(parse(&input, &mut Vec::new()).is_err(), "{kind}");
        }
    }
}
