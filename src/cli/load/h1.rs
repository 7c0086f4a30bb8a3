//! Requests over HTTP/1.1, one at a time on each connection.

use std::{net::SocketAddr, rc::Rc, time::Instant};

use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    time::{sleep, timeout_at},
};

use super::{
    connect::{connect, io_fault, receive},
    run::{RECOVERY, Run},
};
use crate::client::{
    fault::{Fault, Kind},
    response,
};

/// Sends a request whenever one is due.
pub(super) async fn send_requests(run: Rc<Run>) {
    let target = &run.plan.target;
    let request = format!("GET {} HTTP/1.1\r\nhost: {}\r\n\r\n", target.path, target.authority).into_bytes();
    let mut connection = Connection::new(target.address);
    while let Some(due) = run.gate.next().await {
        let deadline = run.deadline(due);
        if deadline <= Instant::now() {
            run.count_unsent();
            continue;
        }
        let response = timeout_at(deadline.into(), connection.request(&request)).await;
        let passed = run.count_response(due, response.unwrap_or_else(|_| Err(Run::timed_out())));
        let reconnects = std::mem::take(&mut connection.reconnects);
        run.tally.update(|totals| totals.reconnects += reconnects);
        if !passed {
            sleep(RECOVERY).await;
        }
    }
}

/// Connection that is opened for the first request, and again after it was lost.
pub(super) struct Connection {
    address: SocketAddr,
    open: Option<Open>,
    /// Number of times that the server closed the connection while it was idle.
    pub(super) reconnects: u64,
}

struct Open {
    stream: TcpStream,
    input: Vec<u8>,
    /// The connection has carried a response.
    is_used: bool,
}

impl Connection {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { address, open: None, reconnects: 0 }
    }

    /// Sends a request and returns the status of the response.
    ///
    /// The server may have closed the connection while it was idle. Then the request is sent once more, on
    /// another connection (RFC 9112 §9.3.1).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    pub(super) async fn request(&mut self, request: &[u8]) -> Result<u16, Fault> {
        if let Some(mut open) = self.open.take().filter(|open| open.is_used) {
            match open.exchange(request).await {
                Err(fault) if open.input.is_empty() && matches!(fault.kind, Kind::Closed | Kind::Io) => {
                    self.reconnects += 1;
                }
                response => return self.keep(open, response),
            }
        }
        let stream = connect(self.address).await?;
        let mut open = Open { stream, input: Vec::new(), is_used: false };
        let response = open.exchange(request).await;
        self.keep(open, response)
    }

    fn keep(&mut self, mut open: Open, response: Result<(u16, bool), Fault>) -> Result<u16, Fault> {
        let (status, closes) = response?;
        open.is_used = true;
        self.open = (!closes).then_some(open);
        Ok(status)
    }
}

impl Open {
    /// Returns the status, and `true` if the server will close the connection.
    async fn exchange(&mut self, request: &[u8]) -> Result<(u16, bool), Fault> {
        self.stream.write_all(request).await.map_err(|error| io_fault(&error))?;
        loop {
            receive(&mut self.stream, &mut self.input).await?;
            if let Some(response) = response::parse(&self.input)? {
                if response.len != self.input.len() {
                    return Err(Fault::new(Kind::Unsolicited, "server sent bytes after the response"));
                }
                let result = (response.status, response.closes);
                self.input.clear();
                return Ok(result);
            }
        }
    }
}
