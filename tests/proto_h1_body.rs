//! HTTP/1.1 request bodies: chunked coding, trailers and fixed lengths, with valid and malformed bytes.

use windlass::proto::h1::{Body, Framing, Limits, Reject, Step, encode};

/// Decodes all of the input. Returns the data, the bytes consumed, and `true` if the body ended.
fn decode(body: &mut Body, input: &[u8]) -> Result<(Vec<u8>, usize, bool), Reject> {
    let mut data = Vec::new();
    let mut at = 0;
    loop {
        match body.decode(&input[at..])? {
            Step::NeedMore => return Ok((data, input.len(), false)),
            Step::Done { consumed } => return Ok((data, at + consumed, true)),
            Step::Data { consumed, data: range } => {
                assert!(!range.is_empty() && range.end <= consumed);
                data.extend_from_slice(&input[at..][range]);
                at += consumed;
            }
        }
    }
}

fn chunked() -> Body {
    Body::new(Framing::Chunked, &Limits::default())
}

#[track_caller]
fn accepted(input: impl AsRef<[u8]>, data: &str) {
    let input = input.as_ref();
    let mut body = chunked();
    assert_eq!(decode(&mut body, input), Ok((data.as_bytes().to_vec(), input.len(), true)));
    assert!(body.is_done());
}

#[track_caller]
fn rejected(input: impl AsRef<[u8]>, reject: Reject) {
    let mut body = chunked();
    let text = String::from_utf8_lossy(input.as_ref()).into_owned();
    assert_eq!(decode(&mut body, input.as_ref()), Err(reject), "{text:?}");
    assert_eq!(body.decode(b"0\r\n\r\n"), Err(reject), "a rejected body stays rejected");
    assert!(!body.is_done());
}

#[test]
fn chunks_are_joined_and_later_bytes_are_not_consumed() {
    accepted("0\r\n\r\n", "");
    accepted("3\r\nabc\r\n0\r\n\r\n", "abc");
    accepted("3\r\nabc\r\nA\r\n0123456789\r\n00\r\n\r\n", "abc0123456789");
    accepted("a\r\n0123456789\r\n0\r\n\r\n", "0123456789");
    accepted("0000000000000003\r\nabc\r\n0000000000000000\r\n\r\n", "abc");
    let (data, consumed, done) = decode(&mut chunked(), b"3\r\na\r\n\r\n0\r\n\r\nGET /").unwrap();
    assert_eq!((data.as_slice(), consumed, done), (&b"a\r\n"[..], 13, true));
}

#[test]
fn chunk_sizes_are_1_to_16_hexadecimal_digits_and_nothing_else() {
    for size in ["", ";a", "0x5", "x", " 5", "5 ", "5\t", "-5", "+5", "g", "\u{665}", "5_"] {
        rejected(format!("{size}\r\nabcde\r\n0\r\n\r\n"), Reject::ChunkSize);
    }
    rejected("\n", Reject::ChunkSize);
    rejected("5\nabcde", Reject::ChunkSize);
    rejected("5\rabcde", Reject::BareCr);
    rejected("00000000000000005\r\nabcde\r\n", Reject::ChunkSizeTooLong);
    rejected("fffffffffffffffff\r\n", Reject::ChunkSizeTooLong);
    let (data, _, done) = decode(&mut chunked(), b"7fffffffffffffff\r\nabc").unwrap();
    assert_eq!((data.as_slice(), done), (&b"abc"[..], false));
    for size in ["8000000000000000", "ffffffffffffffff", "FFFFFFFFFFFFFFF0", "fffffffffffffffe"] {
        rejected(format!("{size}\r\n"), Reject::ChunkSizeTooLong);
        rejected(size, Reject::ChunkSizeTooLong);
    }
}

#[test]
fn a_chunk_announces_its_size_with_its_size_line() {
    let mut body = chunked();
    for (bytes, announced) in
        [("1", 0), ("0", 0), (";a=b", 16), ("\r", 16), ("\n", 16), ("abc", 13), ("defghijklmnop\r\n", 0)]
    {
        decode(&mut body, bytes.as_bytes()).unwrap();
        assert_eq!(body.announced(), announced, "{bytes:?}");
    }
    assert_eq!(Body::new(Framing::Length(7), &Limits::default()).announced(), 7);
}

#[test]
fn chunk_data_must_be_followed_by_a_line_end() {
    rejected("3\r\nabcd\r\n", Reject::ChunkEnd);
    rejected("3\r\nabc\n0\r\n\r\n", Reject::ChunkEnd);
    rejected("3\r\nabc\r0\r\n\r\n", Reject::ChunkEnd);
    rejected("3\r\nabc0\r\n\r\n", Reject::ChunkEnd);
    rejected("3\r\nab\r\n0\r\n\r\n", Reject::ChunkEnd);
}

#[test]
fn chunk_extensions_are_ignored_and_bounded_per_message() {
    for extension in [
        ";a",
        ";a=b",
        ";a=\"\"",
        ";a=\"b;c\r\"",
        ";a=\"\\\"\"",
        ";a;b=c;d",
        " ;a",
        "\t; a = b\t; c",
        ";a=\"\u{e4}\"",
        "; a =\"b\"",
    ] {
        // A quoted string holds no line end.
        match extension.contains('\r') {
            true => rejected(format!("3{extension}\r\nabc\r\n0\r\n\r\n"), Reject::ChunkExtension),
            false => accepted(format!("3{extension}\r\nabc\r\n0{extension}\r\n\r\n"), "abc"),
        }
    }
    for extension in [
        ";",
        "; ",
        ";;a",
        ";=b",
        ";a=",
        ";a= ",
        ";a ",
        ";a=b ",
        ";a b",
        ";a=b c",
        ";a=\"b",
        ";a=\"b\\\"",
        ";a=\"b\"c",
        ";a=\"b\" ",
        ";\"a\"",
        ";a==b",
        ";a=b=c",
        ";\u{e4}",
        ";a=\u{e4}",
        ";a,b",
        " ;",
        ";a=(b)",
    ] {
        rejected(format!("3{extension}\r\nabc\r\n0\r\n\r\n"), Reject::ChunkExtension);
    }
    rejected("3;a\nX\r\nabc\r\n", Reject::BareLf);
    rejected("3;a\rX\r\nabc\r\n", Reject::BareCr);
    rejected("3;a\0\r\nabc\r\n", Reject::ChunkExtension);
    rejected("3;a\x7f\r\nabc\r\n", Reject::ChunkExtension);
    let limit = Limits::default().extension_bytes;
    accepted(format!("0;{}\r\n\r\n", "a".repeat(limit - 1)), "");
    rejected(format!("0;{}", "a".repeat(limit)), Reject::ExtensionsTooLong);
    rejected("1;x\r\na\r\n".repeat(limit / 2 + 1), Reject::ExtensionsTooLong);
    rejected(format!("1{};x", " ".repeat(limit)), Reject::ExtensionsTooLong);
    accepted(format!("{}0\r\n\r\n", "1;x\r\na\r\n".repeat(limit / 2)), &"a".repeat(limit / 2));
}

#[test]
fn a_flood_of_one_byte_chunks_is_decoded() {
    let flood = "1\r\nx\r\n".repeat(100_000);
    let (data, consumed, done) = decode(&mut chunked(), flood.as_bytes()).unwrap();
    assert_eq!((data.len(), consumed, done), (100_000, flood.len(), false));
}

#[test]
fn trailers_are_kept_apart_and_forbidden_ones_dropped() {
    let mut body = chunked();
    let input =
        b"0\r\nX-Sum: 1\r\nContent-Length: 9\r\nhost: evil\r\nx-sum:  2 \r\nAuthorization: x\r\n\r\nrest";
    assert!(body.trailers().is_empty());
    assert_eq!(decode(&mut body, input), Ok((Vec::new(), input.len() - 4, true)));
    let fields: Vec<_> = body.trailers().iter().collect();
    assert_eq!(fields, [(&b"X-Sum"[..], &b"1"[..]), (b"x-sum", b"2")]);
    assert_eq!(body.trailers().first(b"X-SUM"), Some(&b"1"[..]));
    assert_eq!(body.remaining(), Some(0));
}

#[test]
fn trailers_are_checked_as_strictly_as_headers() {
    rejected("0\r\nA: b\nB: c\r\n\r\n", Reject::BareLf);
    rejected("0\r\n\n", Reject::BareLf);
    rejected("0\r\n\rX", Reject::BareCr);
    rejected("0\r\nA: b\rc\r\n\r\n", Reject::BareCr);
    rejected("0\r\nA: b\r\n c\r\n\r\n", Reject::Fold);
    rejected("0\r\n A: b\r\n\r\n", Reject::Fold);
    rejected("0\r\nA : b\r\n\r\n", Reject::SpaceBeforeColon);
    rejected("0\r\nA\r\n\r\n", Reject::FieldName);
    rejected("0\r\n: b\r\n\r\n", Reject::FieldName);
    rejected("0\r\nA: \0\r\n\r\n", Reject::Nul);
    accepted("0\r\nA: b\r\nB:c\r\n\r\n", "");
}

#[test]
fn trailers_are_bounded_in_bytes_and_count() {
    let limits = Limits::default();
    let fits = format!("0\r\nA: {}\r\n\r\n", "b".repeat(limits.trailer_bytes - 7));
    accepted(&fits, "");
    rejected(format!("0\r\nA: {}\r\n\r\n", "b".repeat(limits.trailer_bytes - 6)), Reject::TrailersTooLong);
    rejected(format!("0\r\nA: {}", "b".repeat(limits.trailer_bytes)), Reject::TrailersTooLong);
    accepted(format!("0\r\n{}\r\n", "a: b\r\n".repeat(limits.headers)), "");
    rejected(format!("0\r\n{}\r\n", "a: b\r\n".repeat(limits.headers + 1)), Reject::TooManyHeaders);
}

#[test]
fn a_body_with_a_length_takes_exactly_that_many_bytes() {
    let mut body = Body::new(Framing::Length(5), &Limits::default());
    assert_eq!(body.decode(b""), Ok(Step::NeedMore));
    assert_eq!(body.decode(b"ab"), Ok(Step::Data { consumed: 2, data: 0..2 }));
    assert_eq!((body.remaining(), body.is_done()), (Some(3), false));
    assert_eq!(body.decode(b"cdeGET"), Ok(Step::Data { consumed: 3, data: 0..3 }));
    assert!(body.is_done());
    assert_eq!(body.decode(b"GET"), Ok(Step::Done { consumed: 0 }));
    assert!(body.trailers().is_empty());
}

#[test]
fn an_empty_body_is_done_at_once() {
    for framing in [Framing::None, Framing::Length(0)] {
        let mut body = Body::new(framing, &Limits::default());
        assert!(framing.is_empty() && body.is_done());
        assert_eq!(body.decode(b"GET"), Ok(Step::Done { consumed: 0 }));
    }
    assert_eq!(chunked().remaining(), None);
}

#[test]
fn chunks_of_the_encoder_are_decoded() {
    let mut wire = Vec::new();
    let sizes = [1_usize, 9, 10, 15, 16, 17, 255, 256, 4095, 4096, 65_537];
    for size in sizes {
        encode::chunk(&mut wire, &vec![b'z'; size]);
    }
    encode::chunk(&mut wire, b"");
    wire.extend_from_slice(encode::LAST_CHUNK);
    accepted(&wire, &"z".repeat(sizes.iter().sum()));
}
