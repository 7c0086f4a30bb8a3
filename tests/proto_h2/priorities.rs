//! Whose data is sent first (RFC 9218).

use windlass::proto::h2::Limits;

use crate::common::{
    Frame, Server,
    frames::{
        DATA, END_STREAM, Field, HEADERS, PRIORITY_UPDATE, frame, get, headers, request, reset, window_update,
    },
};

/// HEADERS of a request with a `priority` field.
fn get_with(stream: u32, path: &str, priority: &str) -> Vec<u8> {
    let fields: Vec<Field<'_>> = [request("GET", path), vec![("priority", priority)]].concat();
    headers(stream, &fields, true)
}

fn update(stream: u32, priority: &str) -> Vec<u8> {
    frame(PRIORITY_UPDATE, 0, 0, [&stream.to_be_bytes()[..], priority.as_bytes()].concat())
}

/// Makes a server whose peer reads nothing; data is added while fewer than `room` bytes wait.
fn server(room: usize) -> Server {
    let mut server = Server::greeted(Limits::default(), &[(4, 1_000_000)]);
    server.feed(&window_update(0, 10_000_000));
    server.sent.clear();
    server.outbox_bytes = room;
    server
}

/// The streams of the DATA frames, in order.
fn turns(frames: &[Frame]) -> Vec<u32> {
    frames.iter().filter(|frame| frame.kind == DATA).map(|frame| frame.stream).collect()
}

/// Lets the peer read again and again; returns the streams of the DATA frames, in order.
fn drained(server: &mut Server) -> Vec<u32> {
    let before = server.sent.len();
    loop {
        let len = server.sent.len();
        server.read();
        if server.sent.len() == len {
            return turns(&crate::common::frames::read_frames(&server.sent[before..]));
        }
    }
}

/// Has the peer ask for these at once, with nothing sent before all are known.
fn asked(requests: &[Vec<u8>]) -> Vec<u32> {
    let mut server = server(0);
    server.reads = false;
    server.feed(&requests.concat());
    server.outbox_bytes = server.queued() + 1;
    server.feed(&[]);
    server.outbox_bytes = 1;
    drained(&mut server)
}

#[test]
fn without_signals_streams_take_turns() {
    let requests = [get(1, "/bytes/3"), get(3, "/bytes/2"), get(5, "/bytes/3")];
    // One byte at a time, as one byte of room is what there is.
    assert_eq!(asked(&requests), [1, 3, 5, 1, 3, 5, 1, 5]);
}

#[test]
fn urgent_streams_are_sent_first() {
    let requests = [
        get_with(1, "/bytes/2", "u=5"),
        get(3, "/bytes/2"),
        get_with(5, "/bytes/2", "u=0"),
        get_with(7, "/bytes/1", "u=7"),
    ];
    assert_eq!(asked(&requests), [5, 5, 3, 3, 1, 1, 7]);
}

#[test]
fn what_is_of_use_as_a_whole_goes_one_after_the_other_and_parts_take_turns() {
    let whole =
        [get_with(1, "/bytes/2", ""), get_with(3, "/bytes/2", "u=3"), get_with(5, "/bytes/2", "i=?0")];
    assert_eq!(asked(&whole), [1, 1, 3, 3, 5, 5]);
    let parts = [get_with(1, "/bytes/2", "i"), get_with(3, "/bytes/2", "u=3, i"), get(5, "/bytes/2")];
    assert_eq!(asked(&parts), [1, 3, 5, 1, 3, 5]);
    let both = [get_with(1, "/bytes/4", "u=3"), get_with(3, "/bytes/4", "i")];
    assert_eq!(asked(&both), [1, 3, 1, 3, 1, 3, 1, 3], "neither starves the other");
}

#[test]
fn an_update_counts_before_its_stream_begins_and_after() {
    let before = [update(3, "u=0"), get(1, "/bytes/2"), get_with(3, "/bytes/2", "u=7")];
    assert_eq!(asked(&before), [3, 3, 1, 1], "it wins over the field");
    let after = [get(1, "/bytes/2"), get(3, "/bytes/2"), update(3, "u=0"), update(5, "u=0")];
    assert_eq!(asked(&after), [3, 3, 1, 1]);
    let passed_over = [update(1, "u=0"), get(3, "/bytes/2"), get(5, "/bytes/2")];
    assert_eq!(asked(&passed_over), [3, 5, 3, 5]);
}

#[test]
fn priorities_of_streams_that_never_begin_are_few() {
    let mut server = server(usize::MAX);
    let before = server.connection.held_bytes();
    (0..1000).for_each(|n| server.feed(&update(2 * n + 1, "u=1")));
    assert!(server.connection.held_bytes() < before + 1000);
}

#[test]
fn a_stream_that_is_blocked_or_gone_does_not_hold_the_others() {
    let mut server = Server::greeted(Limits::default(), &[(4, 10)]);
    let sent = server.answer(&[get_with(1, "/bytes/100", "u=0"), get(3, "/bytes/10")].concat());
    assert_eq!(turns(&sent), [1, 3]);
    let sent = server.answer(&[get(5, "/bytes/100"), reset(1, 8), window_update(5, 5)].concat());
    assert_eq!(turns(&sent), [5, 5]);
    assert!(turns(&server.answer(&window_update(1, 100))).is_empty());
}

#[test]
fn at_most_the_given_room_is_committed_ahead_of_a_stream_that_has_become_ready() {
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
