//! Flow control (RFC 9113 §5.2, §6.9), both ways.

use windlass::proto::h2::{End, ErrorCode, Limits};

use crate::common::{
    Frame, Seen, Server,
    frames::{
        DATA, END_STREAM, HEADERS, PADDED, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame, get, headers, request,
        settings, window_update,
    },
    server::body,
};

fn data(frames: &[Frame]) -> Vec<(u32, usize, bool)> {
    let data = frames.iter().filter(|frame| frame.kind == DATA);
    data.map(|frame| (frame.stream, frame.payload.len(), frame.has(END_STREAM))).collect()
}

fn updates(frames: &[Frame]) -> Vec<(u32, u32)> {
    let updates = frames.iter().filter(|frame| frame.kind == WINDOW_UPDATE);
    updates.map(|frame| (frame.stream, frame.number())).collect()
}

#[test]
fn data_is_sent_as_far_as_both_windows_go() {
    let mut server = Server::greeted(Limits::default(), &[(4, 30_000)]);
    let sent = server.answer(&get(1, "/bytes/100000"));
    assert_eq!(data(&sent), [(1, 16_384, false), (1, 13_616, false)], "the stream's window");
    assert_eq!(data(&server.answer(&window_update(1, 100))), [(1, 100, false)]);
    let sent = server.answer(&window_update(1, 100_000));
    assert_eq!(
        data(&sent),
        [(1, 16_384, false), (1, 16_384, false), (1, 2667, false)],
        "the connection's window"
    );
    assert_eq!(data(&server.answer(&get(3, "/bytes/10"))), [], "no window is left");
    let sent = server.answer(&window_update(0, 34_475));
    let total: usize = data(&sent).iter().map(|(_, len, _)| len).sum();
    assert_eq!(total, 34_475);
    assert!(data(&sent).contains(&(3, 10, true)) && data(&sent).last().unwrap().2);
}

#[test]
fn an_end_needs_no_window() {
    let mut server = Server::greeted(Limits::default(), &[(4, 0)]);
    let sent = server.answer(&get(1, "/bytes/0"));
    assert!(sent[0].kind == HEADERS && sent[0].has(END_STREAM));
    let sent = server.answer(&get(3, "/"));
    assert_eq!(
        (sent.len(), sent[0].kind, sent[0].has(END_STREAM)),
        (1, HEADERS, false),
        "an image has a body"
    );
}

#[test]
fn a_setting_moves_the_windows_of_all_streams() {
    let mut server = Server::greeted(Limits::default(), &[(4, 100)]);
    let sent = server.answer(&[get(1, "/bytes/1000"), get(3, "/bytes/1000")].concat());
    assert_eq!(data(&sent), [(1, 100, false), (3, 100, false)]);
    let change = |bytes: u32| frame(SETTINGS, 0, 0, settings(&[(4, bytes)]));
    assert_eq!(data(&server.answer(&change(50))), [], "they have sent 50 bytes too many");
    assert_eq!(data(&server.answer(&window_update(1, 50))), []);
    assert_eq!(data(&server.answer(&window_update(1, 7))), [(1, 7, false)]);
    assert_eq!(data(&server.answer(&change(150))), [(1, 100, false), (3, 50, false)]);
    let too_far = [window_update(1, 0x7fff_ffff - 10), change(1_000_000)].concat();
    server.feed(&too_far);
    let Some(Seen::Over(Some(fault))) = server.seen.last() else { panic!("{:?}", server.seen) };
    assert_eq!(fault.code, ErrorCode::FlowControlError);
}

#[test]
fn a_peer_that_sends_beyond_a_window_is_stopped() {
    let limits = Limits { stream_window_bytes: 65_535, connection_window_bytes: 65_535, ..Limits::default() };
    let mut server = Server::greeted(Limits { connection_window_bytes: 200_000, ..limits.clone() }, &[]);
    server.feed(&headers(1, &request("POST", "/hold"), false));
    let full = frame(DATA, 0, 1, [0; 16_384]).repeat(3);
    assert_eq!(server.answer(&[full.clone(), frame(DATA, 0, 1, [0; 16_383])].concat()), []);
    let sent = server.answer(&frame(DATA, 0, 1, [0; 1]));
    assert_eq!((sent[0].kind, sent[0].code()), (RST_STREAM, ErrorCode::FlowControlError.to_u32()));
    let mut server = Server::greeted(limits, &[]);
    server.feed(
        &[headers(1, &request("POST", "/hold"), false), headers(3, &request("POST", "/hold"), false)]
            .concat(),
    );
    server.feed(&[full, frame(DATA, 0, 3, [0; 16_384])].concat());
    let Some(Seen::Over(Some(fault))) = server.seen.last() else { panic!("{:?}", server.seen) };
    assert_eq!(fault.code, ErrorCode::FlowControlError);
}

#[test]
fn credit_is_returned_by_halves_of_a_window_once_the_bytes_are_used() {
    let limits =
        Limits { stream_window_bytes: 65_536, connection_window_bytes: 131_072, ..Limits::default() };
    let mut server = Server::greeted(limits, &[]);
    server.feed(&headers(1, &request("POST", "/hold"), false));
    let chunk = frame(DATA, 0, 1, [0; 16_000]);
    assert_eq!(updates(&server.answer(&chunk.repeat(4))), [], "they are held");
    let key = server.key(1);
    let mut out = Vec::new();
    server.connection.release(key, 32_767, &mut out);
    assert!(out.is_empty());
    server.connection.release(key, 1, &mut out);
    assert_eq!(out, window_update(1, 32_768));
    server.connection.release(key, 31_232, &mut out);
    assert_eq!(out, window_update(1, 32_768), "neither half is full again");
    server.connection.release(key, 1_000_000, &mut out);
    assert_eq!(out, window_update(1, 32_768), "nothing is left to release");
}

#[test]
fn what_a_closed_stream_held_is_returned_to_the_connection() {
    let limits = Limits { connection_window_bytes: 65_535, ..Limits::default() };
    let mut server = Server::greeted(limits, &[]);
    for (id, end) in [(1, 8), (3, 5)] {
        server.feed(&headers(id, &request("POST", "/hold"), false));
        let sent = server.answer(&frame(DATA, 0, id, [0; 16_384]).repeat(3));
        assert_eq!(updates(&sent), []);
        let sent = server.answer(&frame(RST_STREAM, 0, id, [0, 0, 0, end]));
        assert_eq!(updates(&sent), [(0, 49_152)]);
    }
    // Data that no stream wants is returned at once.
    let sent = server.answer(&frame(DATA, 0, 1, [0; 16_384]).repeat(2));
    assert_eq!(updates(&sent), [(0, 32_768)]);
}

#[test]
fn what_is_held_stops_no_other_stream() {
    let limits =
        Limits { stream_window_bytes: 65_536, connection_window_bytes: 131_072, ..Limits::default() };
    let mut server = Server::greeted(limits, &[]);
    let chunk = |id| frame(DATA, 0, id, [0; 16_000]);
    for id in [1, 3] {
        server.feed(&headers(id, &request("POST", "/hold"), false));
        assert_eq!(updates(&server.answer(&chunk(id).repeat(4))), []);
    }
    // 3,072 bytes of the connection's window are left.
    let (held, other) = (server.key(1), server.key(3));
    let mut out = Vec::new();
    server.connection.release(other, 3_072, &mut out);
    assert!(out.is_empty());
    server.connection.release(other, 1, &mut out);
    assert_eq!(out, window_update(0, 3_073), "more than what is left is announced");
    out.clear();
    server.connection.release_to_others(held, &mut out);
    assert_eq!(out, window_update(0, 64_000), "the stream itself gets no credit");
    out.clear();
    server.connection.release_to_others(held, &mut out);
    server.connection.release(held, 40_000, &mut out);
    assert_eq!(out, window_update(1, 40_000), "the connection has its credit already");
}

#[test]
fn a_stream_that_ends_while_it_holds_bytes_releases_them_between_frames() {
    let mut server = Server::greeted(Limits { connection_window_bytes: 65_535, ..Limits::default() }, &[]);
    server.feed(&headers(1, &request("POST", "/hold"), false));
    server.feed(&[frame(DATA, 0, 1, [0; 16_384]).repeat(2), frame(DATA, END_STREAM, 1, [0; 9])].concat());
    let mut out = Vec::new();
    server.connection.data_out(server.key(1), 3, End::Stream, &mut out);
    out.extend_from_slice(b"abc");
    assert_eq!(out, [window_update(0, 32_777), frame(DATA, END_STREAM, 1, b"abc")].concat());
}

#[test]
fn padding_is_returned_at_once() {
    let limits = Limits { stream_window_bytes: 65_535, connection_window_bytes: 65_535, ..Limits::default() };
    let mut server = Server::greeted(limits, &[]);
    server.feed(&headers(1, &request("POST", "/hold"), false));
    let padded = frame(DATA, PADDED, 1, [&[255][..], b"abc", &[0; 255]].concat());
    let sent = server.answer(&padded.repeat(130));
    assert_eq!(updates(&sent), [(1, 32_768), (0, 32_768)]);
}

#[test]
fn a_stream_that_ends_before_its_request_leaves_the_connection_in_order() {
    let mut server = Server::greeted(Limits::default(), &[]);
    let sent = server.answer(&headers(1, &request("POST", "/early"), false));
    assert_eq!(data(&sent), [(1, 5, true)]);
    let more = [frame(DATA, 0, 1, b"abc"), frame(DATA, END_STREAM, 1, b"de")].concat();
    assert_eq!(server.answer(&more), []);
    assert_eq!(server.seen.pop(), Some(Seen::Data { id: 1, bytes: b"abcde".to_vec(), ends: true }));
    assert_eq!(server.connection.open_streams(), 0);
}

#[test]
fn an_echo_is_what_was_sent() {
    let mut server = Server::greeted(Limits::default(), &[]);
    let text: Vec<u8> = (0..60_000_u32).map(|n| n as u8).collect();
    let chunks = text.chunks(9_000).flat_map(|chunk| frame(DATA, 0, 1, chunk)).collect::<Vec<u8>>();
    let sent = server.answer(
        &[headers(1, &request("POST", "/echo"), false), chunks, frame(DATA, END_STREAM, 1, [])].concat(),
    );
    assert_eq!(body(&sent, 1), text);
    assert!(data(&sent).last().unwrap().2);
}

#[test]
fn windows_that_were_lowered_hold_once_the_peer_knows() {
    let limits = Limits { stream_window_bytes: 10, ..Limits::default() };
    let mut server = Server::with(limits.clone());
    server.feed(&crate::common::frames::preface(&[]));
    server.feed(&headers(1, &request("POST", "/hold"), false));
    assert_eq!(data(&server.answer(&frame(DATA, 0, 1, [0; 1000]))), []);
    assert!(matches!(server.seen.last(), Some(Seen::Data { .. })), "the default, until it is acknowledged");
    let mut server = Server::greeted(limits, &[]);
    server.feed(&headers(1, &request("POST", "/hold"), false));
    let sent = server.answer(&frame(DATA, 0, 1, [0; 11]));
    assert_eq!(sent[0].code(), ErrorCode::FlowControlError.to_u32());
}
