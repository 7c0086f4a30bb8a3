//! WebSockets of the binary: the chat demo, and publishing over a topic's socket.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use tungstenite::{Message, WebSocket, protocol::Role};

use crate::common::{Serving, TIMEOUT, eventually};

/// Opens a WebSocket with a handwritten handshake and tungstenite's framing.
fn open(address: SocketAddr, path: &str) -> WebSocket<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let fields = "Host: t\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                  Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(format!("GET {path} HTTP/1.1\r\n{fields}").as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", head.escape_ascii());
    WebSocket::from_raw_socket(stream, Role::Client, None)
}

fn text(socket: &mut WebSocket<TcpStream>) -> String {
    match socket.read().unwrap() {
        Message::Text(text) => text.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_chat_sends_each_line_and_the_member_count_to_everybody() {
    let serving = Serving::start(&[]);
    let (status, _, page) = serving.connect().get("/demo/ws");
    assert!(status == 200 && page.contains("/demo/chat"), "{page}");
    let mut ann = open(serving.address(), "/demo/chat");
    assert_eq!(text(&mut ann), "1");
    let mut bob = open(serving.address(), "/demo/chat");
    assert_eq!([text(&mut ann), text(&mut bob)], ["2", "2"]);
    let line = r#"{"name":"ann","text":"hello"}"#;
    ann.send(Message::text(line)).unwrap();
    assert_eq!([text(&mut ann), text(&mut bob)], [line, line]);
    drop(ann);
    assert_eq!(text(&mut bob), "1", "a member that disconnects must be removed");
    eventually("the metric shows one member", || {
        serving.connect().get("/metrics").2.contains("windlass_hub_members 1\n")
    });
}

#[test]
fn ws_publish_lets_clients_publish_over_a_topics_socket() {
    let serving = Serving::start(&["--ws-publish", "--publish-token", "secret"]);
    let mut publisher = open(serving.address(), "/topics/t?publish_token=secret");
    publisher.send(Message::text("hello")).unwrap();
    assert!(text(&mut publisher).ends_with(r#""data":"hello"}"#));
    let mut late = open(serving.address(), "/topics/t?last_event_id=earliest");
    assert!(text(&mut late).contains("hello"));

    let serving = Serving::start(&[]);
    let mut publisher = open(serving.address(), "/topics/t");
    publisher.send(Message::text("hello")).unwrap();
    match publisher.read().unwrap() {
        Message::Close(Some(frame)) => assert_eq!(u16::from(frame.code), 1008),
        other => panic!("{other:?}"),
    }
}
