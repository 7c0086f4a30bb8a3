//! HTTP/2 connections with the requests of common clients.

use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use windlass::proto::h2::{Connection, Context, Event, Head, Image, Limits, hpack::Decoder};

use super::http::DATE;

/// Fields of a load generator. Its first header block adds them to the table, and later ones refer to the
/// table.
const LOAD: &[(&str, &str)] = &[
    (":path", "/demo/plaintext"),
    (":authority", "127.0.0.1:8080"),
    ("user-agent", "h2load nghttp2/1.52.0"),
];

/// Fields of a browser's request, without pseudo-header fields.
const BROWSER: &[(&str, &str)] = &[
    ("sec-ch-ua", "\"Chromium\";v=\"130\", \"Google Chrome\";v=\"130\", \"Not?A_Brand\";v=\"99\""),
    ("sec-ch-ua-mobile", "?0"),
    ("sec-ch-ua-platform", "\"Linux\""),
    ("upgrade-insecure-requests", "1"),
    (
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 \
            Safari/537.36",
    ),
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"),
    ("sec-fetch-site", "same-origin"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-dest", "document"),
    ("referer", "https://shop.example.com/"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("accept-language", "en-GB,en;q=0.9,de;q=0.8"),
    ("cookie", "session=0123456789abcdef0123456789abcdef; theme=dark"),
    ("priority", "u=0, i"),
];

fn literal(block: &mut Vec<u8>, first: u8, name: &str, value: &str) {
    block.push(first);
    for text in [name, value] {
        let mut coded = Vec::new();
        windlass::proto::h2::hpack::huffman::encode(text.as_bytes(), &mut coded);
        let len = coded.len();
        if len < 127 {
            block.push(0x80 | len as u8);
        } else {
            block.extend([0xff, (len - 127) as u8]);
        }
        block.extend(coded);
    }
}

/// Returns the header block of a browser's request. All strings are Huffman-coded and no field is in the
/// table.
pub(crate) fn browser_block() -> Vec<u8> {
    let mut block = vec![0x82, 0x87];
    literal(&mut block, 0, ":path", "/shop/items/42?ref=home&utm_source=mail");
    literal(&mut block, 0, ":authority", "shop.example.com");
    BROWSER.iter().for_each(|(name, value)| literal(&mut block, 0, name, value));
    block
}

/// Decodes a header block `times` times with one decoder. Returns the number of valid field lines.
///
/// # Panics
///
/// If the block is invalid.
pub(crate) fn decode(block: &[u8], times: u64) -> usize {
    let (mut decoder, mut bytes) = (Decoder::default(), Vec::with_capacity(4096));
    let mut lines = 0;
    for _ in 0..times {
        bytes.clear();
        decoder.begin();
        let mut rest = std::hint::black_box(block);
        while let Some(line) = decoder.next(&mut rest, &mut bytes).expect("block should be valid") {
            lines += usize::from(line.verdict == windlass::proto::h2::field::Value::Valid);
        }
    }
    lines
}

/// Appends a frame.
pub(crate) fn frame(bytes: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    bytes.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
}

/// Connection whose peer refers to the table for every field it sends.
pub(crate) struct Served {
    connection: Connection,
    limits: Limits,
    now: Instant,
    head: Head,
    out: Vec<u8>,
    image: Image,
    /// Frames of the next requests.
    requests: Vec<u8>,
    stream: u32,
}

/// Number of requests in a batch.
pub(crate) const BATCH: u64 = 100;

impl Served {
    /// Creates a connection and processes the preface, the settings and the first request.
    ///
    /// # Panics
    ///
    /// If the image cannot be created.
    pub(crate) fn new() -> Self {
        let (limits, now, mut out) = (Limits::default(), Instant::now(), Vec::new());
        let connection = Connection::new(&limits, now, &mut out);
        let fields = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"))]);
        let image = Image::new(StatusCode::OK, &fields, Bytes::from_static(b"Hello, World!"))
            .expect("image should be created");
        let (head, requests) = (Head::default(), Vec::new());
        let mut served = Self { connection, limits, now, head, out, image, requests, stream: 1 };
        let mut input = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        frame(&mut input, 4, 0, 0, &[0, 4, 0x7f, 0xff, 0, 0]);
        frame(&mut input, 8, 0, 0, &[0x7f, 0xfe, 0, 0]);
        let mut block = vec![0x82, 0x86];
        LOAD.iter().for_each(|(name, value)| literal(&mut block, 0x40, name, value));
        frame(&mut input, 1, 5, 1, &block);
        served.requests = input;
        served.respond();
        served
    }

    /// Receives a batch of requests, answers them and returns their number.
    pub(crate) fn batch(&mut self) -> u64 {
        self.requests.clear();
        for _ in 0..BATCH {
            self.stream += 2;
            frame(&mut self.requests, 1, 5, self.stream, &[0x82, 0x86, 0xc0, 0xbf, 0xbe]);
        }
        // The window update of the peer returns the credit of the response bodies.
        frame(&mut self.requests, 8, 0, 0, &(BATCH as u32 * 13).to_be_bytes());
        self.respond()
    }

    fn respond(&mut self) -> u64 {
        self.out.clear();
        let mut answered = 0;
        let mut input = std::hint::black_box(&self.requests[..]);
        loop {
            let mut cx =
                Context { limits: &self.limits, now: self.now, head: &mut self.head, out: &mut self.out };
            let Some(event) = self.connection.next(&mut input, &mut cx) else { break };
            if let Event::Request { stream, .. } = event {
                std::hint::black_box(self.head.path());
                let rest = self.connection.image_out(stream, &self.image, false, DATE, &mut self.out);
                answered += u64::from(rest.is_none());
            }
        }
        self.connection.sent(self.out.len(), &self.limits);
        answered
    }
}
