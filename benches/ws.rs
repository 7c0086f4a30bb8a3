//! WebSocket without sockets, beside tungstenite over memory and a copy of the bytes.
//!
//! `cargo bench --bench ws`

use std::{
    hint::black_box,
    io::{self, Read, Write},
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tungstenite::{Message, WebSocket, protocol::Role as TungsteniteRole};
use windlass::proto::ws::{
    Event, Limits, Mask, Outgoing, Prepared, Role, Scratch, Session,
    deflate::{Context, Deflater, Direction, Inflater, Params, Settings},
    frame::{Header, Opcode},
};

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
/// Size of a session's receive buffer.
const RECEIVED_BYTES: usize = 8 * 1024;
/// Messages of one measured batch.
const BATCH: usize = 32;

/// Returns JSON of at most `len` bytes, mostly ASCII.
fn json(len: usize) -> String {
    let mut text = String::new();
    let mut id = 0_u32;
    while text.len() < len {
        id += 1;
        text += &format!(
            r#"{{"id":{id},"name":"Zoë {}","price":{}.5,"ok":{}}},"#,
            id * 7919 % 1000,
            id % 97,
            id.is_multiple_of(3)
        );
    }
    text.truncate(text.floor_char_boundary(len));
    text
}

fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    Header { key: Some(KEY), ..Header::new(opcode, payload.len()) }.append_frame(&mut wire, payload);
    wire
}

/// Endless stream that repeats `wire` and discards everything written to it.
struct Replay {
    wire: Vec<u8>,
    at: usize,
}

impl Read for Replay {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.wire.len() {
            self.at = 0;
        }
        let len = buffer.len().min(self.wire.len() - self.at).min(RECEIVED_BYTES);
        buffer[..len].copy_from_slice(&self.wire[self.at..self.at + len]);
        self.at += len;
        Ok(len)
    }
}

impl Write for Replay {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(black_box(bytes).len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn masking(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("unmask and copy");
    for len in [20, 256, 8192] {
        let bytes = vec![b'x'; len];
        let mut out = Vec::with_capacity(len);
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(BenchmarkId::new("windlass", len), |bencher| {
            bencher.iter(|| {
                out.clear();
                Mask::new(KEY).append(&mut out, black_box(&bytes));
            });
        });
        group.bench_function(BenchmarkId::new("byte by byte", len), |bencher| {
            bencher.iter(|| {
                out.clear();
                out.extend(black_box(&bytes).iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
            });
        });
        group.bench_function(BenchmarkId::new("bare copy", len), |bencher| {
            bencher.iter(|| {
                out.clear();
                out.extend_from_slice(black_box(&bytes));
            });
        });
    }
    group.finish();
}

/// Measures echoing a batch of messages of one size. The reported time covers the whole batch.
fn echo(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("echo");
    for (name, opcode, len) in
        [("text", Opcode::Text, 256), ("text", Opcode::Text, 65_536), ("binary", Opcode::Binary, 65_536)]
    {
        let text = json(len);
        let batch = if len > 1024 { 4 } else { BATCH };
        let wire = frame(opcode, text.as_bytes()).repeat(batch);
        group.throughput(Throughput::Elements(batch as u64));
        group.bench_function(BenchmarkId::new(format!("windlass {name}"), len), |bencher| {
            let mut session = Session::new(Role::Server, Limits::default());
            let (mut scratch, mut out) = (Scratch::default(), Vec::new());
            bencher.iter(|| {
                for mut piece in black_box(&wire).chunks(RECEIVED_BYTES) {
                    echo_events(&mut session, &mut piece, &mut scratch, &mut out);
                    black_box(&out);
                    out.clear();
                }
            });
        });
        group.bench_function(BenchmarkId::new(format!("tungstenite {name}"), len), |bencher| {
            let replay = Replay { wire: wire.clone(), at: 0 };
            let mut socket = WebSocket::from_raw_socket(replay, TungsteniteRole::Server, None);
            bencher.iter(|| {
                for _ in 0..batch {
                    let message: Message = socket.read().expect("session should read a message");
                    socket.send(message).expect("session should send the echo");
                }
            });
        });
    }
    group.finish();
}

fn echo_events(session: &mut Session, piece: &mut &[u8], scratch: &mut Scratch, out: &mut Vec<u8>) {
    loop {
        match session.receive(piece, scratch) {
            Ok(Some(Event::Text(text))) => {
                let text = std::mem::take(text);
                session.send(out, Outgoing::Text(&text), scratch).expect("session should be open");
                scratch.recycle(text.into_bytes());
            }
            Ok(Some(Event::Binary(bytes))) => {
                let bytes = std::mem::take(bytes);
                session.send(out, Outgoing::Binary(&bytes), scratch).expect("session should be open");
                scratch.recycle(bytes);
            }
            _ => return,
        }
    }
}

fn compressing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("deflate");
    for len in [1024, 65_536] {
        let text = json(len);
        group.throughput(Throughput::Bytes(len as u64));
        let (mut out, mut inflated, mut wire) = (Vec::new(), Vec::new(), Vec::new());
        for level in [1, 2, 6] {
            let mut deflater = Deflater::new(level, 15);
            group.bench_function(BenchmarkId::new(format!("fresh, level {level}"), len), |bencher| {
                bencher.iter(|| {
                    out.clear();
                    deflater.reset();
                    deflater.deflate(black_box(text.as_bytes()), &mut out)
                });
            });
            println!("level {level}: {len} bytes become {}", out.len());
        }
        Deflater::new(2, 15).deflate(text.as_bytes(), &mut wire);
        let mut inflater = Inflater::new();
        group.bench_function(BenchmarkId::new("inflate", len), |bencher| {
            bencher.iter(|| {
                inflater.reset();
                inflater.inflate(black_box(&wire), &mut inflated, |piece| {
                    black_box(piece);
                    Ok(())
                })
            });
        });
    }
    group.finish();
}

/// Measures sending one message on many connections: with a frame of its own each, or with one shared frame.
fn broadcast(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("one message of 1 KiB to one of many");
    let direction = Direction { context: Context::Fresh, window_bits: 15 };
    let (params, settings) = (Params { server: direction, client: direction }, Settings::default());
    let text = json(1024);
    let (mut scratch, mut out) = (Scratch::default(), Vec::new());
    let prepared = Prepared::new(Outgoing::Text(&text)).with_deflate(&settings, &mut scratch);
    for (name, mut session) in [
        ("plain", Session::new(Role::Server, Limits::default())),
        ("deflate", Session::new(Role::Server, Limits::default()).with_deflate(params, &settings)),
    ] {
        group.bench_function(format!("{name}, own frame"), |bencher| {
            bencher.iter(|| {
                out.clear();
                session.send(&mut out, Outgoing::Text(black_box(&text)), &mut scratch)
            });
        });
        group.bench_function(format!("{name}, prepared"), |bencher| {
            bencher.iter(|| session.send_prepared(black_box(&prepared)));
        });
    }
    group.finish();
}

criterion_group!(benches, masking, echo, compressing, broadcast);
criterion_main!(benches);
