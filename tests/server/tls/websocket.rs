//! WebSocket over TLS: an independent client, and frames split over records.

use std::time::Duration;

use rustls::{ClientConnection, StreamOwned};

use super::TlsServer;
use crate::{
    common::Reply,
    ws::{
        peer::{TEXT, assert_opened, close, echoes, frame, opening},
        tungstenite::exchange_messages,
    },
};

fn start() -> TlsServer {
    TlsServer::with(|builder| builder.router(echoes()))
}

#[test]
fn tungstenite_opens_echoes_and_closes_over_tls() {
    let served = start();
    let client = served.client();
    client.stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let stream: StreamOwned<ClientConnection, _> = StreamOwned::new(client.tls, client.stream);
    exchange_messages("wss://localhost/ws", stream);
}

#[test]
fn one_byte_per_record_carries_a_handshake_a_message_and_a_close() {
    let served = start();
    let mut client = served.client();
    for byte in [opening("/ws", "").into_bytes(), frame(TEXT, "cut"), close(1000)].concat() {
        client.send([byte]);
    }
    let reply: Reply = client.reply();
    assert_opened(&reply);
    assert_eq!(client.read_to_end(), b"\x81\x03cut\x88\x02\x03\xe8");
    assert!(client.is_told_the_end(), "the Close must be followed by close_notify");
}

#[test]
fn a_message_of_many_records_is_echoed_completely() {
    let served = start();
    let mut client = served.client();
    let text = "a text of more than one record ".repeat(2000);
    client.send([opening("/ws", "").into_bytes(), frame(TEXT, &text), close(1000)].concat());
    assert_opened(&client.reply());
    let rest = client.read_to_end();
    assert_eq!(rest.len(), 4 + text.len() + 4);
    assert_eq!(rest[..4], [&[TEXT, 126][..], &(text.len() as u16).to_be_bytes()].concat());
    assert!(&rest[4..4 + text.len()] == text.as_bytes());
}
