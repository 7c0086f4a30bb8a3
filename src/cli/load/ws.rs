//! WebSocket messages that the server must echo, one at a time on each connection.

use std::{rc::Rc, time::Instant};

use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    time::{sleep, timeout_at},
};
use windlass::proto::ws::frame::Opcode;

use super::{
    connect::{connect, io_fault, receive},
    run::{RECOVERY, Run},
};
use crate::client::{
    fault::{Fault, Kind},
    frames, payload,
};

/// Sends a message whenever one is due. Opens the connection again after it was lost.
pub(super) async fn send_messages(run: Rc<Run>) {
    let mut socket = None;
    let mut message = payload::letters(run.plan.traffic.event_bytes as usize);
    let mut number = 0;
    while let Some(due) = run.gate.next().await {
        let deadline = run.deadline(due);
        if deadline <= Instant::now() {
            run.count_unsent();
            continue;
        }
        number += 1;
        message[..payload::DIGITS].copy_from_slice(&payload::digits(number));
        let echo = timeout_at(deadline.into(), echo(&run, &mut socket, &message, number)).await;
        if !run.count_response(due, echo.unwrap_or_else(|_| Err(Run::timed_out())).map(|()| 200)) {
            socket = None;
            sleep(RECOVERY).await;
        }
    }
}

async fn echo(run: &Run, socket: &mut Option<Socket>, message: &[u8], number: u64) -> Result<(), Fault> {
    let socket = match socket {
        Some(socket) => socket,
        None => socket.insert(Socket::open(run).await?),
    };
    socket.echo(message, number).await
}

struct Socket {
    stream: TcpStream,
    input: Vec<u8>,
    out: Vec<u8>,
}

impl Socket {
    async fn open(run: &Run) -> Result<Self, Fault> {
        let mut stream = connect(run.plan.target.address).await?;
        let request = frames::handshake(&run.plan.traffic.ws_path, &run.plan.target.authority);
        stream.write_all(&request).await.map_err(|error| io_fault(&error))?;
        let mut input = Vec::new();
        let used = loop {
            receive(&mut stream, &mut input).await?;
            if let Some(used) = frames::parse_handshake_response(&input)? {
                break used;
            }
        };
        input.drain(..used);
        Ok(Self { stream, input, out: Vec::new() })
    }

    /// Sends a text message and waits for its echo. Answers the pings before it.
    async fn echo(&mut self, message: &[u8], number: u64) -> Result<(), Fault> {
        frames::append(&mut self.out, Opcode::Text, [message, &[]], number);
        loop {
            self.stream.write_all(&self.out).await.map_err(|error| io_fault(&error))?;
            self.out.clear();
            receive(&mut self.stream, &mut self.input).await?;
            if let Some(echo) = frames::parse(&self.input, &mut self.out)? {
                if echo.opcode != Opcode::Text || *echo.payload != *message {
                    return Err(Fault::new(Kind::Body, "the echo differs from the message that was sent"));
                }
                let used = echo.used;
                self.input.drain(..used);
                return Ok(());
            }
        }
    }
}
