//! HTTP/2 without HPACK, flow control and limits: the floor of what a request costs.
//!
//! Each HEADERS frame gets the same response. A peer's windows must therefore be larger than what it asks
//! for.

use windlass_peers::workload;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const HEADER_BYTES: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// `:status: 200`, then `content-type`, `content-length` and `date` as literals without indexing.
const HEAD: &[u8] = b"\x88\x0f\x10\x0atext/plain\x0f\x0d\x0213\x0f\x12\x1dMon, 01 Jan 2024 00:00:00 GMT";

/// MAX_CONCURRENT_STREAMS 200.
const OWN_SETTINGS: &[u8] = &[0, 3, 0, 0, 0, 200];

/// Appends the first frame of a connection.
pub(crate) fn open(out: &mut Vec<u8>) {
    push_frame(out, SETTINGS, 0, [0; 4], OWN_SETTINGS);
}

/// Removes the preface, if it is complete. Returns its length.
pub(crate) fn greet(input: &[u8]) -> Option<usize> {
    input.starts_with(PREFACE).then_some(PREFACE.len())
}

/// Answers the complete frames of `input`. Returns their length.
pub(crate) fn serve(input: &[u8], out: &mut Vec<u8>) -> usize {
    let mut used = 0;
    while let Some((header, rest)) = input[used..].split_first_chunk::<HEADER_BYTES>() {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = *header;
        let length = u32::from_be_bytes([0, l0, l1, l2]) as usize;
        let Some(payload) = rest.get(..length) else { break };
        match kind {
            HEADERS => {
                let stream = [s0, s1, s2, s3];
                push_frame(out, HEADERS, END_HEADERS, stream, HEAD);
                push_frame(out, DATA, END_STREAM, stream, workload::HELLO.as_bytes());
            }
            SETTINGS | PING if flags & ACK == 0 => {
                let payload = if kind == PING { payload } else { &[] };
                push_frame(out, kind, ACK, [0; 4], payload);
            }
            _ => {}
        }
        used += HEADER_BYTES + length;
    }
    used
}

fn push_frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: [u8; 4], payload: &[u8]) {
    let [_, l0, l1, l2] = (payload.len() as u32).to_be_bytes();
    let [s0, s1, s2, s3] = stream;
    out.extend_from_slice(&[l0, l1, l2, kind, flags, s0, s1, s2, s3]);
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complete_frames_are_answered_and_a_partial_one_is_kept() {
        let mut input = Vec::new();
        push_frame(&mut input, SETTINGS, 0, [0; 4], &[]);
        push_frame(&mut input, HEADERS, END_HEADERS | END_STREAM, [0, 0, 0, 1], &[0x82]);
        let complete = input.len();
        push_frame(&mut input, PING, 0, [0; 4], b"12345678");
        input.pop();
        let mut out = Vec::new();
        assert_eq!(serve(&input, &mut out), complete);
        assert_eq!(out[..HEADER_BYTES], [0, 0, 0, SETTINGS, ACK, 0, 0, 0, 0]);
        assert!(out.ends_with(workload::HELLO.as_bytes()));
    }

    #[test]
    fn the_declared_lengths_of_the_head_are_those_of_its_strings() {
        assert_eq!(HEAD.len(), 1 + 3 + 10 + 3 + 2 + 3 + 29);
        assert_eq!(workload::HELLO.len(), 13);
    }
}
