//! Protocol violations of WebSocket clients, and the close code that answers each.

use windlass::proto::ws::deflate::Deflater;

use super::peer::{BINARY, CLOSE, PING, PONG, TEXT, echoes, frame, open, open_at, opening, read, read_close};
use crate::common::{End, address, connect, eventually, metric, start};

/// Returns malformed input with its metric label and the close code that must answer it.
fn faults() -> Vec<(&'static str, Vec<u8>, u16)> {
    let continuation = frame(0x80, "x");
    vec![
        ("unmasked", vec![TEXT, 1, b'x'], 1002),
        ("reserved_bits", frame(0xc1, "x"), 1002),
        ("reserved_bits", frame(0xa1, "x"), 1002),
        ("reserved_bits", frame(0x91, "x"), 1002),
        ("opcode", frame(0x83, "x"), 1002),
        ("opcode", frame(0x8b, "x"), 1002),
        ("length_not_minimal", [&[TEXT, 0xfe, 0, 1][..], &[0; 5]].concat(), 1002),
        ("length_too_long", [&[TEXT, 0xff][..], &[0xff; 8], &[0; 4]].concat(), 1002),
        ("control_fragmented", frame(0x09, "x"), 1002),
        ("control_too_long", frame(PING, [0; 126]), 1002),
        ("continuation", continuation.clone(), 1002),
        ("interrupted", [frame(0x01, "x"), frame(TEXT, "y")].concat(), 1002),
        ("close_payload", frame(CLOSE, "x"), 1002),
        ("close_code", frame(CLOSE, 1005_u16.to_be_bytes()), 1002),
        ("close_reason", frame(CLOSE, b"\x03\xe8\xff"), 1007),
        ("text", frame(TEXT, b"ok\xff"), 1007),
        // The fault is reported in the middle of a fragment whose rest is never sent.
        ("text", frame(0x01, b"\xc3\x28")[..8].to_vec(), 1007),
        ("text", [frame(0x01, b"\xe2\x82"), frame(0x80, "")].concat(), 1007),
        ("too_big", [&[BINARY, 0xff][..], &(1_048_577_u64).to_be_bytes(), &[0; 4]].concat(), 1009),
    ]
}

#[test]
fn every_violation_gets_its_close_code_is_counted_and_ends_the_connection() {
    let server = start(echoes());
    for (label, bytes, code) in faults() {
        let sample = format!("windlass_protocol_errors_total{{cause=\"{label}\"}}");
        let before = metric(&server, &sample);
        let mut peer = open(&server, "/ws");
        peer.send(&bytes);
        assert_eq!(read_close(&mut peer), code, "{label}: {}", bytes.escape_ascii());
        assert_eq!(peer.read_to_close().1, End::Fin, "{label}");
        eventually(label, || metric(&server, &sample) == before + 1.0);
    }
    assert_eq!(metric(&server, "windlass_websockets{shard=\"0\"}"), 0.0);
    assert_eq!(metric(&server, "windlass_websockets{shard=\"1\"}"), 0.0);
}

#[test]
fn messages_before_a_violation_are_answered_and_later_ones_are_not() {
    let server = start(echoes());
    let mut peer = open(&server, "/ws");
    peer.send([frame(TEXT, "good"), frame(0x83, "bad"), frame(TEXT, "late")].concat());
    assert_eq!(read(&mut peer), (TEXT, b"good".to_vec()));
    assert_eq!(read_close(&mut peer), 1002);
    peer.expect_close();
}

#[test]
fn a_small_message_that_inflates_over_the_limit_is_refused() {
    let server = start(echoes());
    let mut peer = open_at(address(&server), "/deflate", "Sec-WebSocket-Extensions: permessage-deflate\r\n");
    let mut deflated = Vec::new();
    Deflater::new(9, 15).deflate(&vec![0; 2 * 1024 * 1024], &mut deflated);
    assert!(deflated.len() < 4096, "{}", deflated.len());
    peer.send(frame(0xc2, &deflated));
    assert_eq!(read_close(&mut peer), 1009);
    peer.expect_close();
    let mut peer = open_at(address(&server), "/deflate", "Sec-WebSocket-Extensions: permessage-deflate\r\n");
    peer.send(frame(0xc2, b"\xff\xff\xff not deflate"));
    assert_eq!(read_close(&mut peer), 1007);
}

#[test]
fn a_flood_of_unread_pings_is_answered_for_the_latest_one() {
    const PINGS: u32 = 200_000;
    let server = start(echoes());
    let mut peer = open(&server, "/ws");
    // With the smallest buffer the kernel drops segments, and resends them after ever longer delays.
    peer.set_receive_buffer(64 * 1024);
    let mut flood = Vec::new();
    for n in 0..PINGS {
        flood.extend(frame(PING, [&n.to_be_bytes()[..], &[0; 100]].concat()));
    }
    peer.send(&flood);
    peer.send(frame(TEXT, "end"));
    let (mut pongs, mut last, mut ended) = (0, 0, false);
    while last < PINGS - 1 || !ended {
        match read(&mut peer) {
            (PONG, payload) => {
                pongs += 1;
                last = u32::from_be_bytes(payload[..4].try_into().unwrap());
            }
            (TEXT, text) => ended = text == b"end",
            (first, _) => panic!("{first:#x}"),
        }
    }
    assert!(pongs < PINGS, "some PINGs must be answered by one PONG");
}

#[test]
fn a_page_of_another_origin_is_refused() {
    let server = start(echoes());
    let mut peer = connect(&server);
    peer.send(opening("/ws", "Origin: http://evil.example\r\n"));
    assert_eq!(peer.reply().status, 403);
    // The connection stays an HTTP/1.1 connection.
    peer.send(opening("/ws", "Origin: http://test\r\n"));
    super::peer::assert_opened(&peer.reply());
    assert_eq!(metric(&server, "windlass_websocket_refused_total{cause=\"origin\"}"), 1.0);
}
