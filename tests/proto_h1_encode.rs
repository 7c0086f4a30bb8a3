//! HTTP/1.1 response heads: the bytes written, and framing fields that never contradict each other.
#![allow(clippy::unwrap_used, reason = "a failed test panics")]

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use windlass::proto::h1::{
    Exchange, Image, Length, Method, Reject, Sent, Version,
    encode::{self, Framing},
};

const DATE: &encode::Date = b"Sun, 06 Nov 1994 08:49:37 GMT";
const GET: Exchange = Exchange { version: Version::Http11, method: Method::Get, keep_alive: true };
const HEAD: Exchange = Exchange { method: Method::Head, ..GET };
const CONNECT: Exchange = Exchange { method: Method::Connect, ..GET };
const OLD: Exchange = Exchange { version: Version::Http10, ..GET };
const CLOSING: Exchange = Exchange { keep_alive: false, ..GET };

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    map
}

fn encoded(exchange: Exchange, status: u16, length: Length, pairs: &[(&str, &str)]) -> (String, Sent) {
    let mut out = Vec::new();
    let status = StatusCode::from_u16(status).unwrap();
    let sent = encode::head(&mut out, exchange, status, length, &headers(pairs), DATE);
    (String::from_utf8(out).unwrap(), sent)
}

#[track_caller]
fn writes(exchange: Exchange, status: u16, length: Length, pairs: &[(&str, &str)], lines: &[&str]) {
    let (text, _) = encoded(exchange, status, length, pairs);
    assert_eq!(text, format!("{}\r\n\r\n", lines.join("\r\n")));
}

const DATE_LINE: &str = "date: Sun, 06 Nov 1994 08:49:37 GMT";

#[test]
fn a_known_length_is_declared() {
    let lines = ["HTTP/1.1 200 OK", "content-type: text/plain", "content-length: 13", DATE_LINE];
    writes(GET, 200, Length::Known(13), &[("content-type", "text/plain")], &lines);
    writes(GET, 404, Length::Known(0), &[], &["HTTP/1.1 404 Not Found", "content-length: 0", DATE_LINE]);
    let most = format!("content-length: {}", u64::MAX);
    writes(GET, 200, Length::Known(u64::MAX), &[], &["HTTP/1.1 200 OK", &most, DATE_LINE]);
}

#[test]
fn a_status_without_a_reason_keeps_its_space() {
    writes(GET, 599, Length::Known(0), &[], &["HTTP/1.1 599 ", "content-length: 0", DATE_LINE]);
}

#[test]
fn an_unknown_length_is_chunked_for_1_1_and_ends_the_connection_for_1_0() {
    writes(GET, 200, Length::Unknown, &[], &["HTTP/1.1 200 OK", "transfer-encoding: chunked", DATE_LINE]);
    writes(OLD, 200, Length::Unknown, &[], &["HTTP/1.1 200 OK", "connection: close", DATE_LINE]);
    let (_, sent) = encoded(OLD, 200, Length::Unknown, &[]);
    assert_eq!(sent, Sent { framing: Framing::Close, keep_alive: false });
    let (_, sent) = encoded(GET, 200, Length::Unknown, &[]);
    assert_eq!(sent, Sent { framing: Framing::Chunked, keep_alive: true });
}

#[test]
fn the_connection_field_is_written_where_the_version_does_not_imply_it() {
    writes(
        CLOSING,
        200,
        Length::Known(1),
        &[],
        &["HTTP/1.1 200 OK", "content-length: 1", "connection: close", DATE_LINE],
    );
    let lines = ["HTTP/1.1 200 OK", "content-length: 1", "connection: keep-alive", DATE_LINE];
    writes(OLD, 200, Length::Known(1), &[], &lines);
}

#[test]
fn responses_that_may_not_have_a_body_declare_none() {
    for status in [100, 103, 204] {
        for length in [Length::Known(0), Length::Known(5), Length::Unknown] {
            let (text, sent) =
                encoded(GET, status, length, &[("content-length", "5"), ("transfer-encoding", "chunked")]);
            assert!(!text.contains("content-length") && !text.contains("transfer-encoding"), "{text}");
            assert_eq!(sent, Sent { framing: Framing::None, keep_alive: true });
        }
    }
    let (text, sent) = encoded(CONNECT, 200, Length::Known(5), &[("content-length", "5")]);
    assert!(!text.contains("content-length") && sent.framing == Framing::None, "{text}");
    let (text, sent) = encoded(CONNECT, 403, Length::Known(5), &[]);
    assert!(text.contains("content-length: 5") && sent.framing == Framing::Length(5), "{text}");
}

#[test]
fn head_and_304_declare_the_length_that_get_would_have() {
    writes(HEAD, 200, Length::Known(5), &[], &["HTTP/1.1 200 OK", "content-length: 5", DATE_LINE]);
    let own = [("content-length", "77")];
    writes(HEAD, 200, Length::Known(0), &own, &["HTTP/1.1 200 OK", "content-length: 77", DATE_LINE]);
    writes(HEAD, 200, Length::Unknown, &[], &["HTTP/1.1 200 OK", DATE_LINE]);
    writes(GET, 304, Length::Known(0), &[], &["HTTP/1.1 304 Not Modified", DATE_LINE]);
    writes(GET, 304, Length::Known(0), &own, &["HTTP/1.1 304 Not Modified", "content-length: 77", DATE_LINE]);
    writes(HEAD, 200, Length::Unknown, &[("content-length", "7x")], &["HTTP/1.1 200 OK", DATE_LINE]);
    let old_head = Exchange { version: Version::Http10, ..HEAD };
    assert!(
        encoded(old_head, 200, Length::Unknown, &[]).1.keep_alive,
        "a response without a body needs no close to end it"
    );
}

#[test]
fn framing_fields_of_a_handler_are_replaced() {
    let own = [("content-length", "99"), ("content-length", "98"), ("transfer-encoding", "chunked")];
    writes(GET, 200, Length::Known(5), &own, &["HTTP/1.1 200 OK", "content-length: 5", DATE_LINE]);
    writes(GET, 200, Length::Unknown, &own, &["HTTP/1.1 200 OK", "transfer-encoding: chunked", DATE_LINE]);
}

#[test]
fn a_handler_may_close_the_connection_but_not_keep_it() {
    let lines = ["HTTP/1.1 200 OK", "content-length: 1", "connection: close", DATE_LINE];
    writes(GET, 200, Length::Known(1), &[("connection", "x, Close")], &lines);
    assert!(!encoded(GET, 200, Length::Known(1), &[("connection", "close")]).1.keep_alive);
    writes(CLOSING, 200, Length::Known(1), &[("connection", "keep-alive")], &lines);
    writes(
        GET,
        200,
        Length::Known(1),
        &[("connection", "foo")],
        &["HTTP/1.1 200 OK", "content-length: 1", DATE_LINE],
    );
}

#[test]
fn a_101_response_keeps_the_handlers_connection_field() {
    let own = [("connection", "upgrade"), ("upgrade", "websocket")];
    let lines = ["HTTP/1.1 101 Switching Protocols", "connection: upgrade", "upgrade: websocket", DATE_LINE];
    writes(GET, 101, Length::Known(0), &own, &lines);
}

#[test]
fn the_first_date_of_a_handler_replaces_the_servers() {
    let own = [("date", "then"), ("date", "later")];
    writes(GET, 200, Length::Known(1), &own, &["HTTP/1.1 200 OK", "date: then", "content-length: 1"]);
}

#[test]
fn chunk_sizes_are_hexadecimal_without_leading_zeros() {
    for (size, line) in
        [(1, "1"), (15, "f"), (16, "10"), (255, "ff"), (4096, "1000"), (u64::MAX, "ffffffffffffffff")]
    {
        let mut out = Vec::new();
        encode::chunk_head(&mut out, size);
        assert_eq!(out, format!("{line}\r\n").into_bytes());
    }
}

#[test]
fn forbidden_trailers_are_not_written() {
    let mut out = Vec::new();
    encode::last_chunk(&mut out, &headers(&[("x-sum", "1"), ("content-length", "3"), ("set-cookie", "a")]));
    assert_eq!(out, b"0\r\nx-sum: 1\r\n\r\n");
}

#[test]
fn a_rejection_names_its_cause_and_closes() {
    let mut out = Vec::new();
    encode::reject(&mut out, Reject::HostMissing, DATE);
    let text = String::from_utf8(out).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{head}");
    assert!(head.contains("\r\nconnection: close\r\n"), "{head}");
    assert!(head.contains(&format!("\r\ncontent-length: {}\r\n", body.len())), "{head}");
    assert_eq!(body, "the Host header field is missing\n");
}

fn image_reply(image: &Image, exchange: Exchange) -> (String, Option<Bytes>) {
    let mut out = b"before".to_vec();
    let shared = image.write(&mut out, exchange, DATE);
    (String::from_utf8(out).unwrap().split_off(6), shared)
}

#[test]
fn an_image_writes_the_same_bytes_as_the_encoder() {
    let map = headers(&[("content-type", "text/plain"), ("date", "never")]);
    let image = Image::new(StatusCode::OK, &map, Bytes::from_static(b"hello"));
    for exchange in [GET, OLD, CLOSING, Exchange { keep_alive: false, ..OLD }] {
        let (head, sent) = encoded(exchange, 200, Length::Known(5), &[("content-type", "text/plain")]);
        assert_eq!(image_reply(&image, exchange), (format!("{head}hello"), None));
        let as_head = Exchange { method: Method::Head, ..exchange };
        assert_eq!(image_reply(&image, as_head), (head, None));
        assert_eq!(image.keep_alive(exchange), sent.keep_alive);
    }
}

#[test]
fn a_large_body_of_an_image_is_shared_not_copied() {
    let body = Bytes::from(vec![b'x'; 100_000]);
    let image = Image::new(StatusCode::OK, &HeaderMap::new(), body.clone());
    let (head, _) = encoded(GET, 200, Length::Known(100_000), &[]);
    let (wire, shared) = image_reply(&image, GET);
    assert_eq!((wire, shared.as_ref().map(|bytes| bytes.as_ptr())), (head.clone(), Some(body.as_ptr())));
    assert_eq!(image_reply(&image, HEAD), (head, None));
}

#[test]
fn an_image_may_have_no_body_and_may_close() {
    let long = Bytes::from(vec![b'x'; 100_000]);
    let empty = Image::new(StatusCode::NO_CONTENT, &HeaderMap::new(), long);
    assert_eq!(image_reply(&empty, GET), (encoded(GET, 204, Length::Known(0), &[]).0, None));
    let closing =
        Image::new(StatusCode::OK, &headers(&[(header::CONNECTION.as_str(), "close")]), Bytes::new());
    assert!(!closing.keep_alive(GET));
    assert_eq!(image_reply(&closing, GET).0, encoded(CLOSING, 200, Length::Known(0), &[]).0);
}
