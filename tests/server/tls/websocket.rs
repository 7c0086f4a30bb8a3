//! WebSocket behind TLS: a foreign client, and frames that records cut.

use std::time::Duration;

use rustls::{ClientConnection, StreamOwned};

use super::Served;
use crate::{
    common::Reply,
    ws::{
        peer::{TEXT, assert_opened, close, echoes, frame, opening},
        tungstenite::converse,
    },
};

fn served() -> Served {
    Served::with(|builder| builder.router(echoes()))
}

#[test]
fn a_foreign_client_opens_converses_and_closes_over_tls() {
    let served = served();
    let client = served.client();
    client.stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let stream: StreamOwned<ClientConnection, _> = StreamOwned::new(client.tls, client.stream);
    converse("wss://localhost/ws", stream);
}

#[test]
fn a_byte_a_record_is_a_handshake_a_message_and_a_close() {
    let served = served();
    let mut client = served.client();
    for byte in [opening("/ws", "").into_bytes(), frame(TEXT, "cut"), close(1000)].concat() {
        client.send([byte]);
    }
    let reply: Reply = client.reply();
    assert_opened(&reply);
    assert_eq!(client.read_to_end(), b"\x81\x03cut\x88\x02\x03\xe8");
    assert!(client.is_told_the_end(), "no close_notify followed the Close");
}

#[test]
fn a_message_of_many_records_comes_back_whole() {
    let served = served();
    let mut client = served.client();
    let text = "a text of more than one record ".repeat(2000);
    client.send([opening("/ws", "").into_bytes(), frame(TEXT, &text), close(1000)].concat());
    assert_opened(&client.reply());
    let rest = client.read_to_end();
    assert_eq!(rest.len(), 4 + text.len() + 4);
    assert_eq!(rest[..4], [&[TEXT, 126][..], &(text.len() as u16).to_be_bytes()].concat());
    assert!(&rest[4..4 + text.len()] == text.as_bytes());
}
