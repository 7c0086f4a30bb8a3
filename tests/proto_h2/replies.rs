//! Heads, trailers and images as they are sent.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use windlass::proto::{
    h2::{
        End, Image, Limits,
        encode::{self, Exchange, Sent},
        hpack::encode::Strings,
    },
    semantics::Length,
};

use crate::common::{
    Server,
    frames::{CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, HEADERS, get, read_frames, window_update},
    server::{fields, status},
};

const DATE: &[u8; 29] = b"Sun, 06 Nov 1994 08:49:37 GMT";

fn map(fields: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    map
}

/// Encodes a head and returns its fields and what was decided.
fn head(
    exchange: Exchange,
    status: u16,
    length: Length,
    set: &[(&str, &str)],
) -> (Vec<(String, String)>, Sent) {
    let (mut block, status) = (Vec::new(), StatusCode::from_u16(status).unwrap());
    let sent = encode::head(&mut block, exchange, status, length, &map(set), DATE, Strings::Plain);
    let frame = Frame { kind: HEADERS, flags: END_HEADERS, stream: 1, payload: block };
    (fields(&frame), sent)
}

fn names(fields: &[(String, String)]) -> Vec<&str> {
    fields.iter().map(|(name, _)| name.as_str()).collect()
}

fn value<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

const GET: Exchange = Exchange { is_head: false, is_connect: false };
const HEAD: Exchange = Exchange { is_head: true, is_connect: false };
const CONNECT: Exchange = Exchange { is_head: false, is_connect: true };

#[test]
fn a_head_has_status_fields_length_and_date() {
    let (fields, sent) = head(GET, 200, Length::Known(13), &[("content-type", "text/plain"), ("x-own", "1")]);
    assert_eq!(names(&fields), [":status", "content-type", "x-own", "content-length", "date"]);
    assert_eq!((value(&fields, ":status"), value(&fields, "content-length")), (Some("200"), Some("13")));
    assert_eq!(value(&fields, "date").unwrap().as_bytes(), DATE);
    assert_eq!(sent, Sent { has_body: true, closes: false });
    for code in [200, 204, 206, 304, 400, 404, 500, 201, 302, 418, 503, 999] {
        assert_eq!(
            value(&head(GET, code, Length::Unknown, &[]).0, ":status"),
            Some(code.to_string().as_str())
        );
    }
}

#[test]
fn fields_that_belong_to_a_connection_are_left_out() {
    let own = [
        ("connection", "x-hop, Close"),
        ("transfer-encoding", "chunked"),
        ("keep-alive", "timeout=5"),
        ("upgrade", "h2c"),
        ("proxy-connection", "close"),
        ("te", "trailers"),
        ("date", "Mon, 07 Nov 1994 08:49:37 GMT"),
        ("date", "Tue, 08 Nov 1994 08:49:37 GMT"),
        ("content-length", "7"),
    ];
    let (fields, sent) = head(GET, 200, Length::Known(5), &own);
    assert_eq!(names(&fields), [":status", "date", "content-length"]);
    assert_eq!(value(&fields, "content-length"), Some("5"));
    assert!(value(&fields, "date").unwrap().starts_with("Mon") && sent.closes);
}

#[test]
fn lengths_follow_the_request_and_the_status() {
    let own = [("content-length", "7")];
    type Case<'a> = (Exchange, u16, Length, &'a [(&'a str, &'a str)], Option<&'a str>, bool);
    let cases: [Case<'_>; 10] = [
        (GET, 200, Length::Known(0), &[], Some("0"), true),
        (GET, 200, Length::Unknown, &own, None, true),
        (HEAD, 200, Length::Known(5), &[], Some("5"), false),
        (HEAD, 200, Length::Known(0), &own, Some("7"), false),
        (HEAD, 200, Length::Unknown, &[], None, false),
        (GET, 304, Length::Known(0), &own, Some("7"), false),
        (GET, 304, Length::Known(0), &[], None, false),
        (GET, 204, Length::Known(5), &own, None, false),
        (CONNECT, 200, Length::Known(0), &[], None, false),
        (CONNECT, 404, Length::Known(5), &[], Some("5"), true),
    ];
    for (exchange, code, length, set, expected, has_body) in cases {
        let (fields, sent) = head(exchange, code, length, set);
        let what = format!("{exchange:?} {code} {length:?}");
        assert_eq!((value(&fields, "content-length"), sent.has_body), (expected, has_body), "{what}");
    }
}

#[test]
fn trailers_are_those_that_may_be() {
    let mut block = Vec::new();
    let given = map(&[("x-sum", "1"), ("content-length", "7"), ("upgrade", "x"), ("grpc-status", "0")]);
    assert!(encode::trailers(&mut block, &given));
    let frame = Frame { kind: HEADERS, flags: END_HEADERS, stream: 1, payload: block };
    assert_eq!(names(&fields(&frame)), ["x-sum", "grpc-status"]);
    assert!(!encode::trailers(&mut Vec::new(), &map(&[("host", "x")])));
}

#[test]
fn a_block_that_is_too_long_for_a_frame_goes_on_in_others() {
    let mut server = Server::greeted(Limits::default(), &[]);
    server.feed(&get(1, "/hold"));
    let (key, mut out) = (server.key(1), Vec::new());
    let long = "x".repeat(40_000);
    server.connection.headers_out(key, End::Stream, &mut out, |out| {
        encode::head(
            out,
            GET,
            StatusCode::OK,
            Length::Unknown,
            &map(&[("x-long", &long)]),
            DATE,
            Strings::Plain,
        );
    });
    let sent = read_frames(&out);
    let shape: Vec<_> = sent.iter().map(|frame| (frame.kind, frame.flags, frame.payload.len())).collect();
    assert_eq!(shape[..2], [(HEADERS, END_STREAM, 16_384), (CONTINUATION, 0, 16_384)]);
    assert_eq!((shape.len(), shape[2].0, shape[2].1), (3, CONTINUATION, END_HEADERS));
    let whole = sent.iter().flat_map(|frame| frame.payload.clone()).collect();
    let whole = Frame { kind: HEADERS, flags: 0, stream: 1, payload: whole };
    assert_eq!(value(&fields(&whole), "x-long"), Some(long.as_str()));
    assert_eq!(server.connection.open_streams(), 0);
    assert!(!server.connection.headers_out(key, End::Stream, &mut out, |_| panic!("the stream is over")));
}

#[test]
fn a_peer_that_lowers_the_table_is_told_once_that_it_is_not_used() {
    for size in [0, 100, 4095] {
        let mut server = Server::greeted(Limits::default(), &[(1, size)]);
        let sent = server.answer(&[get(1, "/"), get(3, "/")].concat());
        let firsts: Vec<u8> =
            sent.iter().filter(|f| f.kind == HEADERS).map(|frame| frame.payload[0]).collect();
        assert_eq!(firsts, [0x20, 0x88], "an image");
        assert_eq!(status(&sent[0]), 200);
        let mut server = Server::greeted(Limits::default(), &[(1, size), (1, 4096)]);
        let sent = server.answer(&[get(1, "/bytes/1"), get(3, "/bytes/1")].concat());
        let firsts: Vec<u8> =
            sent.iter().filter(|f| f.kind == HEADERS).map(|frame| frame.payload[0]).collect();
        assert_eq!(firsts, [0x20, 0x88], "a head, and a size that came back");
    }
    let mut server = Server::greeted(Limits::default(), &[(1, 65_536)]);
    assert_eq!(server.answer(&get(1, "/"))[0].payload[0], 0x88);
}

#[test]
fn an_image_is_its_response() {
    let own = map(&[("content-type", "text/plain; charset=utf-8"), ("date", "never"), ("x-own", "a value")]);
    for (code, len, is_head) in
        [(200, 13, false), (200, 0, false), (404, 8192, false), (200, 13, true), (204, 5, false)]
    {
        let body = Bytes::from(vec![b'b'; len]);
        let image = Image::new(StatusCode::from_u16(code).unwrap(), &own, body.clone()).unwrap();
        let mut server = Server::greeted(Limits::default(), &[]);
        server.feed(&get(1, "/hold"));
        let mut out = b"before".to_vec();
        assert_eq!(server.connection.image_out(server.key(1), &image, is_head, DATE, &mut out), None);
        let sent = read_frames(&out[6..]);
        let fields = fields(&sent[0]);
        assert_eq!(value(&fields, "date").unwrap().as_bytes(), DATE);
        assert_eq!((value(&fields, "x-own"), status(&sent[0])), (Some("a value"), code));
        let length = (code != 204).then(|| len.to_string());
        assert_eq!(value(&fields, "content-length"), length.as_deref());
        let has_body = code != 204 && len > 0 && !is_head;
        assert_eq!(sent[0].has(END_STREAM), !has_body);
        assert_eq!(sent.len(), 1 + usize::from(has_body));
        if has_body {
            assert_eq!((sent[1].kind, sent[1].flags, sent[1].stream), (DATA, END_STREAM, 1));
            assert_eq!(sent[1].payload, body);
        }
        assert!(sent.iter().all(|frame| frame.stream == 1) && server.connection.open_streams() == 0);
    }
}

#[test]
fn an_image_whose_body_must_wait_gives_it_back() {
    let long = Image::new(StatusCode::OK, &HeaderMap::new(), Bytes::from(vec![b'b'; 100_000])).unwrap();
    let short = Image::new(StatusCode::OK, &HeaderMap::new(), Bytes::from_static(b"short")).unwrap();
    assert_eq!((long.body_bytes(), short.body_bytes()), (100_000, 5));
    for (image, len) in [(&long, 100_000), (&short, 5)] {
        let mut server = Server::greeted(Limits::default(), &[(4, 4)]);
        server.feed(&get(1, "/hold"));
        let mut out = Vec::new();
        let rest = server.connection.image_out(server.key(1), image, false, DATE, &mut out).unwrap();
        let sent = read_frames(&out);
        assert_eq!((sent.len(), sent[0].has(END_STREAM), rest.len()), (1, false, len));
    }
}

#[test]
fn an_image_takes_from_both_windows() {
    let mut server = Server::greeted(Limits::default(), &[]);
    for id in (1..2 * 16_383).step_by(2) {
        server.feed(&get(id, "/"));
    }
    assert_eq!(server.connection.room(server.key(1)), 0);
    let last = server.answer(&get(40_001, "/"));
    assert_eq!((last.len(), last[0].kind), (2, HEADERS), "three bytes are left");
    assert_eq!(last[1].payload.len(), 3);
    assert_eq!(server.answer(&window_update(0, 1))[0].payload.len(), 1);
}
