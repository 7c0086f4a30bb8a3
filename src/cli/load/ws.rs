//! WebSocket messages that must come back, one at a time on each connection.

use std::{rc::Rc, time::Instant};

use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout_at};

use super::{
    connect::{broken, connect, receive},
    events::filled,
    run::{Load, RECOVERY},
};
use crate::client::{
    fault::{Fault, Kind},
    response,
};
use windlass::proto::ws::{Event, Limits, Outgoing, Role, Scratch, Session, handshake};

/// The key of every handshake: it guards against caches (RFC 6455 §10.3), of which there are none here.
const KEY: &str = "d2luZGxhc3MgbG9hZC4uLg==";

/// Sends whenever something is due, on a connection that is opened again when it is lost.
pub(super) async fn echo(load: Rc<Load>) {
    let mut socket = None;
    let mut number = 0;
    while let Some(due) = load.gate.next().await {
        let deadline = load.deadline(due);
        if deadline <= Instant::now() {
            load.unsent();
            continue;
        }
        number += 1;
        let text = filled(&format!("{number:016x}"), load.plan.traffic.event_bytes);
        let echoed = timeout_at(deadline.into(), exchange(&load, &mut socket, &text)).await;
        if !load.account(due, echoed.unwrap_or_else(|_| Err(Load::late())).map(|()| 200)) {
            socket = None;
            tokio::time::sleep(RECOVERY).await;
        }
    }
}

async fn exchange(load: &Load, socket: &mut Option<Socket>, text: &str) -> Result<(), Fault> {
    let socket = match socket {
        Some(socket) => socket,
        None => socket.insert(Socket::open(load).await?),
    };
    socket.echo(text).await
}

struct Socket {
    stream: TcpStream,
    session: Session,
    scratch: Scratch,
    input: Vec<u8>,
    out: Vec<u8>,
}

impl Socket {
    async fn open(load: &Load) -> Result<Self, Fault> {
        let mut stream = connect(load.plan.target.address).await?;
        let (path, host) = (&load.plan.traffic.ws_path, &load.plan.target.authority);
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {host}\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: {KEY}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.map_err(|error| broken(&error))?;
        let accept = handshake::accept_key(KEY.as_bytes()).unwrap_or_default();
        let mut input = Vec::new();
        let taken = loop {
            receive(&mut stream, &mut input).await?;
            if let Some(taken) = response::parse_handshake(&input, &accept)? {
                break taken;
            }
        };
        input.drain(..taken);
        let session = Session::new(Role::Client { key: random_key }, Limits::default());
        Ok(Self { stream, session, scratch: Scratch::default(), input, out: Vec::new() })
    }

    /// Sends a text and waits until it is back; pings that come before it are answered.
    async fn echo(&mut self, text: &str) -> Result<(), Fault> {
        let closed = |_| Fault::new(Kind::Closed, "the server closed the WebSocket");
        self.session.send(&mut self.out, Outgoing::Text(text), &mut self.scratch).map_err(closed)?;
        loop {
            self.flush().await?;
            if self.take(text)? {
                return Ok(());
            }
            self.flush().await?;
            receive(&mut self.stream, &mut self.input).await?;
        }
    }

    async fn flush(&mut self) -> Result<(), Fault> {
        self.stream.write_all(&self.out).await.map_err(|error| broken(&error))?;
        self.out.clear();
        Ok(())
    }

    /// Takes all of the input; says whether the text was in it.
    fn take(&mut self, text: &str) -> Result<bool, Fault> {
        let mut is_back = false;
        let mut rest = self.input.as_slice();
        loop {
            let event = self.session.receive(&mut rest, &mut self.scratch);
            match event.map_err(|fault| Fault::new(Kind::Malformed, format_args!("{fault:?}")))? {
                None => break,
                Some(Event::Text(back)) if *back == text && !is_back => is_back = true,
                Some(Event::Text(_) | Event::Binary(_)) => {
                    return Err(Fault::new(Kind::Body, "another message than was sent came back"));
                }
                Some(Event::Close(close)) => {
                    let detail = format_args!("the server closed the WebSocket with {:?}", close.code);
                    return Err(Fault::new(Kind::Closed, detail));
                }
                Some(Event::Ping(_) | Event::Pong(_)) => {}
            }
            self.session.reply(&mut self.out);
        }
        self.input.clear();
        Ok(is_back)
    }
}

/// Makes the key that masks a frame. One that cannot be random is zero: what we send is no secret and no attack.
fn random_key() -> [u8; 4] {
    let mut key = [0; 4];
    let _ = rustix::rand::getrandom(&mut key, rustix::rand::GetRandomFlags::empty());
    key
}
