//! Order in which data of several streams is sent (RFC 9218).

use windlass::proto::h2::Limits;

use crate::common::{
    Frame, Server,
    frames::{
        DATA, END_STREAM, Field, HEADERS, PRIORITY_UPDATE, frame, get, headers, request, reset, window_update,
    },
};

/// Returns a HEADERS frame of a request with a `priority` field.
fn get_with(stream: u32, path: &str, priority: &str) -> Vec<u8> {
    let fields: Vec<Field<'_>> = [request("GET", path), vec![("priority", priority)]].concat();
    headers(stream, &fields, true)
}

fn update(stream: u32, priority: &str) -> Vec<u8> {
    frame(PRIORITY_UPDATE, 0, 0, [&stream.to_be_bytes()[..], priority.as_bytes()].concat())
}

/// Returns a server whose peer reads nothing. Data is added while the outbox holds fewer than `room` bytes.
fn server(room: usize) -> Server {
    let mut server = Server::connected(Limits::default(), &[(4, 1_000_000)]);
    server.feed(&window_update(0, 10_000_000));
    server.sent.clear();
    server.outbox_bytes = room;
    server
}

/// Returns the streams of the DATA frames in order.
fn data_streams(frames: &[Frame]) -> Vec<u32> {
    frames.iter().filter(|frame| frame.kind == DATA).map(|frame| frame.stream).collect()
}

/// Reads until nothing is left, and returns the streams of the DATA frames in order.
fn drained(server: &mut Server) -> Vec<u32> {
    let before = server.sent.len();
    loop {
        let len = server.sent.len();
        server.read();
        if server.sent.len() == len {
            return data_streams(&crate::common::frames::read_frames(&server.sent[before..]));
        }
    }
}

/// Feeds all requests before any data is sent, and returns the streams of the DATA frames in order.
fn data_order(requests: &[Vec<u8>]) -> Vec<u32> {
    let mut server = server(0);
    server.reads = false;
    server.feed(&requests.concat());
    server.outbox_bytes = server.queued() + 1;
    server.feed(&[]);
    server.outbox_bytes = 1;
    drained(&mut server)
}

#[test]
fn streams_of_equal_priority_alternate() {
    let requests = [get(1, "/bytes/3"), get(3, "/bytes/2"), get(5, "/bytes/3")];
    // The outbox has room for one byte, so each frame holds one byte.
    assert_eq!(data_order(&requests), [1, 3, 5, 1, 3, 5, 1, 5]);
}

#[test]
fn urgent_streams_are_sent_first() {
    let requests = [
        get_with(1, "/bytes/2", "u=5"),
        get(3, "/bytes/2"),
        get_with(5, "/bytes/2", "u=0"),
        get_with(7, "/bytes/1", "u=7"),
    ];
    assert_eq!(data_order(&requests), [5, 5, 3, 3, 1, 1, 7]);
}

#[test]
fn incremental_streams_alternate_and_others_are_sent_one_by_one() {
    let whole =
        [get_with(1, "/bytes/2", ""), get_with(3, "/bytes/2", "u=3"), get_with(5, "/bytes/2", "i=?0")];
    assert_eq!(data_order(&whole), [1, 1, 3, 3, 5, 5]);
    let parts = [get_with(1, "/bytes/2", "i"), get_with(3, "/bytes/2", "u=3, i"), get(5, "/bytes/2")];
    assert_eq!(data_order(&parts), [1, 3, 5, 1, 3, 5]);
    let both = [get_with(1, "/bytes/4", "u=3"), get_with(3, "/bytes/4", "i")];
    assert_eq!(data_order(&both), [1, 3, 1, 3, 1, 3, 1, 3], "both kinds should progress");
}

#[test]
fn a_priority_update_applies_before_and_after_its_request() {
    let before = [update(3, "u=0"), get(1, "/bytes/2"), get_with(3, "/bytes/2", "u=7")];
    assert_eq!(data_order(&before), [3, 3, 1, 1], "the update should override the field");
    let after = [get(1, "/bytes/2"), get(3, "/bytes/2"), update(3, "u=0"), update(5, "u=0")];
    assert_eq!(data_order(&after), [3, 3, 1, 1]);
    let skipped = [update(1, "u=0"), get(3, "/bytes/2"), get(5, "/bytes/2")];
    assert_eq!(data_order(&skipped), [3, 5, 3, 5]);
}

#[test]
fn priorities_of_streams_without_a_request_are_bounded() {
    let mut server = server(usize::MAX);
    let before = server.connection.held_bytes();
    (0..1000).for_each(|n| server.feed(&update(2 * n + 1, "u=1")));
    assert!(server.connection.held_bytes() < before + 1000);
}

#[test]
fn blocked_and_reset_streams_do_not_delay_others() {
    let mut server = Server::connected(Limits::default(), &[(4, 10)]);
    let sent = server.answer(&[get_with(1, "/bytes/100", "u=0"), get(3, "/bytes/10")].concat());
    assert_eq!(data_streams(&sent), [1, 3]);
    let sent = server.answer(&[get(5, "/bytes/100"), reset(1, 8), window_update(5, 5)].concat());
    assert_eq!(data_streams(&sent), [5, 5]);
    assert!(data_streams(&server.answer(&window_update(1, 100))).is_empty());
}

#[test]
fn a_new_stream_waits_for_at_most_the_bytes_in_the_outbox() {
    const ROOM: usize = 128 * 1024;
    let mut server = server(ROOM);
    server.reads = false;
    server.feed(&get(1, "/bytes/900000"));
    assert!((ROOM - 64..ROOM + 16_384 + 64).contains(&server.queued()), "{}", server.queued());
    server.feed(&get(3, "/bytes/100"));
    server.read();
    let frames = crate::common::frames::read_frames(&server.sent);
    let short = frames.iter().position(|frame| frame.kind == DATA && frame.stream == 3).unwrap();
    let ahead: usize = frames[..short].iter().map(|frame| frame.payload.len() + 9).sum();
    assert!(ahead <= ROOM + 1024, "{ahead}");
    assert!(frames[short].has(END_STREAM) && frames.iter().any(|frame| frame.kind == HEADERS));
}
