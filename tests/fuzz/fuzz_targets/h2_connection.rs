//! A whole connection has the same events and output if it is received at once and byte by byte.
//!
//! The input describes frames: four bytes (type, flags, stream, length) and a payload each. If the top bit of
//! the type is set, the frame is a complete HEADERS frame of a request.
#![no_main]

#[path = "../h2_server.rs"]
mod h2_server;

use libfuzzer_sys::fuzz_target;

const PATHS: [&str; 4] = ["/", "/echo", "/hold", "/bytes"];

fn frame(out: &mut Vec<u8>, frame_type: u8, flags: u8, stream: u8, payload: &[u8]) {
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&[frame_type, flags, 0, 0, 0, stream]);
    out.extend_from_slice(payload);
}

/// Returns the header block of a request, followed by arbitrary field lines.
fn request(number: u8, more: &[u8]) -> Vec<u8> {
    let path = PATHS[usize::from(number) % PATHS.len()];
    let method = if number & 4 == 0 { 0x82 } else { 0x83 };
    let mut block = vec![method, 0x86, 0x41, 1, b'a', 0x44, path.len() as u8];
    block.extend_from_slice(path.as_bytes());
    block.extend_from_slice(more);
    block
}

fuzz_target!(|data: &[u8]| {
    let mut input = h2_server::PREFACE.to_vec();
    frame(&mut input, 4, 0, 0, &[]);
    let mut rest = data;
    while let [frame_type, flags, stream, len, remaining @ ..] = rest {
        let (payload, remaining) = remaining.split_at(usize::from(*len).min(remaining.len()));
        rest = remaining;
        match (frame_type & 0x80, payload) {
            (0, _) => frame(&mut input, *frame_type, *flags, *stream, payload),
            (_, [number, more @ ..]) => frame(&mut input, 1, flags & 5, stream | 1, &request(*number, more)),
            (_, []) => frame(&mut input, 1, 5, stream | 1, &request(0, &[])),
        }
    }
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(h2_server::run(&[&input]), h2_server::run(&bytes));
});
