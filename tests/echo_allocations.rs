//! Counts allocations per WebSocket message: echoing an uncompressed one takes none on a warm connection.
//!
//! This is a separate test binary because it replaces the global allocator.
#![allow(clippy::unwrap_used)]

mod counting;

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use windlass::{EngineKind, Router, Server, actors::Cores, websocket, ws::Socket};

const MESSAGES: u64 = 1000;

/// Tolerated allocations that no message causes, such as a table of the process that grows.
const STRAY: u64 = 8;

const OPENING: &str = "GET /ws HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

async fn echo(mut socket: Socket) {
    while let Some(Ok(message)) = socket.recv().await {
        if socket.send(message).await.is_err() {
            return;
        }
    }
}

/// Builds a masked client frame with a payload of `len` bytes (at least 126) and a masking key of zero.
fn message(first: u8, len: u16) -> Vec<u8> {
    let mut frame = vec![first, 0xfe];
    frame.extend_from_slice(&len.to_be_bytes());
    frame.extend_from_slice(&[0; 4]);
    frame.resize(frame.len() + usize::from(len), b'x');
    frame
}

/// Counts the allocations of the whole process during `MESSAGES` echoes on a warm connection.
fn allocations(stream: &mut TcpStream, first: u8, len: u16) -> u64 {
    let request = message(first, len);
    let mut reply = vec![0; request.len() - 4];
    let mut round = || {
        stream.write_all(&request).unwrap();
        stream.read_exact(&mut reply).unwrap();
        assert!(reply[0] == first && reply.ends_with(b"x"));
    };
    (0..MESSAGES).for_each(|_| round());
    let before = counting::allocations();
    (0..MESSAGES).for_each(|_| round());
    counting::allocations() - before
}

fn measure(engine: EngineKind) {
    let builder = Server::builder().engine(engine).listen("127.0.0.1:0");
    let builder = builder.cores(Cores::Unpinned(1)).router(Router::new().route(websocket("/ws", echo)));
    let server = builder.start().unwrap();
    let mut stream = TcpStream::connect(server.tcp_address().unwrap()).unwrap();
    stream.write_all(OPENING.as_bytes()).unwrap();
    let mut head = [0; 4096];
    let count = stream.read(&mut head).unwrap();
    assert!(head[..count].starts_with(b"HTTP/1.1 101 ") && head[..count].ends_with(b"\r\n\r\n"));
    for (first, len) in [(0x81, 256), (0x82, 256), (0x82, 4096), (0x81, 32_768), (0x82, u16::MAX)] {
        let count = allocations(&mut stream, first, len);
        println!("{engine}: {count} allocations of {MESSAGES} echoes of {len} bytes");
        assert!(
            count <= STRAY,
            "echoes must not allocate: {count} allocations, {len} bytes, first byte {first:#x}"
        );
    }
}

/// Runs as a single test, because allocations of parallel tests would be counted too.
#[test]
fn an_echo_allocates_nothing() {
    if cfg!(feature = "io-uring") {
        measure(EngineKind::IoUring);
    }
    if cfg!(feature = "epoll") {
        measure(EngineKind::Epoll);
    }
}
