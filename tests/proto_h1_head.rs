//! HTTP/1.1 request heads: for each strict rule, inputs that break it and similar ones that do not.

use std::collections::BTreeSet;

use http::StatusCode;
use windlass::proto::h1::{Form, Framing, Head, Limits, Method, Reject, Search, Version, parse};

fn parse_with(bytes: &[u8], limits: &Limits) -> Result<Option<(usize, Head)>, Reject> {
    let mut head = Head::default();
    let len = parse(bytes, &mut Search::default(), limits, &mut head)?;
    Ok(len.map(|len| (len, head)))
}

#[track_caller]
fn accepted(bytes: impl AsRef<[u8]>) -> Head {
    let bytes = bytes.as_ref();
    match parse_with(bytes, &Limits::default()) {
        Ok(Some((len, head))) if len == bytes.len() => head,
        other => panic!("{:?}\nexpected a whole head, got {other:?}", String::from_utf8_lossy(bytes)),
    }
}

#[track_caller]
fn rejected(bytes: impl AsRef<[u8]>, reject: Reject) {
    let bytes = bytes.as_ref();
    let verdict = parse_with(bytes, &Limits::default());
    assert_eq!(verdict.err(), Some(reject), "{:?}", String::from_utf8_lossy(bytes));
}

#[track_caller]
fn needs_more(bytes: impl AsRef<[u8]>) {
    let verdict = parse_with(bytes.as_ref(), &Limits::default());
    assert!(matches!(verdict, Ok(None)), "{verdict:?}");
}

/// Builds a GET with these field lines after its Host.
fn with(lines: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n").into_bytes()
}

/// Builds a GET with this target.
fn target(target: &[u8]) -> Vec<u8> {
    [b"GET ", target, b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat()
}

/// Builds a GET of `/` with this Host.
fn host(value: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nHost: {value}\r\n\r\n").into_bytes()
}

#[test]
fn a_plain_request_is_parsed() {
    let bytes = b"GET /a/b?c=d HTTP/1.1\r\nHost: example.com:80\r\nAccept:  */* \t\r\nX-Empty:\r\n\r\nrest";
    let (len, head) = parse_with(bytes, &Limits::default()).unwrap().unwrap();
    assert_eq!(&bytes[len..], b"rest");
    assert_eq!((head.method(), head.version(), head.form()), (Method::Get, Version::Http11, Form::Origin));
    assert_eq!(head.method_bytes(bytes), b"GET");
    assert_eq!(head.target(bytes), b"/a/b?c=d");
    assert_eq!(head.path(bytes), b"/a/b");
    assert_eq!(head.query(bytes), Some(&b"c=d"[..]));
    assert_eq!(head.authority(bytes), Some(&b"example.com:80"[..]));
    assert_eq!(head.header(bytes, b"accept"), Some(&b"*/*"[..]));
    assert_eq!(head.header(bytes, b"x-empty"), Some(&b""[..]));
    assert_eq!(head.header(bytes, b"absent"), None);
    let names: Vec<_> = head.fields(bytes).iter().map(|(name, _)| name).collect();
    assert_eq!(names, [&b"Host"[..], b"Accept", b"X-Empty"]);
    assert_eq!(head.framing(), Framing::None);
    assert!(head.keep_alive() && !head.upgrade() && !head.expects_continue());
}

#[test]
fn offsets_are_valid_in_a_copy_and_include_leading_empty_lines() {
    let bytes = b"\r\n\r\nPOST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    let (len, head) = parse_with(bytes, &Limits::default()).unwrap().unwrap();
    let copy = bytes[..len].to_vec();
    assert_eq!(head.path(&copy), b"/x");
    assert_eq!(head.header(&copy, b"CONTENT-LENGTH"), Some(&b"3"[..]));
    assert_eq!(head.framing(), Framing::Length(3));
}

#[test]
fn a_reused_head_keeps_nothing_of_the_previous_request() {
    let mut head = Head::default();
    let mut search = Search::default();
    let limits = Limits::default();
    let first = b"POST http://b/p?q HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 9\r\n\r\n";
    assert_eq!(parse(first, &mut search, &limits, &mut head), Ok(Some(first.len())));
    assert!(head.keep_alive());
    let second = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert_eq!(parse(second, &mut search, &limits, &mut head), Ok(Some(second.len())));
    assert_eq!((head.form(), head.framing(), head.query(second)), (Form::Origin, Framing::None, None));
    assert_eq!((head.authority(second), head.keep_alive()), (Some(&b"a"[..]), false));
    assert_eq!(head.fields(second).len(), 2);
}

#[test]
fn methods_are_tokens_and_case_sensitive() {
    for (token, method) in [("HEAD", Method::Head), ("PATCH", Method::Patch), ("get", Method::Other)] {
        let bytes = format!("{token} / HTTP/1.1\r\nHost: a\r\n\r\n");
        let head = accepted(&bytes);
        assert_eq!(head.method(), method);
        assert_eq!(head.http_method(bytes.as_bytes()).unwrap().as_str(), token);
    }
    let odd = "!#$%&'*+-.^_`|~09azAZ / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(accepted(odd).http_method(odd.as_bytes()).unwrap().as_str(), "!#$%&'*+-.^_`|~09azAZ");
    for line in
        ["G@T / HTTP/1.1", " GET / HTTP/1.1", "G\u{e9}T / HTTP/1.1", "(GET) / HTTP/1.1", "G\tT / HTTP/1.1"]
    {
        rejected(format!("{line}\r\nHost: a\r\n\r\n"), Reject::Method);
    }
}

#[test]
fn input_that_is_not_http_is_rejected_at_its_first_byte() {
    rejected(b"\x16\x03\x01\x02\x00", Reject::Method);
    rejected(b"\r\n\0", Reject::Method);
    needs_more(b"G");
    needs_more(b"\r");
}

#[test]
fn the_request_line_has_three_words_separated_by_one_space() {
    rejected("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", Reject::Target);
    rejected("GET /  HTTP/1.1\r\nHost: a\r\n\r\n", Reject::Target);
    rejected("GET /\r\nHost: a\r\n\r\n", Reject::Target);
    rejected("GET\r\nHost: a\r\n\r\n", Reject::Target);
    rejected("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", Reject::VersionInvalid);
    rejected("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", Reject::Target);
    rejected("GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", Reject::Target);
}

#[test]
fn only_major_version_1_is_accepted_and_a_later_minor_version_is_1_1() {
    assert_eq!(accepted("GET / HTTP/1.0\r\n\r\n").version(), Version::Http10);
    for version in ["HTTP/1.1", "HTTP/1.2", "HTTP/1.9"] {
        let head = accepted(format!("GET / {version}\r\nHost: a\r\n\r\n"));
        assert_eq!(head.version(), Version::Http11, "{version}");
    }
    for version in ["HTTP/2.0", "HTTP/0.9", "HTTP/9.9"] {
        rejected(format!("GET / {version}\r\nHost: a\r\n\r\n"), Reject::VersionUnsupported);
    }
    rejected("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Reject::VersionUnsupported);
    for version in ["HTTP/1", "http/1.1", "HTTP/1.10", "HTTPS/1.1", "ICY", "HTTP/1,1", "HTTP/a.b"] {
        rejected(format!("GET / {version}\r\nHost: a\r\n\r\n"), Reject::VersionInvalid);
    }
    assert_eq!(Reject::VersionUnsupported.status(), StatusCode::HTTP_VERSION_NOT_SUPPORTED);
}

#[test]
fn at_most_two_empty_lines_may_come_first() {
    accepted("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    accepted("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    rejected("\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Reject::EmptyLines);
    rejected("\r\n\r\n\r\n", Reject::EmptyLines);
}

#[test]
fn bare_line_feeds_are_rejected_as_soon_as_they_arrive() {
    rejected("GET / HTTP/1.1\n", Reject::BareLf);
    rejected("\n", Reject::BareLf);
    rejected("GET / HTTP/1.1\r\nHost: a\n", Reject::BareLf);
    rejected("GET / HTTP/1.1\r\nHost: a\r\nX: a\nY: b\r\n\r\n", Reject::BareLf);
    rejected("GET / HTTP/1.1\r\nHost: a\r\n\n", Reject::BareLf);
    rejected("GET / HTTP/1.1\r\n\nHost: a\r\n\r\n", Reject::BareLf);
}

#[test]
fn bare_carriage_returns_are_rejected() {
    rejected(with("X: a\rb\r\n"), Reject::BareCr);
    rejected(with("X: a\r\r\n"), Reject::BareCr);
    rejected(with("X\r: a\r\n"), Reject::BareCr);
    rejected(with("\rX: a\r\n"), Reject::BareCr);
    rejected("GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", Reject::BareCr);
    rejected("GET / HTTP/1.1\rX\r\nHost: a\r\n\r\n", Reject::BareCr);
    rejected("GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", Reject::BareCr);
    rejected("\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", Reject::BareCr);
}

#[test]
fn control_characters_are_rejected_in_values_but_tabs_and_high_bytes_are_not() {
    rejected(with("X: a\0b\r\n"), Reject::Nul);
    rejected(with("X\0: a\r\n"), Reject::Nul);
    for byte in (1..b' ').filter(|byte| !b"\t\n\r".contains(byte)).chain([0x7f]) {
        rejected(with(&format!("X: a{}b\r\n", char::from(byte))), Reject::FieldValue);
    }
    let bytes = b"GET / HTTP/1.1\r\nHost: a\r\nX: a\tb \x80\xff\r\n\r\n";
    assert_eq!(accepted(bytes).header(bytes, b"x"), Some(&b"a\tb \x80\xff"[..]));
}

#[test]
fn folded_lines_and_space_before_the_first_field_are_rejected() {
    rejected(with("X: a\r\n b\r\n"), Reject::Fold);
    rejected(with("X: a\r\n\tb: c\r\n"), Reject::Fold);
    rejected("GET / HTTP/1.1\r\n Host: a\r\n\r\n", Reject::Fold);
    rejected("GET / HTTP/1.1\r\n \r\nHost: a\r\n\r\n", Reject::Fold);
    accepted(with("X: a\r\nb: c\r\n"));
}

#[test]
fn field_names_are_tokens_directly_before_the_colon() {
    rejected(with("X : a\r\n"), Reject::SpaceBeforeColon);
    rejected(with("Transfer-Encoding : chunked\r\n"), Reject::SpaceBeforeColon);
    rejected(with("X\t: a\r\n"), Reject::SpaceBeforeColon);
    rejected(with("X Y: a\r\n"), Reject::FieldName);
    rejected(with(": a\r\n"), Reject::FieldName);
    rejected(with("X\r\n"), Reject::FieldName);
    rejected(with("X\u{e9}: a\r\n"), Reject::FieldName);
    rejected(with("(X): a\r\n"), Reject::FieldName);
    accepted(with("X:a\r\n"));
    accepted(with("!#$%&'*+-.^_`|~: a\r\n"));
}

#[test]
fn targets_are_visible_ascii_without_a_fragment() {
    rejected(target("/\u{e9}".as_bytes()), Reject::TargetNonAscii);
    rejected(target(b"/\xff"), Reject::TargetNonAscii);
    rejected(target(b"/\x01"), Reject::Target);
    rejected(target(b"/\x7f"), Reject::Target);
    rejected(target(b"/\0"), Reject::Target);
    rejected(target(b"/a#b"), Reject::TargetFragment);
    rejected(target(b"/a?b#c"), Reject::TargetFragment);
    rejected(target(b"http://h#c"), Reject::TargetFragment);
    rejected(target(b"a"), Reject::Target);
    rejected(target(b"?a"), Reject::Target);
    accepted(target(b"/%C3%A9?a%23b"));
    accepted(target(b"//a"));
}

#[test]
fn a_query_starts_at_the_first_question_mark() {
    for (text, path, query) in [
        ("/", "/", None),
        ("/?", "/", Some("")),
        ("/a?b?c", "/a", Some("b?c")),
        ("http://h", "/", None),
        ("http://h?q", "/", Some("q")),
        ("http://h/p?q", "/p", Some("q")),
    ] {
        let bytes = target(text.as_bytes());
        let head = accepted(&bytes);
        assert_eq!(head.path(&bytes), path.as_bytes(), "{text}");
        assert_eq!(head.query(&bytes), query.map(str::as_bytes), "{text}");
    }
}

#[test]
fn an_absolute_target_overrides_host() {
    let bytes = target(b"HTTP://other:81/p");
    let head = accepted(&bytes);
    assert_eq!((head.form(), head.authority(&bytes)), (Form::Absolute, Some(&b"other:81"[..])));
    rejected("GET http://other/ HTTP/1.1\r\n\r\n", Reject::HostMissing);
    rejected(target(b"http:///p"), Reject::HostInvalid);
    rejected(target(b"http://:80/p"), Reject::HostInvalid);
    rejected(target(b"http://user@h/p"), Reject::HostInvalid);
    rejected(target(b"ftp://h/p"), Reject::Target);
    rejected(target(b"http:/h/p"), Reject::Target);
}

#[test]
fn connect_takes_an_authority_and_options_an_asterisk() {
    let bytes = b"CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n";
    let head = accepted(bytes);
    assert_eq!((head.form(), head.path(bytes)), (Form::Authority, &b""[..]));
    assert_eq!(head.authority(bytes), Some(&b"h:443"[..]));
    accepted("CONNECT [::1]:443 HTTP/1.1\r\nHost: h\r\n\r\n");
    for target in ["h", "h:", ":443", "/", "http://h:443/", "[::1]", "h:443/", "*"] {
        rejected(format!("CONNECT {target} HTTP/1.1\r\nHost: h\r\n\r\n"), Reject::Target);
    }
    let bytes = b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n";
    assert_eq!((accepted(bytes).form(), accepted(bytes).path(bytes)), (Form::Asterisk, &b"*"[..]));
    rejected(target(b"*"), Reject::Target);
    rejected(target(b"h:443"), Reject::Target);
    accepted("OPTIONS / HTTP/1.1\r\nHost: h\r\n\r\n");
}

#[test]
fn host_is_present_once_and_valid() {
    rejected("GET / HTTP/1.1\r\n\r\n", Reject::HostMissing);
    rejected("GET / HTTP/1.1\r\nX-Host: a\r\n\r\n", Reject::HostMissing);
    rejected(with("Host: a\r\n"), Reject::HostRepeated);
    rejected(with("hOST: b\r\n"), Reject::HostRepeated);
    rejected("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", Reject::HostRepeated);
    accepted("GET / HTTP/1.0\r\n\r\n");
    for value in
        ["", "a", "a:", "a:0", "a:65535", "127.0.0.1:8080", "[::1]", "[::1]:80", "a-b_c.d~", "%41", "a,b"]
    {
        accepted(host(value));
    }
    let bad = "a b|a/b|a@b|a:b|a:65536|a:123456|a:1:2|::1|[::1|[::1]x|[]|[a]|[::1%25e]|%4|%zz|\
               a\"|<a>|a?b|a#b|a\\b|a, b";
    for value in bad.split('|').chain(["\u{e9}", "a:+1", "[::1]:b"]) {
        rejected(host(value), Reject::HostInvalid);
    }
}

#[test]
fn content_length_is_one_plain_number() {
    assert_eq!(accepted(with("Content-Length: 0\r\n")).framing(), Framing::Length(0));
    assert_eq!(accepted(with("Content-Length: 007\r\n")).framing(), Framing::Length(7));
    let most = format!("content-length:{}\r\n", u64::MAX);
    assert_eq!(accepted(with(&most)).framing(), Framing::Length(u64::MAX));
    let bad =
        "|+5|-5|5,5|5, 5|5 5|0x5|5;a|five|5.0|1_000|18446744073709551616|99999999999999999999999999|\u{665}";
    for value in bad.split('|') {
        rejected(with(&format!("Content-Length: {value}\r\n")), Reject::LengthInvalid);
    }
    rejected(with("Content-Length: 5\r\nContent-Length: 5\r\n"), Reject::LengthRepeated);
    rejected(with("Content-Length: 5\r\nX: y\r\ncontent-length: 6\r\n"), Reject::LengthRepeated);
}

#[test]
fn transfer_encoding_is_exactly_one_final_chunked() {
    for value in ["chunked", "Chunked", " \tCHUNKED\t "] {
        assert_eq!(accepted(with(&format!("Transfer-Encoding:{value}\r\n"))).framing(), Framing::Chunked);
    }
    let bad = "|gzip|identity|xchunked|chunked, chunked|chunked, gzip|chunked,|,chunked|chunked;a=b|\
               \"chunked\"|gzip, chunked, chunked|chunked, identity|chunke d|gzip, , chunked";
    for value in bad.split('|') {
        rejected(with(&format!("Transfer-Encoding: {value}\r\n")), Reject::CodingInvalid);
    }
    rejected(with("Transfer-Encoding: \x0bchunked\r\n"), Reject::FieldValue);
    rejected(with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), Reject::CodingInvalid);
    rejected(with("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"), Reject::CodingInvalid);
    rejected(with("Transfer-Encoding: gzip, chunked\r\n"), Reject::CodingUnknown);
    rejected(with("Transfer-Encoding: gzip;q=1\r\nTransfer-Encoding: chunked\r\n"), Reject::CodingUnknown);
    assert_eq!(Reject::CodingUnknown.status(), StatusCode::NOT_IMPLEMENTED);
}

#[test]
fn a_length_beside_a_transfer_encoding_is_rejected_in_either_order() {
    rejected(with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), Reject::LengthWithCoding);
    rejected(with("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"), Reject::LengthWithCoding);
    rejected(with("Transfer-Encoding: gzip\r\nContent-Length: 5\r\n"), Reject::LengthWithCoding);
    rejected("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", Reject::CodingInOldVersion);
}

#[test]
fn keep_alive_follows_the_version_and_the_connection_field() {
    for (version, lines, kept) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: keep-alive, Close\r\n", false),
        ("1.1", "Connection: keep-alive\r\nConnection: CLOSE\r\n", false),
        ("1.1", "Connection: closed\r\n", true),
        ("1.1", "Connection: ,,\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
    ] {
        let head = accepted(format!("GET / HTTP/{version}\r\nHost: a\r\n{lines}\r\n"));
        assert_eq!(head.keep_alive(), kept, "{version} {lines}");
    }
}

#[test]
fn an_upgrade_needs_both_fields_and_http_1_1() {
    let bytes = with("Upgrade: websocket, foo/2\r\nConnection: keep-alive, Upgrade\r\nUpgrade: bar\r\n");
    let head = accepted(&bytes);
    assert!(head.upgrade());
    assert_eq!(head.protocols(&bytes).collect::<Vec<_>>(), [&b"websocket"[..], b"foo/2", b"bar"]);
    let alone = with("Upgrade: websocket\r\n");
    assert!(!accepted(&alone).upgrade());
    assert_eq!(accepted(&alone).protocols(&alone).count(), 0);
    assert!(!accepted(with("Connection: upgrade\r\n")).upgrade());
    assert!(!accepted("GET / HTTP/1.0\r\nUpgrade: a\r\nConnection: upgrade\r\n\r\n").upgrade());
}

#[test]
fn only_100_continue_is_expected_and_only_before_a_body() {
    assert!(accepted(with("Content-Length: 1\r\nExpect: 100-Continue\r\n")).expects_continue());
    assert!(accepted(with("Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n")).expects_continue());
    assert!(!accepted(with("Expect: 100-continue\r\n")).expects_continue());
    assert!(!accepted(with("Content-Length: 0\r\nExpect: 100-continue\r\n")).expects_continue());
    let old = "POST / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n";
    assert!(!accepted(old).expects_continue());
    for value in ["", ",", " , "] {
        assert!(!accepted(with(&format!("Content-Length: 1\r\nExpect: {value}\r\n"))).expects_continue());
    }
    for value in ["100-continue,", ", 100-continue", "100-continue, 100-CONTINUE"] {
        assert!(accepted(with(&format!("Content-Length: 1\r\nExpect: {value}\r\n"))).expects_continue());
    }
    for value in ["200-ok", "100-continue, x", "x, 100-continue", "100-continued", "100-continue=1"] {
        rejected(with(&format!("Content-Length: 1\r\nExpect: {value}\r\n")), Reject::Expectation);
    }
    assert_eq!(Reject::Expectation.status(), StatusCode::EXPECTATION_FAILED);
}

#[test]
fn a_line_over_the_limit_is_rejected_before_it_ends() {
    let limit = Limits::default().line_bytes;
    let fits = format!("GET /{} HTTP/1.1", "a".repeat(limit - 14));
    assert_eq!(fits.len(), limit);
    needs_more(&fits);
    needs_more(format!("{fits}\r"));
    accepted(format!("{fits}\r\nHost: a\r\n\r\n"));
    rejected(format!("{fits}a"), Reject::LineTooLong);
    rejected(format!("{fits}a\r\nHost: a\r\n\r\n"), Reject::LineTooLong);
    rejected("a".repeat(limit + 1), Reject::LineTooLong);
    assert_eq!(Reject::LineTooLong.status(), StatusCode::URI_TOO_LONG);
}

#[test]
fn a_head_over_the_limit_is_rejected_before_it_ends() {
    let limit = Limits::default().head_bytes;
    let start = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
    let fits = format!("{start}{}\r\n\r\n", "a".repeat(limit - start.len() - 4));
    assert_eq!(fits.len(), limit);
    accepted(&fits);
    needs_more(format!("{start}{}", "a".repeat(limit - start.len())));
    rejected(format!("{start}{}", "a".repeat(limit - start.len() + 1)), Reject::HeadTooLong);
    rejected(format!("{start}{}\r\n\r\n", "a".repeat(limit - start.len() - 3)), Reject::HeadTooLong);
    assert_eq!(Reject::HeadTooLong.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
}

#[test]
fn the_first_header_over_the_limit_is_rejected() {
    accepted(with(&"a: b\r\n".repeat(99)));
    rejected(with(&"a: b\r\n".repeat(100)), Reject::TooManyHeaders);
    rejected(format!("GET / HTTP/1.1\r\n{}", "a: b\r\n".repeat(101)), Reject::TooManyHeaders);
    needs_more(format!("GET / HTTP/1.1\r\n{}", "a: b\r\n".repeat(100)));
    assert_eq!(Reject::TooManyHeaders.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
}

#[test]
fn a_raised_header_limit_allows_more_headers_than_the_stack_buffer_holds() {
    let limits = Limits { headers: 1000, ..Limits::default() };
    let bytes = with(&"a: b\r\n".repeat(999));
    let (_, head) = parse_with(&bytes, &limits).unwrap().unwrap();
    assert_eq!(head.fields(&bytes).all(b"A").count(), 999);
}

#[test]
fn every_rejection_is_listed_at_its_number_with_a_unique_label_and_text() {
    for (index, reject) in Reject::ALL.iter().enumerate() {
        assert_eq!(*reject as usize, index);
        assert!(reject.status().is_client_error() || reject.status().is_server_error());
    }
    let labels: BTreeSet<_> = Reject::ALL.iter().map(|reject| reject.label()).collect();
    let texts: BTreeSet<_> = Reject::ALL.iter().map(|reject| reject.text()).collect();
    assert_eq!((labels.len(), texts.len()), (Reject::ALL.len(), Reject::ALL.len()));
}
