//! Frames that no honest peer sends, each with the reaction that RFC 9113 asks for.

use std::time::Duration;

use windlass::proto::h2::Limits;

use crate::common::{
    Seen, Server,
    frames::{
        ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PADDED, PING, PRIORITY,
        PRIORITY_UPDATE, PUSH_PROMISE, RST_STREAM, SETTINGS, WITH_PRIORITY, block, frame, get, headers,
        preface, request, reset, settings, window_update,
    },
};

const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;
const COMPRESSION_ERROR: u32 = 9;
const ENHANCE_YOUR_CALM: u32 = 11;

/// Feeds bytes and returns the code of the GOAWAY that is sent; none: the connection goes on.
fn goaway(server: &mut Server, bytes: &[u8]) -> Option<u32> {
    let sent = server.answer(bytes);
    let code = sent.iter().find(|frame| frame.kind == GOAWAY).map(|frame| frame.code());
    let is_over = matches!(server.seen.last(), Some(Seen::Over(Some(_))));
    assert_eq!(code.is_some(), is_over, "{:?}", server.seen.last());
    code
}

/// Feeds bytes and returns the stream and code of the only RST_STREAM that is sent; the connection must go
/// on.
#[track_caller]
fn stream_error(server: &mut Server, bytes: &[u8]) -> (u32, u32) {
    let sent = server.answer(bytes);
    assert!(!sent.iter().any(|frame| frame.kind == GOAWAY), "{sent:?}");
    let resets: Vec<_> = sent.iter().filter(|frame| frame.kind == RST_STREAM).collect();
    assert_eq!(resets.len(), 1, "{sent:?}");
    let pong = server.answer(&frame(PING, 0, 0, [1; 8]));
    assert_eq!((pong.len(), pong[0].kind, pong[0].flags), (1, PING, ACK));
    (resets[0].stream, resets[0].code())
}

fn greeted() -> Server {
    Server::greeted(Limits::default(), &[])
}

/// Makes a server with stream 1 in each state that it can have, seen from the peer.
fn open() -> Server {
    let mut server = greeted();
    server.feed(&headers(1, &request("POST", "/hold"), false));
    server
}

fn half_closed() -> Server {
    let mut server = greeted();
    server.feed(&headers(1, &request("POST", "/hold"), true));
    server
}

fn closed() -> Server {
    let mut server = greeted();
    server.feed(&get(1, "/"));
    server
}

#[test]
fn frames_that_break_the_connection() {
    let padded = |kind: u8, stream: u32, payload: &[u8]| frame(kind, PADDED | END_HEADERS, stream, payload);
    let with = |flags: u8, payload: Vec<u8>| frame(HEADERS, flags | END_HEADERS, 3, payload);
    let cases: Vec<(&str, Vec<u8>, u32)> = vec![
        ("DATA on no stream", frame(DATA, 0, 0, b"x"), PROTOCOL_ERROR),
        ("DATA on an idle stream", frame(DATA, 0, 3, b"x"), PROTOCOL_ERROR),
        ("DATA on a stream of the server", frame(DATA, 0, 2, b"x"), PROTOCOL_ERROR),
        ("DATA with padding beyond its end", padded(DATA, 1, &[5, 0, 0, 0, 0]), PROTOCOL_ERROR),
        ("padded DATA without a length", padded(DATA, 1, &[]), FRAME_SIZE_ERROR),
        ("a frame that is too long", frame(DATA, 0, 1, [0; 16_385]), FRAME_SIZE_ERROR),
        ("HEADERS on no stream", frame(HEADERS, END_HEADERS, 0, block(&request("GET", "/"))), PROTOCOL_ERROR),
        ("HEADERS on an even stream", headers(2, &request("GET", "/"), true), PROTOCOL_ERROR),
        ("HEADERS with padding beyond its end", padded(HEADERS, 3, &[200, 0x82]), PROTOCOL_ERROR),
        ("padded HEADERS without a length", padded(HEADERS, 3, &[]), FRAME_SIZE_ERROR),
        ("HEADERS with half a priority", with(WITH_PRIORITY, vec![0; 4]), FRAME_SIZE_ERROR),
        ("a block that is not HPACK", with(0, vec![0x80]), COMPRESSION_ERROR),
        ("a block that is cut off", with(0, vec![0x00, 0x05, b'a']), COMPRESSION_ERROR),
        ("PRIORITY on no stream", frame(PRIORITY, 0, 0, [0; 5]), PROTOCOL_ERROR),
        ("PRIORITY of another length, idle", frame(PRIORITY, 0, 3, [0; 4]), FRAME_SIZE_ERROR),
        ("PRIORITY on itself, idle", frame(PRIORITY, 0, 3, [0, 0, 0, 3, 1]), PROTOCOL_ERROR),
        ("RST_STREAM on no stream", reset(0, 8), PROTOCOL_ERROR),
        ("RST_STREAM on an idle stream", reset(3, 8), PROTOCOL_ERROR),
        ("RST_STREAM of another length", frame(RST_STREAM, 0, 1, [0; 3]), FRAME_SIZE_ERROR),
        ("SETTINGS on a stream", frame(SETTINGS, 0, 1, []), PROTOCOL_ERROR),
        ("SETTINGS of another length", frame(SETTINGS, 0, 0, [0; 5]), FRAME_SIZE_ERROR),
        ("SETTINGS, acknowledged with a payload", frame(SETTINGS, ACK, 0, [0; 6]), FRAME_SIZE_ERROR),
        ("ENABLE_PUSH of 2", frame(SETTINGS, 0, 0, settings(&[(2, 2)])), PROTOCOL_ERROR),
        ("INITIAL_WINDOW_SIZE of 2^31", frame(SETTINGS, 0, 0, settings(&[(4, 1 << 31)])), FLOW_CONTROL_ERROR),
        ("MAX_FRAME_SIZE of 16383", frame(SETTINGS, 0, 0, settings(&[(5, 16_383)])), PROTOCOL_ERROR),
        ("MAX_FRAME_SIZE of 2^24", frame(SETTINGS, 0, 0, settings(&[(5, 1 << 24)])), PROTOCOL_ERROR),
        ("NO_RFC7540_PRIORITIES that changes", frame(SETTINGS, 0, 0, settings(&[(9, 1)])), PROTOCOL_ERROR),
        ("PUSH_PROMISE", frame(PUSH_PROMISE, END_HEADERS, 1, [0, 0, 0, 2, 0x82]), PROTOCOL_ERROR),
        ("PING on a stream", frame(PING, 0, 1, [0; 8]), PROTOCOL_ERROR),
        ("PING of another length", frame(PING, 0, 0, [0; 7]), FRAME_SIZE_ERROR),
        ("GOAWAY on a stream", frame(GOAWAY, 0, 1, [0; 8]), PROTOCOL_ERROR),
        ("GOAWAY of another length", frame(GOAWAY, 0, 0, [0; 7]), FRAME_SIZE_ERROR),
        ("WINDOW_UPDATE of nothing", window_update(0, 0), PROTOCOL_ERROR),
        ("WINDOW_UPDATE beyond the largest", window_update(0, 0x7fff_ffff), FLOW_CONTROL_ERROR),
        ("WINDOW_UPDATE of another length", frame(8, 0, 0, [0; 3]), FRAME_SIZE_ERROR),
        ("WINDOW_UPDATE on an idle stream", window_update(3, 1), PROTOCOL_ERROR),
        ("CONTINUATION without a block", frame(CONTINUATION, END_HEADERS, 1, []), PROTOCOL_ERROR),
        ("PRIORITY_UPDATE on a stream", frame(PRIORITY_UPDATE, 0, 1, [0, 0, 0, 1]), PROTOCOL_ERROR),
        ("PRIORITY_UPDATE that is too short", frame(PRIORITY_UPDATE, 0, 0, [0; 3]), FRAME_SIZE_ERROR),
        ("PRIORITY_UPDATE of no stream", frame(PRIORITY_UPDATE, 0, 0, [0; 4]), PROTOCOL_ERROR),
    ];
    for (what, bytes, code) in cases {
        assert_eq!(goaway(&mut open(), &bytes), Some(code), "{what}");
    }
}

#[test]
fn a_header_block_is_not_interrupted() {
    let begun = frame(HEADERS, 0, 3, [0x82]);
    let others = [
        frame(DATA, 0, 1, b"x"),
        headers(5, &request("GET", "/"), true),
        frame(CONTINUATION, END_HEADERS, 1, [0x84]),
        frame(PING, 0, 0, [0; 8]),
        frame(0x42, 0, 3, []),
    ];
    for other in others {
        assert_eq!(goaway(&mut open(), &[begun.clone(), other].concat()), Some(PROTOCOL_ERROR));
    }
}

#[test]
fn a_connection_begins_with_the_preface_and_settings() {
    let mut server = Server::new();
    assert_eq!(goaway(&mut server, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r."), Some(PROTOCOL_ERROR));
    for first in [frame(PING, 0, 0, [0; 8]), frame(SETTINGS, ACK, 0, []), get(1, "/"), frame(0x42, 0, 0, [])]
    {
        let mut server = Server::new();
        assert_eq!(goaway(&mut server, &[&preface(&[])[..24], &first].concat()), Some(PROTOCOL_ERROR));
    }
}

#[test]
fn frames_that_break_a_stream() {
    let cases: Vec<(&str, Vec<u8>, u32)> = vec![
        ("WINDOW_UPDATE of nothing", window_update(1, 0), PROTOCOL_ERROR),
        ("WINDOW_UPDATE beyond the largest", window_update(1, 0x7fff_ffff), FLOW_CONTROL_ERROR),
        ("PRIORITY of another length", frame(PRIORITY, 0, 1, [0; 4]), FRAME_SIZE_ERROR),
        ("PRIORITY on itself", frame(PRIORITY, 0, 1, [0, 0, 0, 1, 1]), PROTOCOL_ERROR),
        ("trailers that end nothing", headers(1, &[("x-a", "1")], false), PROTOCOL_ERROR),
        ("trailers with a pseudo-header field", headers(1, &[(":path", "/")], true), PROTOCOL_ERROR),
    ];
    for (what, bytes, code) in cases {
        let mut server = open();
        assert_eq!(stream_error(&mut server, &bytes), (1, code), "{what}");
        assert!(matches!(server.seen.last(), Some(Seen::Reset { id: 1, .. })), "{what}");
    }
}

#[test]
fn a_stream_that_depends_on_itself_is_reset() {
    let payload = [vec![0, 0, 0, 1, 7], block(&request("GET", "/"))].concat();
    let bytes = frame(HEADERS, END_HEADERS | END_STREAM | WITH_PRIORITY, 1, payload);
    assert_eq!(stream_error(&mut greeted(), &bytes), (1, PROTOCOL_ERROR));
}

#[test]
fn what_comes_behind_the_end_of_a_stream_is_an_error() {
    for late in [frame(DATA, 0, 1, b"x"), headers(1, &[("x-a", "1")], true)] {
        assert_eq!(stream_error(&mut half_closed(), &late), (1, STREAM_CLOSED));
    }
    assert_eq!(stream_error(&mut closed(), &frame(DATA, 0, 1, b"x")), (1, STREAM_CLOSED));
    assert_eq!(goaway(&mut closed(), &headers(1, &request("GET", "/"), true)), Some(STREAM_CLOSED));
    let mut by_peer = half_closed();
    by_peer.feed(&reset(1, CANCEL));
    assert_eq!(stream_error(&mut by_peer, &frame(DATA, 0, 1, b"x")), (1, STREAM_CLOSED));
    for harmless in [window_update(1, 1), reset(1, CANCEL), frame(PRIORITY, 0, 1, [0, 0, 0, 0, 1])] {
        assert_eq!(closed().answer(&harmless), []);
    }
}

#[test]
fn identifiers_must_rise() {
    let mut server = greeted();
    server.feed(&get(5, "/"));
    assert_eq!(goaway(&mut server, &get(3, "/")), Some(PROTOCOL_ERROR));
}

#[test]
fn what_was_sent_before_a_reset_was_seen_is_ignored() {
    let mut server = open();
    let key = server.key(1);
    let mut out = Vec::new();
    server.connection.reset(key, windlass::proto::h2::ErrorCode::NoError, &mut out);
    let late =
        [frame(DATA, 0, 1, [0; 1000]), headers(1, &[("x-a", "1")], true), window_update(1, 5)].concat();
    assert_eq!(server.answer(&late), []);
    // The table that later blocks refer to has gone on.
    let indexed = frame(HEADERS, END_HEADERS, 1, [0x40, 3, b'x', b'-', b'b', 1, b'2']);
    assert_eq!(server.answer(&indexed), []);
    let mut next = block(&request("GET", "/"));
    next.push(0xbe);
    server.feed(&frame(HEADERS, END_HEADERS | END_STREAM, 3, next));
    let Some(Seen::Request { fields, .. }) = server.seen.last() else { panic!("{:?}", server.seen) };
    assert_eq!(fields, &[(b"x-b".to_vec(), b"2".to_vec())]);
}

#[test]
fn streams_beyond_the_limit_are_refused_and_cost_nothing() {
    let mut server = Server::greeted(Limits { streams: 2, ..Limits::default() }, &[]);
    server.feed(&[headers(1, &request("POST", "/hold"), false), get(3, "/hold")].concat());
    let refused =
        [headers(5, &request("POST", "/hold"), false), frame(DATA, END_STREAM, 5, b"body")].concat();
    let sent = server.answer(&refused);
    assert_eq!((sent.len(), sent[0].stream, sent[0].code()), (1, 5, REFUSED_STREAM));
    assert_eq!(server.connection.open_streams(), 2);
    server.feed(&[reset(3, CANCEL), get(7, "/")].concat());
    assert!(matches!(server.seen.last(), Some(Seen::Request { id: 7, .. })));
}

#[test]
fn malformed_requests_reset_their_stream_and_are_limited() {
    let limits = Limits { stream_faults: 8, ..Limits::default() };
    let mut server = Server::greeted(limits, &[]);
    let bad = |id| headers(id, &[(":method", "GET")], true);
    for id in (1..17).step_by(2) {
        assert_eq!(stream_error(&mut server, &bad(id)), (id, PROTOCOL_ERROR));
        assert_eq!(server.seen.pop(), Some(Seen::Malformed("the request has no :scheme, or no :path")));
    }
    assert_eq!(goaway(&mut server, &bad(17)), Some(ENHANCE_YOUR_CALM));
}

#[test]
fn faults_of_streams_may_come_again_after_a_while() {
    let mut server = Server::greeted(Limits { stream_faults: 8, ..Limits::default() }, &[]);
    let bad = |id| headers(id, &[(":method", "GET")], true);
    for id in (1..201).step_by(2) {
        assert_eq!(stream_error(&mut server, &bad(id)), (id, PROTOCOL_ERROR));
        server.now += Duration::from_millis(500);
    }
}

#[test]
fn floods_of_frames_that_cost_a_peer_nothing_end_the_connection() {
    let cases: Vec<(&str, Vec<u8>, usize)> = vec![
        ("h2_settings_flood", frame(SETTINGS, 0, 0, settings(&[(3, 100)])), 38),
        ("h2_settings_flood", frame(SETTINGS, ACK, 0, []), 38),
        ("h2_ping_flood", frame(PING, 0, 0, [7; 8]), 400),
        ("h2_ping_flood", frame(PING, ACK, 0, [7; 8]), 400),
        ("h2_frame_flood", frame(PRIORITY, 0, 3, [0, 0, 0, 1, 16]), 4000),
        ("h2_frame_flood", frame(PRIORITY_UPDATE, 0, 0, [0, 0, 0, 1]), 4000),
        ("h2_frame_flood", frame(0x42, 0, 0, [0; 3]), 4000),
        ("h2_window_update_flood", window_update(0, 1), 4000),
        ("h2_empty_data_flood", frame(DATA, 0, 1, []), 400),
        ("h2_empty_data_flood", frame(DATA, PADDED, 1, [2, 0, 0]), 400),
        ("h2_reset_flood", reset(1, CANCEL), 400),
    ];
    for (label, flood, allowed) in cases {
        let mut server = open();
        // A reset is counted as one at once only in the instant of its request.
        server.now += Duration::from_micros(1);
        // What is sent lets more of some come.
        server.reads = false;
        server.feed(&flood.repeat(allowed));
        assert!(!matches!(server.seen.last(), Some(Seen::Over(_))), "{label}: {:?}", server.seen.last());
        server.feed(&flood);
        let Some(Seen::Over(Some(fault))) = server.seen.last() else {
            panic!("{label}: {:?}", server.seen.last())
        };
        assert_eq!((fault.label, fault.code.to_u32()), (label, ENHANCE_YOUR_CALM));
    }
}

#[test]
fn requests_that_are_cancelled_at_once_end_the_connection() {
    for path in ["/", "/hold"] {
        let mut server = greeted();
        let pairs = |ids: std::ops::Range<u32>| -> Vec<u8> {
            ids.flat_map(|n| [get(2 * n + 1, path), reset(2 * n + 1, CANCEL)].concat()).collect()
        };
        assert_eq!(goaway(&mut server, &pairs(0..20)), None);
        server.now += Duration::from_micros(1);
        assert_eq!(goaway(&mut server, &pairs(20..40)), None, "another instant");
        assert_eq!(goaway(&mut server, &pairs(40..41)), Some(ENHANCE_YOUR_CALM));
    }
}

#[test]
fn header_blocks_that_never_end_are_bounded() {
    let limits = Limits::default();
    for (piece, most) in [(vec![], 64), (vec![0x10, 1, b'a', 1, b'b'], 64), (vec![b'x'; 16_384], 9)] {
        let mut server = greeted();
        // A name that is announced to be longer than anything that comes.
        let start =
            if piece.len() > 1000 { vec![0x10, 0x7f, 0xff, 0xff, 0x7f] } else { block(&request("GET", "/")) };
        server.feed(&frame(HEADERS, END_STREAM, 1, start));
        let mut pieces = 0;
        while goaway(&mut server, &frame(CONTINUATION, 0, 1, &piece)).is_none() {
            pieces += 1;
            assert!(pieces <= most, "pieces of {} bytes", piece.len());
            assert!(server.connection.held_bytes() < 10 * limits.header_list_bytes);
        }
    }
}

#[test]
fn header_bombs_end_the_connection() {
    let mut server = greeted();
    // One field of 4,000 bytes goes into the table; then each byte is that field again.
    let mut bomb = block(&request("GET", "/"));
    bomb.extend([0x40, 1, b'a', 0x7f, 0xa1, 0x1e]);
    bomb.extend([b'x'; 4000]);
    bomb.extend([0xbe; 10_000]);
    assert_eq!(
        goaway(&mut server, &frame(HEADERS, END_HEADERS | END_STREAM, 5, bomb)),
        Some(ENHANCE_YOUR_CALM)
    );
}

#[test]
fn a_peer_that_leaves_with_an_error_is_not_answered() {
    let mut server = open();
    let sent = server.answer(&frame(GOAWAY, 0, 0, [0, 0, 0, 0, 0, 0, 0, 2]));
    assert_eq!(sent, []);
    let Some(Seen::Over(Some(fault))) = server.seen.last() else { panic!("{:?}", server.seen) };
    assert_eq!(fault.label, "h2_peer_goaway");
}
