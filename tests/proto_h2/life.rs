//! Life of a connection: greeting, streams, GOAWAY.

use windlass::proto::h2::{
    Connection, ConnectionState, Context, ErrorCode, Event, Head, Limits, PeerSettings,
};

use crate::common::{
    Frame, Seen, Server,
    frames::{
        ACK, DATA, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, SETTINGS, WINDOW_UPDATE, frame, get, headers,
        preface, read_frames, request, reset, settings,
    },
    server::status,
};

const LAST: u32 = 0x7fff_ffff;

fn kinds(frames: &[Frame]) -> Vec<u8> {
    frames.iter().map(|frame| frame.kind).collect()
}

#[test]
fn the_server_says_what_it_allows_before_anything_comes() {
    let mut server = Server::with(Limits { connect_protocol: true, ..Limits::default() });
    let sent = server.frames();
    assert_eq!(kinds(&sent), [SETTINGS, WINDOW_UPDATE]);
    assert_eq!(sent[0].payload, settings(&[(3, 100), (4, 65_536), (6, 32_768), (8, 1), (9, 1)]));
    assert_eq!((sent[1].stream, sent[1].number()), (0, 1024 * 1024 - 65_535));
    let limits = Limits {
        header_table_bytes: 100,
        stream_window_bytes: 65_535,
        connection_window_bytes: 65_535,
        ..Limits::default()
    };
    let sent = Server::with(limits).frames();
    assert_eq!(kinds(&sent), [SETTINGS], "defaults are not said");
    assert_eq!(sent[0].payload, settings(&[(1, 100), (3, 100), (6, 32_768), (9, 1)]));
}

#[test]
fn a_client_need_not_wait_for_the_server() {
    let mut server = Server::new();
    assert!(server.connection.is_greeting());
    let sent = server.answer(&[preface(&[]), get(1, "/"), frame(PING, 0, 0, *b"12345678")].concat());
    assert_eq!(kinds(&sent), [SETTINGS, WINDOW_UPDATE, SETTINGS, HEADERS, DATA, PING]);
    assert_eq!((sent[2].flags, sent[5].flags, sent[5].payload.as_slice()), (ACK, ACK, &b"12345678"[..]));
    assert_eq!(
        (status(&sent[3]), sent[4].payload.as_slice(), sent[4].flags),
        (200, &b"root"[..], END_STREAM)
    );
    assert!(!server.connection.is_greeting());
}

#[test]
fn a_part_of_a_frame_is_waited_for() {
    let mut server = Server::greeted(Limits::default(), &[]);
    let bytes = [get(1, "/"), get(3, "/")].concat();
    for (index, byte) in bytes.iter().enumerate() {
        server.feed(&[*byte]);
        let between = index + 1 == bytes.len() || index + 1 == bytes.len() / 2;
        assert_eq!(server.connection.is_mid_frame(), !between, "{index}");
    }
    let requests = server.seen.iter().filter(|seen| matches!(seen, Seen::Request { .. }));
    assert_eq!(requests.count(), 2);
}

#[test]
fn a_connection_that_leaves_serves_what_is_on_its_way() {
    let mut server = Server::greeted(Limits::default(), &[]);
    server.feed(&get(1, "/slow/10"));
    let mut out = Vec::new();
    server.connection.leave(&mut out);
    let told = read_frames(&out);
    assert_eq!(kinds(&told), [GOAWAY, PING]);
    assert_eq!((told[0].number(), told[0].code()), (LAST, 0));
    let sent = server.answer(&get(3, "/"));
    assert_eq!(kinds(&sent), [HEADERS, DATA], "the peer could not know");
    let sent = server.answer(&frame(PING, ACK, 0, &told[1].payload));
    assert_eq!((kinds(&sent), sent[0].number(), sent[0].code()), (vec![GOAWAY], 3, 0));
    assert_eq!(server.answer(&[get(5, "/"), headers(7, &request("POST", "/echo"), false)].concat()), []);
    assert_eq!(
        server.answer(&frame(DATA, END_STREAM, 7, b"late")),
        [],
        "it is beyond the last that is served"
    );
    server.let_go(1);
    assert_eq!(server.seen.last(), Some(&Seen::Over(None)));
    assert_eq!(server.connection.state(), ConnectionState::Closed);
    assert_eq!(server.answer(&get(9, "/")), []);
}

#[test]
fn a_peer_that_leaves_gets_what_it_asked_for() {
    let mut server = Server::greeted(Limits::default(), &[]);
    server.feed(&get(1, "/slow/10"));
    assert_eq!(server.answer(&frame(GOAWAY, 0, 0, [0; 8])), []);
    assert!(!matches!(server.seen.last(), Some(Seen::Over(_))));
    server.let_go(1);
    assert_eq!(server.seen.last(), Some(&Seen::Over(None)));
    let mut idle = Server::greeted(Limits::default(), &[]);
    idle.feed(&frame(GOAWAY, 0, 0, [0; 8]));
    assert_eq!(idle.seen, [Seen::Over(None)]);
}

#[test]
fn a_connection_that_quits_names_the_last_stream_it_saw() {
    let mut server = Server::greeted(Limits::default(), &[]);
    server.feed(&get(5, "/hold"));
    let mut out = Vec::new();
    server.connection.quit(ErrorCode::EnhanceYourCalm, "enough", &mut out);
    server.connection.quit(ErrorCode::EnhanceYourCalm, "enough", &mut out);
    let told = read_frames(&out);
    assert_eq!((told.len(), told[0].number(), told[0].code()), (1, 5, 11));
    assert_eq!(&told[0].payload[8..], b"enough");
    assert_eq!(server.answer(&get(7, "/")), []);
}

#[test]
fn a_reset_is_told_and_frees_the_stream() {
    let mut server = Server::greeted(Limits::default(), &[]);
    server.feed(&[get(1, "/hold"), reset(1, 8)].concat());
    let by = windlass::proto::h2::ResetBy::Peer(ErrorCode::Cancel);
    assert_eq!(server.seen.last(), Some(&Seen::Reset { id: 1, by }));
    assert_eq!(server.connection.open_streams(), 0);
}

#[test]
fn frames_of_no_known_type_and_flags_of_no_meaning_are_ignored() {
    let mut server = Server::greeted(Limits::default(), &[]);
    let odd = [
        frame(0x42, 0xff, 0, [1; 100]),
        frame(0x99, 0, 5, []),
        frame(PING, 0xfe, 0, [3; 8]),
        frame(SETTINGS, 0xfe, 0, settings(&[(0x1234, 7), (3, 1)])),
    ];
    let sent = server.answer(&odd.concat());
    assert_eq!(kinds(&sent), [PING, SETTINGS]);
    let mut reserved = get(1, "/");
    reserved[5] |= 0x80;
    assert_eq!(kinds(&server.answer(&reserved)), [HEADERS, DATA]);
}

#[test]
fn an_upgraded_connection_answers_its_first_request_on_stream_1() {
    let limits = Limits::default();
    let (now, mut out, mut head) = (std::time::Instant::now(), Vec::new(), Head::default());
    let mut peer = PeerSettings::default();
    peer.apply(&settings(&[(4, 10)])).unwrap();
    let (mut connection, stream) = Connection::upgraded(&limits, now, peer, &mut out);
    assert_eq!((stream.id(), connection.room(stream), connection.may_receive(stream)), (1, 10, false));
    let mut next = |connection: &mut Connection, bytes: &[u8]| {
        let mut cx = Context { limits: &limits, now, head: &mut head, out: &mut out };
        let mut input = bytes;
        let seen = match connection.next(&mut input, &mut cx) {
            Some(Event::Request { stream, .. }) => Some(stream.id()),
            Some(other) => panic!("{other:?}"),
            None => None,
        };
        assert!(input.is_empty());
        seen
    };
    assert_eq!(next(&mut connection, PREFACE), None);
    assert_eq!(next(&mut connection, &frame(SETTINGS, 0, 0, settings(&[(4, 20)]))), None);
    assert_eq!(connection.room(stream), 20, "settings of the preface move its window too");
    assert_eq!(next(&mut connection, &get(3, "/")), Some(3));
}

#[test]
fn ten_thousand_streams_leave_nothing_behind() {
    leave_nothing_behind(10_000);
}

#[test]
#[ignore = "takes minutes: the long form of the test of ten thousand streams"]
fn ten_million_streams_leave_nothing_behind() {
    leave_nothing_behind(10_000_000);
}

fn leave_nothing_behind(streams: u32) {
    let mut server = Server::greeted(Limits::default(), &[]);
    let mut held = 0;
    // Two streams each.
    for id in (1..2 * streams).step_by(4) {
        let body =
            [headers(id + 2, &request("POST", "/echo"), false), frame(DATA, END_STREAM, id + 2, b"abc")];
        server.feed(&[get(id, "/"), body.concat()].concat());
        assert_eq!(server.connection.open_streams(), 0);
        server.forget();
        match id {
            ..1001 => held = server.connection.held_bytes(),
            _ => assert_eq!(server.connection.held_bytes(), held),
        }
        if id % 100 == 1 {
            server.feed(&frame(WINDOW_UPDATE, 0, 0, 350_u32.to_be_bytes()));
        }
    }
}
