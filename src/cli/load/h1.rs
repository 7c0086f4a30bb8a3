//! Requests over HTTP/1.1, one at a time on each connection.

use std::{net::SocketAddr, rc::Rc, time::Instant};

use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout_at};

use super::{
    connect::{broken, connect, receive},
    run::{Load, RECOVERY},
};
use crate::client::{
    fault::{Fault, Kind},
    response,
};

/// A connection that is opened when there is something to send, and again when it is lost.
pub(super) struct Connection {
    address: SocketAddr,
    open: Option<Open>,
    /// Times that the server ended the connection in order.
    pub(super) reconnects: u64,
}

struct Open {
    stream: TcpStream,
    input: Vec<u8>,
    /// Whether it carried an answer.
    is_used: bool,
}

impl Connection {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { address, open: None, reconnects: 0 }
    }

    /// Asks and returns the status of the answer, whose framing has been checked.
    ///
    /// A connection that the server ended while nothing was owed may be found ended only now: then the request goes out
    /// on another (RFC 9112 §9.3.1), once.
    ///
    /// # Cancel safety
    ///
    /// Dropped while it waits, the connection is closed.
    pub(super) async fn ask(&mut self, request: &[u8]) -> Result<u16, Fault> {
        if let Some(mut open) = self.open.take().filter(|open| open.is_used) {
            match open.ask(request).await {
                Err(fault) if open.input.is_empty() && matches!(fault.kind, Kind::Closed | Kind::Io) => {
                    self.reconnects += 1;
                }
                answered => return self.keep(open, answered),
            }
        }
        let stream = connect(self.address).await?;
        let mut open = Open { stream, input: Vec::new(), is_used: false };
        let answered = open.ask(request).await;
        self.keep(open, answered)
    }

    fn keep(&mut self, mut open: Open, answered: Result<(u16, bool), Fault>) -> Result<u16, Fault> {
        let (status, closes) = answered?;
        open.is_used = true;
        self.open = (!closes).then_some(open);
        Ok(status)
    }
}

impl Open {
    /// Returns the status, and whether the server closes.
    async fn ask(&mut self, request: &[u8]) -> Result<(u16, bool), Fault> {
        self.stream.write_all(request).await.map_err(|error| broken(&error))?;
        loop {
            receive(&mut self.stream, &mut self.input).await?;
            if let Some(response) = response::parse(&self.input)? {
                if response.len != self.input.len() {
                    return Err(Fault::new(Kind::Unsolicited, "bytes after the response"));
                }
                let found = (response.status, response.closes);
                self.input.clear();
                return Ok(found);
            }
        }
    }
}

/// Asks whenever something is due.
pub(super) async fn ask(load: Rc<Load>) {
    let target = &load.plan.target;
    let request = format!("GET {} HTTP/1.1\r\nhost: {}\r\n\r\n", target.path, target.authority).into_bytes();
    let mut connection = Connection::new(target.address);
    while let Some(due) = load.gate.next().await {
        let deadline = load.deadline(due);
        if deadline <= Instant::now() {
            load.unsent();
            continue;
        }
        let answered = timeout_at(deadline.into(), connection.ask(&request)).await;
        let is_right = load.account(due, answered.unwrap_or_else(|_| Err(Load::late())));
        (0..std::mem::take(&mut connection.reconnects)).for_each(|_| load.tally.reconnected());
        if !is_right {
            tokio::time::sleep(RECOVERY).await;
        }
    }
}
