//! The hot path of HTTP/1.1 beside its lower bounds: bare httparse for parsing, a copy of the bytes for
//! encoding.
//!
//! `cargo bench --bench proto`

mod inputs;

use std::{hint::black_box, mem::MaybeUninit};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use inputs::http::{BROWSER, DATE, WRK};
use windlass::proto::h1::{
    Body, Exchange, Framing, Head, Image, Length, Limits, Search, Step, encode, parse,
};

fn parsing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    let limits = Limits::default();
    for (name, input) in [("wrk", WRK), ("browser", BROWSER)] {
        let (mut search, mut head) = (Search::default(), Head::default());
        group.throughput(Throughput::Bytes(input.len() as u64));
        group.bench_function(BenchmarkId::new("windlass", name), |bencher| {
            bencher.iter(|| parse(black_box(input), &mut search, &limits, &mut head));
        });
        group.bench_function(BenchmarkId::new("windlass in two pieces", name), |bencher| {
            bencher.iter(|| {
                let first = parse(black_box(&input[..input.len() / 2]), &mut search, &limits, &mut head);
                (first, parse(black_box(input), &mut search, &limits, &mut head))
            });
        });
        group.bench_function(BenchmarkId::new("bare httparse", name), |bencher| {
            bencher.iter(|| {
                let mut storage = [const { MaybeUninit::uninit() }; 100];
                let mut request = httparse::Request::new(&mut []);
                black_box(request.parse_with_uninit_headers(black_box(input), &mut storage)).is_ok()
            });
        });
    }
    group.finish();
}

fn encoding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    let body = Bytes::from_static(b"Hello, World!");
    let image = Image::new(StatusCode::OK, &headers, body.clone());
    let mut head = Head::default();
    let parsed = parse(WRK, &mut Search::default(), &Limits::default(), &mut head);
    assert_eq!(parsed, Ok(Some(WRK.len())));
    let exchange = Exchange::new(&head);
    let mut out = Vec::with_capacity(4096);
    group.bench_function("head and body", |bencher| {
        bencher.iter(|| {
            out.clear();
            encode::head(&mut out, exchange, StatusCode::OK, Length::Known(13), black_box(&headers), DATE);
            out.extend_from_slice(&body);
        });
    });
    group.bench_function("image", |bencher| {
        bencher.iter(|| {
            out.clear();
            image.write(&mut out, black_box(exchange), DATE)
        });
    });
    let wire = out.clone();
    group.bench_function("copy of the same bytes", |bencher| {
        bencher.iter(|| {
            out.clear();
            out.extend_from_slice(black_box(&wire));
        });
    });
    group.finish();
}

fn decoding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode 64 KiB");
    let data = vec![b'x'; 64 * 1024];
    group.throughput(Throughput::Bytes(data.len() as u64));
    for size in [16, 1024, 16 * 1024] {
        let mut wire = Vec::new();
        data.chunks(size).for_each(|chunk| encode::chunk(&mut wire, chunk));
        wire.extend_from_slice(encode::LAST_CHUNK);
        group.bench_function(BenchmarkId::new("chunks of", size), |bencher| {
            bencher.iter(|| {
                let mut body = Body::new(Framing::Chunked, &Limits::default());
                let (mut at, mut sum) = (0, 0);
                while let Ok(Step::Data { consumed, data }) = body.decode(black_box(&wire[at..])) {
                    at += consumed;
                    sum += data.len();
                }
                assert!(body.is_done());
                sum
            });
        });
    }
    group.finish();
}

criterion_group!(benches, parsing, encoding, decoding);
criterion_main!(benches);
