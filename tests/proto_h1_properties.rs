//! Properties of the HTTP/1.1 parsers for arbitrary bytes: splitting the input changes no result, garbage
//! causes no panic and no endless loop, and encoded messages parse back.

use http::{HeaderName, HeaderValue, StatusCode};
use proptest::{collection::vec, prelude::*, sample::select};
use windlass::proto::{
    h1::{
        Body, Exchange, Framing, Head, Length, Limits, Method, Reject, Search, Step, Version,
        encode::{self, Framing as Written},
        parse,
    },
    proxy,
};

const DATE: &encode::Date = b"Sun, 06 Nov 1994 08:49:37 GMT";

/// Limits that short inputs can exceed.
fn small() -> Limits {
    Limits { line_bytes: 40, head_bytes: 160, headers: 6, extension_bytes: 8, trailer_bytes: 40 }
}

/// Result of parsing one input: the head's length and debug text, `None` if incomplete, or the rejection.
type Outcome = Result<Option<(usize, String)>, Reject>;

/// Parses input that grows from one cut to the next, as on a connection.
fn parse_grown(input: &[u8], cuts: &[usize]) -> Outcome {
    let (mut search, mut head, limits) = (Search::default(), Head::default(), small());
    for end in ends(input, cuts) {
        if let Some(len) = parse(&input[..end], &mut search, &limits, &mut head)? {
            return Ok(Some((len, format!("{head:?}"))));
        }
    }
    Ok(None)
}

/// Result of decoding one body: its data, the offset of its end, and its trailers.
type BodyOutcome = Result<(Vec<u8>, Option<usize>, Vec<(Vec<u8>, Vec<u8>)>), Reject>;

/// Decodes input that arrives in pieces, as on a connection.
fn decode_pieces(framing: Framing, input: &[u8], cuts: &[usize]) -> BodyOutcome {
    let mut body = Body::new(framing, &small());
    let (mut data, mut at, mut ended) = (Vec::new(), 0, None);
    for end in ends(input, cuts) {
        while ended.is_none() {
            match body.decode(&input[at..end])? {
                Step::NeedMore => {
                    at = end;
                    break;
                }
                Step::Done { consumed } => ended = Some(at + consumed),
                Step::Data { consumed, data: range } => {
                    assert!(consumed > 0 && !range.is_empty(), "a data step must make progress");
                    data.extend_from_slice(&input[at..end][range]);
                    at += consumed;
                }
            }
        }
    }
    let own = |bytes: &[u8]| bytes.to_vec();
    let trailers = body.trailers().iter().map(|(name, value)| (own(name), own(value))).collect();
    Ok((data, ended, trailers))
}

/// Returns the end offset of each piece in ascending order; the last one is the length of the input.
fn ends(input: &[u8], cuts: &[usize]) -> Vec<usize> {
    let mut ends: Vec<_> = cuts.iter().map(|cut| cut % (input.len() + 1)).collect();
    ends.push(input.len());
    ends.sort_unstable();
    ends
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![vec(0_usize..1000, 0..8), Just((0..1000).collect())]
}

/// Generates bytes that resemble request heads, most of them malformed.
fn heads() -> impl Strategy<Value = Vec<u8>> {
    let line = select(vec![
        "GET / HTTP/1.1\r\n",
        "POST /a?b HTTP/1.1\r\n",
        "GET http://h/ HTTP/1.0\r\n",
        "OPTIONS * HTTP/1.1\r\n",
        "CONNECT h:1 HTTP/1.1\r\n",
        "GET /# HTTP/1.1\r\n",
        "GET / HTTP/2.0\r\n",
        "GET / HTTP/1.1\n",
        "\r\nGET / HTTP/1.1\r\n",
        "\r\n\r\n\r\n",
        "GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "\rGET / HTTP/1.1\r\n",
        "",
    ]);
    let field = select(vec![
        "Host: a\r\n",
        "Host:\r\n",
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Connection: close\r\n",
        "Expect: 100-continue\r\n",
        "Upgrade: x\r\nConnection: upgrade\r\n",
        "X: y\r\n",
        " fold\r\n",
        "X : y\r\n",
        "X: a\rb\r\n",
        "X: y\n",
        "X: \0\r\n",
        "\r\n",
        "\r",
        "\n",
        "X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n",
    ]);
    (line, vec(field, 0..9), any::<bool>()).prop_map(|(line, fields, ends)| {
        [line, &fields.concat(), if ends { "\r\n" } else { "" }].concat().into_bytes()
    })
}

/// Generates bytes that resemble chunked bodies, most of them malformed.
fn chunks() -> impl Strategy<Value = Vec<u8>> {
    let part = select(vec![
        "3\r\nabc\r\n",
        "A;x\r\n0123456789\r\n",
        "1\r\n\n\r\n",
        "0\r\n",
        "0\r\n\r\n",
        "X: y\r\n",
        "Host: y\r\n",
        "\r\n",
        "3\r\nabc",
        "3;\n",
        "0x3\r\n",
        "\r",
        "fffffffffffffffff",
        "3;aaaaaaaaaaaa\r\nabc\r\n",
        " X: y\r\n",
    ]);
    vec(part, 0..9).prop_map(|parts| parts.concat().into_bytes())
}

fn framings() -> impl Strategy<Value = Framing> {
    prop_oneof![Just(Framing::None), (0_u64..40).prop_map(Framing::Length), Just(Framing::Chunked)]
}

/// Fields that the properties of encoded heads add.
const OWN_NAMES: &[&str] = &["x", "date", "connection", "content-length", "transfer-encoding"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn cuts_do_not_change_the_result_of_a_head(input in heads(), cuts in cuts()) {
        prop_assert_eq!(parse_grown(&input, &cuts), parse_grown(&input, &[]));
    }

    #[test]
    fn cuts_do_not_change_the_result_of_a_body(input in chunks(), cuts in cuts()) {
        prop_assert_eq!(
            decode_pieces(Framing::Chunked, &input, &cuts),
            decode_pieces(Framing::Chunked, &input, &[])
        );
    }

    #[test]
    fn garbage_has_the_same_result_however_it_is_cut(
        input in vec(any::<u8>(), 0..300), cuts in cuts(), framing in framings()
    ) {
        prop_assert_eq!(parse_grown(&input, &cuts), parse_grown(&input, &[]));
        prop_assert_eq!(decode_pieces(framing, &input, &cuts), decode_pieces(framing, &input, &[]));
        prop_assert!(proxy::parse(&input).is_err() || input.is_empty() || b"P\r".contains(&input[0]));
    }

    #[test]
    fn a_head_with_one_changed_byte_has_the_same_result_however_it_is_cut(
        input in heads(), at in any::<usize>(), byte in any::<u8>(), cuts in cuts()
    ) {
        let mut input = input;
        let len = input.len();
        if len > 0 {
            input[at % len] = byte;
        }
        prop_assert_eq!(parse_grown(&input, &cuts), parse_grown(&input, &[]));
    }

    #[test]
    fn an_accepted_head_has_no_bare_line_end_and_a_plain_target(
        input in heads(), at in any::<usize>(), byte in any::<u8>()
    ) {
        let mut input = input;
        let len = input.len();
        if len > 0 {
            input[at % len] = byte;
        }
        let (mut search, mut head) = (Search::default(), Head::default());
        if let Ok(Some(len)) = parse(&input, &mut search, &small(), &mut head) {
            let text = &input[..len];
            let lines = text.split(|&byte| byte == b'\n').count();
            prop_assert_eq!(text.windows(2).filter(|pair| pair == b"\r\n").count(), lines - 1);
            prop_assert_eq!(text.iter().filter(|&&byte| byte == b'\r').count(), lines - 1);
            prop_assert!(!text.contains(&0) && text.ends_with(b"\r\n\r\n"));
            prop_assert!(head.target(text).iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#'));
            prop_assert!(head.authority(text).is_some() || head.version() == Version::Http10);
        }
    }

    #[test]
    fn encoded_chunks_are_decoded_to_the_same_data(
        data in vec(vec(any::<u8>(), 0..50), 0..8),
        cuts in cuts(),
    ) {
        let mut wire = Vec::new();
        data.iter().for_each(|data| encode::chunk(&mut wire, data));
        wire.extend_from_slice(encode::LAST_CHUNK);
        prop_assert_eq!(
            decode_pieces(Framing::Chunked, &wire, &cuts),
            Ok((data.concat(), Some(wire.len()), Vec::new()))
        );
    }

    #[test]
    fn encoded_heads_parse_and_frame_the_body_once(
        status in 100_u16..600,
        length in prop_oneof![Just(Length::Unknown), any::<u64>().prop_map(Length::Known)],
        method in select(vec![Method::Get, Method::Head, Method::Connect, Method::Post]),
        version in select(vec![Version::Http10, Version::Http11]),
        keep_alive in any::<bool>(),
        own in vec((select(OWN_NAMES), "[ -~]{0,12}"), 0..5),
    ) {
        let own: Vec<_> = own.iter().map(|(name, value)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        }).collect();
        let exchange = Exchange { version, method, keep_alive };
        let mut wire = Vec::new();
        let status = StatusCode::from_u16(status).unwrap();
        let sent = encode::head(&mut wire, exchange, status, length, own.iter().map(|(n, v)| (n, v)), DATE);
        let mut storage = [httparse::EMPTY_HEADER; 16];
        let mut response = httparse::Response::new(&mut storage);
        prop_assert_eq!(response.parse(&wire), Ok(httparse::Status::Complete(wire.len())));
        prop_assert_eq!(response.code, Some(status.as_u16()));
        let values = |name: &str| -> Vec<_> {
            response.headers.iter().filter(|h| h.name == name).map(|h| h.value.to_vec()).collect()
        };
        prop_assert_eq!(values("date").len(), 1);
        let (lengths, codings) = (values("content-length"), values("transfer-encoding"));
        match sent.framing {
            Written::Length(n) => {
                prop_assert_eq!((lengths, codings.len()), (vec![n.to_string().into_bytes()], 0));
            }
            Written::Chunked => prop_assert_eq!((lengths.len(), codings), (0, vec![b"chunked".to_vec()])),
            Written::Close => prop_assert!(lengths.is_empty() && codings.is_empty() && !sent.keep_alive),
            Written::None => prop_assert!(lengths.len() <= 1 && codings.is_empty()),
        }
        let closes = values("connection").iter().any(|value| value == b"close");
        prop_assert!(closes != sent.keep_alive || status == StatusCode::SWITCHING_PROTOCOLS);
        prop_assert!(keep_alive || !sent.keep_alive);
    }
}
