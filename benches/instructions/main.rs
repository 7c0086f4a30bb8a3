//! Runs one operation of the hot path a given number of times, for a tool that counts instructions.
//!
//! `instructions OPERATION TIMES`. Without arguments it runs each operation once and prints the names.
//! `scripts/instructions.sh` counts the instructions.

#[path = "../inputs/mod.rs"]
mod inputs;

use std::{env, hint::black_box, process::ExitCode};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use inputs::{
    events::{Over, Subscribed},
    http::{BROWSER, DATE, WRK},
    http2,
    labels::{self, Mix},
    pair::Pair,
    routes::{MISS, PARAMETERS, STATIC, router},
    subscribers::SubscriberShard,
};
use windlass::{
    actors::Host,
    proto::{
        h1::{Exchange, Head, Image, Length, Limits, Search, encode, parse},
        h2,
    },
};

type Operation = (&'static str, fn(u64));

const OPERATIONS: [Operation; 22] = [
    ("parse-wrk", |times| parse_heads(WRK, times)),
    ("parse-browser", |times| parse_heads(BROWSER, times)),
    ("encode-head", encode_heads),
    ("write-image", write_images),
    ("h2-decode-browser", decode_h2),
    ("h2-encode-head", encode_h2_heads),
    ("h2-request", serve_h2),
    ("h2-huffman-64", huffman),
    ("route-static", |times| look_up(STATIC.0, times)),
    ("route-two-parameters", |times| look_up(PARAMETERS.0, times)),
    ("route-miss", |times| look_up(MISS, times)),
    // `Host::Tokio` needs no io_uring, which the counting tool supports only in part.
    ("tell-within-shard", |times| Pair::start(Host::Tokio).tell_within(times)),
    ("deliver-within-shard", |times| SubscriberShard::start(Host::Tokio).deliver(times)),
    ("publish-among-10-labels", |times| labels::deliver(ONE.among(10, false), times)),
    ("publish-among-10000-labels", |times| labels::deliver(ONE.among(10_000, false), times)),
    ("publish-to-one-pattern", |times| labels::deliver(ONE.by_prefix(), times)),
    ("publish-among-10000-patterns", |times| labels::deliver(ONE.by_prefix().among(10_000, true), times)),
    ("deliver-to-1000-of-label", |times| labels::deliver(THOUSAND, times)),
    ("deliver-to-1000-of-pattern", |times| labels::deliver(THOUSAND.by_prefix(), times)),
    ("event-h1", |times| Subscribed::start(Over::Http1).deliver(times)),
    ("event-h2", |times| Subscribed::start(Over::Http2).deliver(times)),
    ("event-ws", |times| Subscribed::start(Over::WebSocket).deliver(times)),
];

/// One subscriber of a label.
const ONE: Mix = Mix::of_label(1);
/// Many subscribers of a label.
const THOUSAND: Mix = Mix::of_label(1000);

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let operation = match arguments.as_slice() {
        [name, times] => OPERATIONS.iter().find(|(known, _)| known == name).zip(times.parse().ok()),
        // `cargo bench` passes `--bench`.
        _ => {
            for (name, operation) in OPERATIONS {
                operation(1);
                println!("{name}");
            }
            return ExitCode::SUCCESS;
        }
    };
    let Some(((_, operation), times)) = operation else {
        eprintln!("usage: instructions OPERATION TIMES");
        return ExitCode::from(2);
    };
    operation(times);
    ExitCode::SUCCESS
}

fn parse_heads(input: &[u8], times: u64) {
    let (mut search, mut head, limits) = (Search::default(), Head::default(), Limits::default());
    for _ in 0..times {
        assert_eq!(parse(black_box(input), &mut search, &limits, &mut head), Ok(Some(input.len())));
    }
}

/// Returns the properties of wrk's request that a response depends on.
fn exchange() -> Exchange {
    let mut head = Head::default();
    let parsed = parse(WRK, &mut Search::default(), &Limits::default(), &mut head);
    assert_eq!(parsed, Ok(Some(WRK.len())));
    Exchange::new(&head)
}

fn headers() -> HeaderMap {
    HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"))])
}

fn encode_heads(times: u64) {
    let (exchange, headers, mut out) = (exchange(), headers(), Vec::with_capacity(4096));
    for _ in 0..times {
        out.clear();
        encode::head(
            &mut out,
            black_box(exchange),
            StatusCode::OK,
            Length::Known(13),
            black_box(&headers),
            DATE,
        );
    }
}

fn write_images(times: u64) {
    let image = Image::new(StatusCode::OK, &headers(), Bytes::from_static(b"Hello, World!"));
    let (exchange, mut out) = (exchange(), Vec::with_capacity(4096));
    for _ in 0..times {
        out.clear();
        black_box(image.write(&mut out, black_box(exchange), DATE));
    }
}

fn decode_h2(times: u64) {
    black_box(http2::decode(&http2::browser_block(), times));
}

fn encode_h2_heads(times: u64) {
    let (exchange, headers, mut out) = (h2::encode::Exchange::default(), headers(), Vec::with_capacity(4096));
    let plain = h2::hpack::encode::Strings::Plain;
    for _ in 0..times {
        out.clear();
        let length = Length::Known(13);
        h2::encode::head(
            &mut out,
            black_box(exchange),
            StatusCode::OK,
            length,
            black_box(&headers),
            DATE,
            plain,
        );
    }
}

/// Serves requests from bytes to bytes, a batch at a time.
fn serve_h2(times: u64) {
    let mut served = http2::Served::new();
    let mut answered = 0;
    while answered < times {
        answered += served.batch();
    }
}

/// Decodes a Huffman string of 64 characters.
fn huffman(times: u64) {
    let (mut coded, mut text) = (Vec::new(), Vec::with_capacity(256));
    h2::hpack::huffman::encode(
        b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like ",
        &mut coded,
    );
    for _ in 0..times {
        text.clear();
        assert_eq!(h2::hpack::huffman::decode(black_box(&coded), &mut text), Ok(()));
    }
}

fn look_up(path: &str, times: u64) {
    let table = router().compile().expect("routes should be valid");
    for _ in 0..times {
        black_box(table.find(black_box(&Method::GET), black_box(path)));
    }
}
