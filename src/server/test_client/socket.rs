//! A WebSocket of the test client.

use std::{collections::VecDeque, fmt};

use super::{TestClient, TestConnection};
use crate::{
    proto::ws::{Event, Limits, Role, Scratch, Session},
    ws::{CloseFrame, Message},
};

/// Key of the handshake. Tests need no random one.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// A WebSocket from the client's side, without compression. Dropping it resets the connection.
pub struct TestSocket {
    connection: TestConnection,
    session: Session,
    scratch: Scratch,
    /// Messages that were received together with an earlier one.
    received: VecDeque<Message>,
    close: Option<CloseFrame>,
}

impl TestClient {
    /// Opens a WebSocket over HTTP/1.1. Requires the feature `ws`.
    ///
    /// ```
    /// use windlass::{Router, TestClient, websocket, ws::{Message, Socket}};
    ///
    /// let shout = async |mut socket: Socket| {
    ///     while let Some(Ok(message)) = socket.recv().await {
    ///         let _ = socket.send(message.as_text().unwrap_or_default().to_uppercase()).await;
    ///     }
    /// };
    /// let client = TestClient::new(Router::new().route(websocket("/shout", shout)))?;
    /// let mut socket = client.websocket("/shout");
    /// socket.send("hello");
    /// assert_eq!(socket.recv(), Some(Message::Text("HELLO".to_owned())));
    /// # Ok::<(), windlass::StartError>(())
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if the server refuses the handshake, or does not answer within 10 s.
    #[track_caller]
    pub fn websocket(&self, path: &str) -> TestSocket {
        let mut connection = self.connect();
        connection.send(format!(
            "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
        ));
        let head = connection.until("\r\n\r\n");
        assert!(head.starts_with(b"HTTP/1.1 101 "), "no WebSocket at {path}: {}", head.escape_ascii());
        let role = Role::Client { key: || [0x5a, 0xa5, 0x0f, 0xf0] };
        TestSocket {
            connection,
            session: Session::new(role, Limits { message_bytes: usize::MAX / 4 }),
            scratch: Scratch::default(),
            received: VecDeque::new(),
            close: None,
        }
    }
}

impl TestSocket {
    /// Sends a text message, and runs the server until it is idle.
    ///
    /// # Panics
    ///
    /// Panics if the socket is closing.
    #[track_caller]
    pub fn send(&mut self, text: impl Into<String>) {
        self.send_message(&Message::Text(text.into()));
    }

    /// Sends a message, and runs the server until it is idle.
    ///
    /// # Panics
    ///
    /// Panics if the socket is closing.
    #[track_caller]
    pub fn send_message(&mut self, message: &Message) {
        use crate::proto::ws::Outgoing;
        let message = match message {
            Message::Text(text) => Outgoing::Text(text),
            Message::Binary(bytes) => Outgoing::Binary(bytes),
        };
        let mut out = Vec::new();
        let sent = self.session.send(&mut out, message, &mut self.scratch);
        assert!(sent.is_ok(), "the socket is closing: {:?}", self.close);
        self.connection.send(out);
    }

    /// Waits for the next message. Returns `None` once the server has closed the socket.
    ///
    /// # Panics
    ///
    /// Panics if neither happens within 10 s, or if the server violates the protocol.
    #[track_caller]
    pub fn recv(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.received.pop_front() {
                return Some(message);
            }
            if self.close.is_some() {
                return None;
            }
            let bytes = self.connection.next_bytes()?;
            self.read(&bytes);
        }
    }

    /// Closes the socket with code 1000 and waits for the server's answer. Messages that arrive meanwhile are
    /// discarded.
    ///
    /// # Panics
    ///
    /// As [`recv`](Self::recv).
    #[track_caller]
    pub fn close(mut self) {
        let mut out = Vec::new();
        if self.session.close(&mut out, crate::ws::Code::NORMAL, "").is_ok() {
            self.connection.send(out);
        }
        while self.recv().is_some() {}
    }

    /// Returns the server's Close frame, once [`recv`](Self::recv) has read it, otherwise `None`. Messages
    /// that came before it may still wait for `recv`.
    pub fn close_frame(&self) -> Option<&CloseFrame> {
        self.close.as_ref()
    }

    /// Passes bytes of the server to the session, and keeps its messages.
    #[track_caller]
    fn read(&mut self, mut bytes: &[u8]) {
        loop {
            match self.session.receive(&mut bytes, &mut self.scratch) {
                Ok(None) => break,
                Ok(Some(Event::Text(text))) => self.received.push_back(Message::Text(std::mem::take(text))),
                Ok(Some(Event::Binary(data))) => {
                    self.received.push_back(Message::Binary(std::mem::take(data)));
                }
                Ok(Some(Event::Close(close))) => {
                    self.close = Some(CloseFrame { code: close.code, reason: close.reason.to_owned() });
                }
                Ok(Some(Event::Ping(_) | Event::Pong(_))) => {}
                Err(fault) => panic!("the server violates the WebSocket protocol: {fault:?}"),
            }
        }
        let mut out = Vec::new();
        self.session.reply(&mut out);
        if !out.is_empty() {
            self.connection.send(out);
        }
    }
}

impl fmt::Debug for TestSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestSocket").field("close", &self.close).finish_non_exhaustive()
    }
}
