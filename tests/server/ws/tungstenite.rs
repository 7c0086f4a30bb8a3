//! WebSocket against tungstenite, an independent client.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use tungstenite::{
    Bytes, Error, Message, WebSocket, client,
    client::ClientRequestBuilder,
    protocol::{CloseFrame, frame::coding::CloseCode},
};
use windlass::{Router, websocket_with, ws::Settings};

use super::peer::{echo, echoes};
use crate::common::{TIMEOUT, address, start};

/// Connects to the echo at `url`, exchanges messages of many lengths, sends a PING, and closes.
#[track_caller]
pub(crate) fn exchange_messages<S: Read + Write + std::fmt::Debug>(url: &str, stream: S) {
    let (mut socket, response) = client(url, stream).unwrap();
    assert_eq!(response.status(), 101);
    for len in [0, 1, 125, 126, 4096, 65_535, 65_536, 300_000, 1_000_000] {
        let payload: Vec<u8> = (0..len).map(|n| b'a' + (n % 26) as u8).collect();
        let text = Message::text(String::from_utf8(payload.clone()).unwrap());
        for message in [Message::binary(payload), text] {
            socket.send(message.clone()).unwrap();
            assert!(socket.read().unwrap() == message, "{len} bytes");
        }
    }
    socket.send(Message::Ping(Bytes::from_static(b"there?"))).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Pong(Bytes::from_static(b"there?")));
    close(&mut socket);
}

/// Closes with a code that the server must echo before it ends the connection.
#[track_caller]
fn close<S: Read + Write>(socket: &mut WebSocket<S>) {
    let bye = CloseFrame { code: CloseCode::Library(4001), reason: "bye".into() };
    socket.close(Some(bye)).unwrap();
    let Message::Close(Some(answer)) = socket.read().unwrap() else { panic!("expected a Close") };
    assert_eq!(answer.code, CloseCode::Library(4001));
    assert!(matches!(socket.read(), Err(Error::ConnectionClosed)), "the connection must end cleanly");
}

fn connect(server: &windlass::Server) -> TcpStream {
    let stream = TcpStream::connect(address(server)).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream
}

#[test]
fn tungstenite_opens_echoes_and_closes() {
    let server = start(echoes());
    exchange_messages("ws://localhost/ws", connect(&server));
}

#[test]
fn tungstenite_gets_the_subprotocol_that_the_server_prefers() {
    let settings = Settings::new().subprotocols(["chat.v2", "chat.v1"]);
    let server = start(Router::new().route(websocket_with("/ws", settings, echo)));
    let request = ClientRequestBuilder::new("ws://localhost/ws".parse().unwrap());
    let request = request.with_sub_protocol("chat.v1").with_sub_protocol("chat.v2");
    let (_socket, response) = client(request, connect(&server)).unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "chat.v2");
}
