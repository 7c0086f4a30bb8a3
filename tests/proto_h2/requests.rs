//! Messages (RFC 9113 §8): which are served, which are answered with a refusal, which are reset.

use proptest::prelude::*;
use windlass::proto::{h1, h2::Limits, semantics::Reject};

use crate::common::{
    Seen, Server,
    frames::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, Field, HEADERS, PADDED, WITH_PRIORITY, block, frame,
        get, headers, raw_block, request,
    },
};

fn greeted() -> Server {
    Server::greeted(Limits { connect_protocol: true, ..Limits::default() }, &[])
}

/// Sends one request and returns what came of it.
fn sent(fields: &[Field<'_>]) -> Seen {
    let mut server = greeted();
    server.feed(&headers(1, fields, true));
    server.seen.pop().unwrap()
}

fn with<'a>(name: &'a str, value: &'a str) -> Vec<Field<'a>> {
    [request("GET", "/"), vec![(name, value)]].concat()
}

fn without<'a>(name: &str) -> Vec<Field<'a>> {
    request("GET", "/").into_iter().filter(|(known, _)| *known != name).collect()
}

/// Method, path, query, authority and fields of a request.
type Parts = (String, String, Option<String>, Option<String>, Vec<(String, String)>);

#[track_caller]
fn served(fields: &[Field<'_>]) -> Parts {
    let Seen::Request { method, path, query, authority, fields, .. } = sent(fields) else {
        panic!("{fields:?}: {:?}", sent(fields))
    };
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        method,
        path,
        query,
        authority,
        fields.into_iter().map(|(name, value)| (text(name), text(value))).collect(),
    )
}

#[test]
fn a_request_is_what_its_fields_say() {
    let fields = [request("PURGE", "/a/b?c=d&e"), vec![("user-agent", "x"), ("x-empty", "")]].concat();
    let (method, path, query, authority, fields) = served(&fields);
    assert_eq!((method.as_str(), path.as_str(), query.as_deref()), ("PURGE", "/a/b", Some("c=d&e")));
    assert_eq!(authority.as_deref(), Some("test"));
    assert_eq!(fields, [("user-agent".into(), "x".into()), ("x-empty".into(), String::new())]);
}

#[test]
fn malformed_requests_are_reset() {
    let mut late = request("GET", "/");
    late.insert(2, ("x-early", "1"));
    let cases: Vec<(&str, Vec<Field<'_>>)> = vec![
        ("connection", with("connection", "close")),
        ("keep-alive", with("keep-alive", "1")),
        ("proxy-connection", with("proxy-connection", "close")),
        ("transfer-encoding", with("transfer-encoding", "chunked")),
        ("upgrade", with("upgrade", "h2c")),
        ("te", with("te", "gzip")),
        ("no :method", without(":method")),
        ("no :scheme", without(":scheme")),
        ("no :path", without(":path")),
        ("empty :path", vec![(":method", "GET"), (":scheme", "http"), (":path", ""), (":authority", "test")]),
        (":path twice", with(":path", "/")),
        (":method twice", with(":method", "GET")),
        (":scheme twice", with(":scheme", "http")),
        (":authority twice", with(":authority", "test")),
        ("a pseudo-header behind a field", late),
        ("a response's pseudo-header", with(":status", "200")),
        ("an unknown pseudo-header", with(":unknown", "1")),
        ("upper case", with("X-Upper", "1")),
        ("an empty name", with("", "1")),
        ("a name with a space", with("x y", "1")),
        ("content-length twice", [with("content-length", "0"), vec![("content-length", "0")]].concat()),
        ("a length without a body", with("content-length", "5")),
        (":protocol without CONNECT", with(":protocol", "websocket")),
        ("CONNECT with :path", vec![(":method", "CONNECT"), (":authority", "a:1"), (":path", "/")]),
        ("CONNECT without :authority", vec![(":method", "CONNECT")]),
    ];
    for (what, fields) in cases {
        assert!(matches!(sent(&fields), Seen::Malformed(_)), "{what}: {:?}", sent(&fields));
    }
}

#[test]
fn what_http_1_would_refuse_is_refused_alike() {
    let named = |path: &'static str, authority: &'static str| {
        vec![(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", authority)]
    };
    let nobody = without(":authority");
    let long = format!("/{}", "x".repeat(8192));
    let cases: Vec<(&str, Reject, Vec<Field<'_>>)> = vec![
        ("no authority", Reject::HostMissing, nobody.clone()),
        ("Host twice", Reject::HostRepeated, [nobody.clone(), vec![("host", "a"), ("host", "a")]].concat()),
        ("another host", Reject::HostInvalid, with("host", "other")),
        ("another port", Reject::HostInvalid, with("host", "test:81")),
        ("user information", Reject::HostInvalid, named("/", "user@test")),
        ("an empty authority", Reject::HostInvalid, named("/", "")),
        ("no slash", Reject::Target, named("x", "test")),
        ("an absolute target", Reject::Target, named("http://test/", "test")),
        ("a space", Reject::Target, named("/a b", "test")),
        ("a fragment", Reject::TargetFragment, named("/a#b", "test")),
        ("beyond ASCII", Reject::TargetNonAscii, named("/\u{e9}", "test")),
        ("an asterisk for GET", Reject::Target, named("*", "test")),
        (
            "a method that is no token",
            Reject::Method,
            [vec![(":method", "G T")], without(":method")].concat(),
        ),
        ("another scheme", Reject::Target, [vec![(":scheme", "ftp")], without(":scheme")].concat()),
        ("an unknown expectation", Reject::Expectation, with("expect", "wonders")),
        ("a length that is none", Reject::LengthInvalid, with("content-length", "1x")),
        ("a long target", Reject::LineTooLong, request("GET", &long)),
        ("a value with a NUL", Reject::FieldValue, with("x", "a\0b")),
        ("a value that ends in a space", Reject::FieldValue, with("x", "a ")),
    ];
    for (what, reject, fields) in cases {
        let expected = Seen::Refused { id: 1, reject, ends: true };
        assert_eq!(sent(&fields), expected, "{what}");
    }
}

#[test]
fn authorities_mean_the_same_whatever_their_spelling() {
    let of = |scheme: &'static str, authority: &'static str, host: &'static str| {
        vec![
            (":method", "GET"),
            (":scheme", scheme),
            (":path", "/"),
            (":authority", authority),
            ("host", host),
        ]
    };
    let same = [
        ("http", "svc.ns.svc:80", "svc.ns.svc"),
        ("http", "test", "TEST:80"),
        ("http", "test:", "test"),
        ("https", "test:443", "test"),
        ("http", "[::1]:80", "[::1]"),
        ("http", "test:08080", "test:8080"),
    ];
    for (scheme, authority, host) in same {
        assert_eq!(served(&of(scheme, authority, host)).3.as_deref(), Some(authority));
    }
    for (scheme, authority, host) in
        [("https", "test:80", "test"), ("http", "[::1]", "[::2]"), ("http", "a:1", "a:2")]
    {
        let refused = Seen::Refused { id: 1, reject: Reject::HostInvalid, ends: true };
        assert_eq!(sent(&of(scheme, authority, host)), refused, "{authority} {host}");
    }
    let only_host = [without(":authority"), vec![("host", "test")]].concat();
    assert_eq!(served(&only_host).3.as_deref(), Some("test"));
}

#[test]
fn targets_of_all_forms() {
    let star = vec![(":method", "OPTIONS"), (":scheme", "http"), (":path", "*"), (":authority", "test")];
    assert_eq!(served(&star).1, "*");
    let connect = vec![(":method", "CONNECT"), (":authority", "test:80")];
    assert_eq!((served(&connect).1.as_str(), served(&connect).3.as_deref()), ("", Some("test:80")));
    let extended = [request("CONNECT", "/chat?room=1"), vec![(":protocol", "websocket")]];
    let pseudo_first = [extended[0].clone(), vec![]].concat();
    assert!(matches!(sent(&pseudo_first), Seen::Malformed(_)), "CONNECT with a path is an extended one only");
    assert_eq!(served(&extended.concat()).1, "/chat");
}

#[test]
fn the_parts_of_a_cookie_are_joined() {
    let parts =
        [with("cookie", "a=b"), vec![("x-other", "1"), ("cookie", "c=d"), ("cookie", "e=f")]].concat();
    let fields = served(&parts).4;
    assert_eq!(fields, [("x-other".into(), "1".into()), ("cookie".into(), "a=b; c=d; e=f".into())]);
    assert_eq!(served(&with("cookie", "a=b")).4, [("cookie".into(), "a=b".into())]);
    assert_eq!(served(&with("te", "trailers")).4, [("te".into(), "trailers".into())]);
}

#[test]
fn large_header_lists_are_refused_and_the_connection_goes_on() {
    let mut server = greeted();
    let long = "x".repeat(16_400);
    let fields = [request("GET", "/"), vec![("x-a", long.as_str()), ("x-b", &long), ("x-c", "1")]].concat();
    let block = block(&fields);
    server.feed(&frame(HEADERS, END_STREAM, 1, &block[..16_000]));
    server.feed(&frame(CONTINUATION, 0, 1, &block[16_000..32_000]));
    server.feed(&frame(CONTINUATION, END_HEADERS, 1, &block[32_000..]));
    assert_eq!(server.seen.pop(), Some(Seen::Refused { id: 1, reject: Reject::HeadTooLong, ends: true }));
    server.feed(&get(3, "/"));
    assert!(matches!(server.seen.pop(), Some(Seen::Request { id: 3, .. })));
    let names: Vec<String> = (0..101).map(|index| format!("x-{index}")).collect();
    let many = [request("GET", "/"), names.iter().map(|name| (name.as_str(), "1")).collect()].concat();
    assert_eq!(sent(&many), Seen::Refused { id: 1, reject: Reject::TooManyHeaders, ends: true });
    assert!(matches!(sent(&many[..104]), Seen::Request { .. }));
}

#[test]
fn a_block_may_come_in_any_frames() {
    let whole = sent(&with("x-field", "value"));
    let block = block(&with("x-field", "value"));
    let padded = [&[3][..], &block, &[0; 3]].concat();
    let with_priority = [&[0x80, 0, 0, 7, 200][..], &block].concat();
    let both = [&[2, 0, 0, 0, 0, 16][..], &block, &[0; 2]].concat();
    let ends = END_STREAM | END_HEADERS;
    let pieces = |size: usize| -> Vec<u8> {
        let last = block.len().div_ceil(size) - 1;
        let piece = |(index, piece): (usize, &[u8])| {
            let kind = if index == 0 { HEADERS } else { CONTINUATION };
            let flags = if index == 0 { END_STREAM } else { 0 } | if index == last { END_HEADERS } else { 0 };
            frame(kind, flags, 1, piece)
        };
        block.chunks(size).enumerate().flat_map(piece).collect()
    };
    let frames = [
        frame(HEADERS, ends | PADDED, 1, padded),
        frame(HEADERS, ends | WITH_PRIORITY, 1, with_priority),
        frame(HEADERS, ends | PADDED | WITH_PRIORITY, 1, both),
        [frame(HEADERS, END_STREAM, 1, []), frame(CONTINUATION, END_HEADERS, 1, &block)].concat(),
        [frame(HEADERS, END_STREAM, 1, &block), frame(CONTINUATION, END_HEADERS, 1, [])].concat(),
        pieces(2),
        pieces(7),
    ];
    for bytes in frames {
        let mut server = greeted();
        server.feed(&bytes);
        assert_eq!(server.seen.pop().as_ref(), Some(&whole));
    }
}

#[test]
fn bodies_have_their_declared_length() {
    let post = |length: &'static str| [request("POST", "/ignore"), vec![("content-length", length)]].concat();
    let run = |bytes: Vec<u8>| {
        let mut server = greeted();
        server.feed(&bytes);
        server.seen.pop().unwrap()
    };
    let data = |flags, bytes: &[u8]| frame(DATA, flags, 1, bytes);
    let ok = run([headers(1, &post("5"), false), data(0, b"abc"), data(END_STREAM, b"de")].concat());
    assert_eq!(ok, Seen::Data { id: 1, bytes: b"abcde".to_vec(), ends: true });
    let with_trailers =
        run([headers(1, &post("3"), false), data(0, b"abc"), headers(1, &[("x", "1")], true)].concat());
    assert!(matches!(with_trailers, Seen::Trailers { refused: None, .. }));
    let faulty = [
        [headers(1, &post("5"), false), data(END_STREAM, b"abc")].concat(),
        [headers(1, &post("2"), false), data(0, b"abc")].concat(),
        [headers(1, &post("2"), false), data(END_STREAM, b"")].concat(),
        [headers(1, &post("5"), false), data(0, b"abc"), headers(1, &[("x", "1")], true)].concat(),
    ];
    for bytes in faulty {
        assert!(matches!(run(bytes), Seen::Reset { id: 1, .. }));
    }
}

#[test]
fn padding_is_no_data() {
    let mut server = greeted();
    server.feed(&headers(1, &request("POST", "/ignore"), false));
    server.feed(&frame(DATA, PADDED, 1, [&[3][..], b"abc", &[0; 3]].concat()));
    server.feed(&frame(DATA, PADDED | END_STREAM, 1, [2, 0, 0]));
    assert_eq!(server.seen.pop(), Some(Seen::Data { id: 1, bytes: b"abc".to_vec(), ends: true }));
}

#[test]
fn trailers_are_kept_apart_and_judged() {
    let run = |trailers: &[Field<'_>]| {
        let mut server = greeted();
        server.feed(&[headers(1, &request("POST", "/ignore"), false), headers(1, trailers, true)].concat());
        server.seen.pop().unwrap()
    };
    let kept = vec![(b"x-sum".to_vec(), b"1".to_vec())];
    let seen = run(&[("x-sum", "1"), ("content-length", "7"), ("host", "evil")]);
    assert_eq!(
        seen,
        Seen::Trailers { id: 1, fields: kept, refused: None },
        "those of the message are dropped"
    );
    let long = "x".repeat(5000);
    for (trailers, reject) in
        [(vec![("x", long.as_str())], Reject::TrailersTooLong), (vec![("x", "a\rb")], Reject::FieldValue)]
    {
        assert!(matches!(run(&trailers), Seen::Trailers { refused: Some(told), .. } if told == reject));
    }
    for trailers in [[("connection", "close")], [("X", "1")], [(":status", "200")]] {
        assert!(matches!(run(&trailers), Seen::Reset { .. }), "{trailers:?}");
    }
}

/// Returns `true` if HTTP/1.1 accepts a request of these parts, which must hold no line ends.
fn http_1_takes(method: &[u8], target: &[u8], host: &[u8], value: &[u8]) -> bool {
    let bytes =
        [method, b" ", target, b" HTTP/1.1\r\nhost: ", host, b"\r\nx-value: ", value, b"\r\n\r\n"].concat();
    let (mut search, mut head) = (h1::Search::default(), h1::Head::default());
    let parsed = h1::parse(&bytes, &mut search, &h1::Limits::default(), &mut head);
    parsed == Ok(Some(bytes.len()))
}

fn http_2_takes(method: &[u8], target: &[u8], host: &[u8], value: &[u8]) -> bool {
    let fields: [(&[u8], &[u8]); 5] = [
        (b":method", method),
        (b":scheme", b"http"),
        (b":path", target),
        (b":authority", host),
        (b"x-value", value),
    ];
    let mut server = greeted();
    server.feed(&frame(HEADERS, END_HEADERS | END_STREAM, 1, raw_block(&fields)));
    matches!(server.seen.pop(), Some(Seen::Request { .. }))
}

#[test]
fn every_byte_of_a_method_target_host_or_value_is_judged_alike() {
    for byte in 0..=255_u8 {
        if byte == b'\n' || byte == b'\r' {
            continue;
        }
        let around = |front: &[u8], behind: &[u8]| [front, &[byte], behind].concat();
        let parts = [
            // A method ends at a space in HTTP/1.1.
            (around(b"G", b"T"), b"/".to_vec(), b"test".to_vec(), b"v".to_vec()),
            (b"GET".to_vec(), around(b"/a", b"b"), b"test".to_vec(), b"v".to_vec()),
            (b"GET".to_vec(), around(b"/a?b", b"c"), b"test".to_vec(), b"v".to_vec()),
            (b"GET".to_vec(), b"/".to_vec(), around(b"te", b"st"), b"v".to_vec()),
            (b"GET".to_vec(), b"/".to_vec(), b"test".to_vec(), around(b"a", b"b")),
        ];
        for (method, target, host, value) in parts {
            assert_eq!(
                http_1_takes(&method, &target, &host, &value),
                http_2_takes(&method, &target, &host, &value),
                "{byte:#x} in {}",
                [method, target, host, value].join(&b' ').escape_ascii()
            );
        }
    }
}

proptest! {
    #[test]
    fn requests_are_judged_alike_over_both_protocols(
        method in prop_oneof![
            Just(b"GET".to_vec()),
            Just(b"OPTIONS".to_vec()),
            prop::collection::vec(0x20..0x80_u8, 0..6),
        ],
        target in prop_oneof![
            "/[ -~]{0,12}".prop_map(String::into_bytes),
            Just(b"*".to_vec()),
            prop::collection::vec(0x20..=0xff_u8, 0..6),
        ],
        host in prop_oneof![
            "[a-z.]{1,8}(:[0-9]{0,6})?".prop_map(String::into_bytes),
            prop::collection::vec(0x20..=0x7f_u8, 1..6),
        ],
        value in prop::collection::vec(prop_oneof![0x20..=0xff_u8, Just(b'\t')], 0..6),
    ) {
        // White space around a value is taken off by HTTP/1.1, and an absolute target is none of HTTP/2.
        prop_assume!(value.trim_ascii() == value && host.trim_ascii() == host);
        prop_assume!(!target.to_ascii_lowercase().starts_with(b"http") && method != b"CONNECT");
        prop_assert_eq!(
            http_1_takes(&method, &target, &host, &value),
            http_2_takes(&method, &target, &host, &value)
        );
    }
}
