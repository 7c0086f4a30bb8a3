//! WebSocket clients: each echo must be correct or missing.

use std::{net::SocketAddr, sync::atomic::Ordering::SeqCst};

use tungstenite::{Error, Message, WebSocket, error::ProtocolError, protocol::Role};

use super::{
    clients::Tally,
    dice::Dice,
    wire::{Broken, Wire, broken},
};

pub(super) fn echo_messages(address: SocketAddr, dice: &mut Dice, tally: &Tally) -> Result<(), Broken> {
    let mut wire = Wire::connect(address);
    wire.send(
        "GET /demo/ws-echo HTTP/1.1\r\nHost: t\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    )?;
    let head = wire.until(b"\r\n\r\n")?;
    if head.starts_with("HTTP/1.1 400") || head.starts_with("HTTP/1.1 408") {
        tally.refused.fetch_add(1, SeqCst);
        return Ok(());
    }
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    let mut socket = WebSocket::from_raw_socket(wire.into_stream(), Role::Client, None);
    for _ in 0..=dice.below(12) {
        let text = dice.text(2000);
        socket.send(Message::text(text.as_str())).map_err(|error| expect_broken(&error))?;
        match socket.read().map_err(|error| expect_broken(&error))? {
            Message::Text(back) => assert_eq!(back.as_str(), text),
            // A cut of the proxy reaches the server as a FIN, which it answers with a Close.
            Message::Close(_) => return Err(Broken),
            other => panic!("unexpected message {other:?}"),
        }
        tally.correct.fetch_add(1, SeqCst);
    }
    Ok(())
}

/// Converts an I/O error or a missing Close into a broken connection; any other error fails the test.
fn expect_broken(error: &Error) -> Broken {
    match error {
        Error::Io(error) => broken(error),
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Broken,
        other => panic!("{other}"),
    }
}
