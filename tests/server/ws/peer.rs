//! A WebSocket client that builds and parses frames byte by byte.

use std::net::SocketAddr;

use windlass::{
    Router, Server, websocket, websocket_with,
    ws::{Deflate, Settings, Socket},
};

use crate::common::{Peer, Reply, address};

pub(crate) const TEXT: u8 = 0x81;
pub(crate) const BINARY: u8 = 0x82;
pub(crate) const CLOSE: u8 = 0x88;
pub(crate) const PING: u8 = 0x89;
pub(crate) const PONG: u8 = 0x8a;

/// A handler that echoes every message.
pub(crate) async fn echo(mut socket: Socket) {
    while let Some(Ok(message)) = socket.recv().await {
        if socket.send(message).await.is_err() {
            return;
        }
    }
}

/// Serves an echo at `/ws`, and a compressed one at `/deflate`.
pub(crate) fn echoes() -> Router {
    let deflate = Settings::new().compression(Deflate { threshold_bytes: 0, ..Deflate::default() });
    Router::new().route(websocket("/ws", echo)).route(websocket_with("/deflate", deflate, echo))
}

/// Builds a handshake request with additional header lines.
pub(crate) fn opening(path: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    )
}

/// Asserts that the handshake succeeded.
#[track_caller]
pub(crate) fn assert_opened(reply: &Reply) {
    assert_eq!(reply.status, 101, "{}", reply.text());
    assert_eq!(reply.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(reply.header("upgrade"), Some("websocket"));
    assert_eq!(reply.header("connection"), Some("Upgrade"));
}

/// Opens a WebSocket.
#[track_caller]
pub(crate) fn open(server: &Server, path: &str) -> Peer {
    open_at(address(server), path, "")
}

/// Opens a WebSocket with additional header lines.
#[track_caller]
pub(crate) fn open_at(address: SocketAddr, path: &str, more: &str) -> Peer {
    let mut peer = Peer::connect(address);
    peer.send(opening(path, more));
    assert_opened(&peer.reply());
    peer
}

/// Builds a masked client frame; `first` is its first byte.
pub(crate) fn frame(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let payload = payload.as_ref();
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..=125 => frame.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&KEY);
    frame.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// Reads a server frame: its first byte and its payload.
#[track_caller]
pub(crate) fn read(peer: &mut Peer) -> (u8, Vec<u8>) {
    let head = peer.exactly(2);
    let len = match head[1] {
        len @ 0..=125 => usize::from(len),
        126 => usize::from(u16::from_be_bytes(peer.exactly(2).try_into().unwrap())),
        127 => u64::from_be_bytes(peer.exactly(8).try_into().unwrap()) as usize,
        masked => panic!("a server frame must not be masked: {masked:#x}"),
    };
    (head[0], peer.exactly(len))
}

/// Reads a text message.
#[track_caller]
pub(crate) fn read_text(peer: &mut Peer) -> String {
    let (first, payload) = read(peer);
    assert_eq!(first, TEXT);
    String::from_utf8(payload).unwrap()
}

/// Reads a Close and returns its code.
#[track_caller]
pub(crate) fn read_close(peer: &mut Peer) -> u16 {
    let (first, payload) = read(peer);
    assert_eq!(first, CLOSE, "{}", payload.escape_ascii());
    u16::from_be_bytes(payload[..2].try_into().unwrap())
}

/// Builds a Close frame.
pub(crate) fn close(code: u16) -> Vec<u8> {
    frame(CLOSE, code.to_be_bytes())
}
