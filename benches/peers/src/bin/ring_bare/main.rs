//! Baseline server: one io_uring loop with multishot accept and receive, provided buffers and batched sends.
//!
//! It has no framework, no limits and no timeouts. The difference to another server on the same ring is that
//! server's own cost. An event of the topic is sent to all subscribers in one batch of sends that share the
//! bytes, see [`feed`]. With `--h2` it serves HTTP/2 without HPACK instead, see [`h2`].

mod feed;
mod h2;
mod ring;

use std::{
    io,
    net::{SocketAddr, TcpListener},
    os::fd::{AsFd, OwnedFd},
    rc::Rc,
};

use clap::Parser;
use feed::Feed;
use ring::{Bytes, Event, Ring};
use rustix::net::{Shutdown, listen, shutdown, sockopt::set_tcp_nodelay};
use windlass_peers::bare::{Action, Exchange, echo_messages};

/// Maximum number of connections. Connections above it are closed immediately.
const SLOTS: usize = 16 * 1024;
/// Maximum number of connections that the kernel queues until they are accepted.
const BACKLOG: i32 = 4096;

/// Serves the workload without a framework.
#[derive(Debug, Parser)]
struct Options {
    /// Address to listen on
    #[arg(long)]
    listen: SocketAddr,
    /// Serve HTTP/2 (prior knowledge) and answer each request with the same response
    #[arg(long)]
    h2: bool,
}

/// Protocol of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Http1,
    /// A WebSocket that echoes messages.
    Echo,
    /// HTTP/2 whose preface has not arrived.
    Preface,
    Http2,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    let listener = TcpListener::bind(options.listen)?;
    listen(&listener, BACKLOG)?;
    let mut server = Server {
        protocol: if options.h2 { Protocol::Preface } else { Protocol::Http1 },
        ring: Ring::new(SLOTS)?,
        exchange: Exchange::new(),
        connections: (0..SLOTS).map(|_| None).collect(),
        free: (0..SLOTS).rev().collect(),
        feed: Feed::default(),
        touched: Vec::new(),
    };
    server.ring.accept(&listener)?;
    let mut events = Vec::new();
    loop {
        server.ring.wait(&mut events)?;
        server.exchange.tick();
        for event in events.drain(..) {
            server.handle(event)?;
        }
        server.ring.publish();
        server.deliver();
        server.settle()?;
    }
}

struct Server {
    /// Protocol of new connections.
    protocol: Protocol,
    ring: Ring,
    exchange: Exchange,
    connections: Box<[Option<Connection>]>,
    free: Vec<usize>,
    feed: Feed,
    /// Slots whose sends and receives are queued at the end of the batch.
    touched: Vec<usize>,
}

struct Connection {
    fd: OwnedFd,
    input: Vec<u8>,
    out: Vec<u8>,
    /// Event to send. `out` is empty while this is set.
    event: Option<Rc<[u8]>>,
    /// Reusable buffer that replaces `out` when `out` is sent.
    spare: Vec<u8>,
    receiving: bool,
    sending: bool,
    sleeping: bool,
    /// Answers no further requests: flushes and closes.
    closing: bool,
    /// The peer has ended its side of the connection.
    ended: bool,
    protocol: Protocol,
}

impl Server {
    fn handle(&mut self, event: Event) -> io::Result<()> {
        match event {
            Event::Accepted(fd) => self.accepted(fd?),
            Event::Received { slot, buffer, length, armed } => {
                let sleep = self.received(slot, buffer, length, armed);
                self.ring.recycle(buffer);
                self.run(slot, sleep)?;
            }
            Event::Ended { slot } => self.touch(slot, |connection| {
                connection.receiving = false;
                connection.ended = true;
            }),
            Event::OutOfBuffers { slot } => self.touch(slot, |connection| connection.receiving = false),
            Event::Sent { slot, buffer, failed } => self.touch(slot, |connection| {
                connection.sending = false;
                if buffer.capacity() > 0 {
                    connection.spare = buffer;
                }
                if failed {
                    connection.fail();
                }
            }),
            Event::Slept { slot } => {
                let then = self.woken(slot);
                self.run(slot, then)?;
            }
        }
        Ok(())
    }

    fn accepted(&mut self, fd: OwnedFd) {
        // Without a free slot, dropping the descriptor closes the connection.
        let Some(slot) = self.free.pop() else { return };
        let _ = set_tcp_nodelay(&fd, true);
        self.connections[slot] = Some(Connection::new(fd, self.protocol));
        self.touched.push(slot);
    }

    fn received(&mut self, slot: usize, buffer: u16, length: usize, armed: bool) -> Action {
        let Some(connection) = &mut self.connections[slot] else { return Action::Read };
        connection.receiving = armed;
        let bytes = self.ring.bytes(buffer, length);
        if connection.closing {
            return Action::Read;
        }
        if connection.sleeping || !connection.input.is_empty() {
            connection.input.extend_from_slice(bytes);
            return connection.answer(&self.exchange, &mut self.feed);
        }
        let (used, then) = connection.serve(bytes, &self.exchange, &mut self.feed);
        connection.input.extend_from_slice(&bytes[used..]);
        then
    }

    fn woken(&mut self, slot: usize) -> Action {
        let Some(connection) = &mut self.connections[slot] else { return Action::Read };
        connection.sleeping = false;
        if connection.closing {
            return Action::Read;
        }
        self.exchange.after_work(&mut connection.out);
        connection.answer(&self.exchange, &mut self.feed)
    }

    fn run(&mut self, slot: usize, then: Action) -> io::Result<()> {
        match then {
            Action::Work(time) => {
                self.ring.sleep(slot, time)?;
                self.touch(slot, |connection| connection.sleeping = true);
            }
            Action::Echo => self.touch(slot, |connection| connection.protocol = Protocol::Echo),
            Action::Close => self.touch(slot, |connection| connection.closing = true),
            Action::Subscribe(encoding) => {
                self.feed.subscribe(slot, encoding);
                self.touched.push(slot);
            }
            Action::Read | Action::Publish { .. } => self.touched.push(slot),
        }
        Ok(())
    }

    fn touch(&mut self, slot: usize, change: impl FnOnce(&mut Connection)) {
        if let Some(connection) = &mut self.connections[slot] {
            change(connection);
            self.touched.push(slot);
        }
    }

    /// Queues the events of the batch for every subscriber.
    fn deliver(&mut self) {
        for event in self.feed.take_events() {
            for &(slot, encoding) in self.feed.subscribers() {
                if let Some(connection) = &mut self.connections[slot] {
                    connection.deliver(event.encoded(encoding));
                    self.touched.push(slot);
                }
            }
        }
    }

    /// Queues the sends and receives of the batch, and frees the slots of finished connections.
    fn settle(&mut self) -> io::Result<()> {
        for slot in self.touched.drain(..) {
            let Some(connection) = &mut self.connections[slot] else { continue };
            connection.settle(slot, &mut self.ring)?;
            if connection.is_finished() {
                self.connections[slot] = None;
                self.feed.unsubscribe(slot);
                self.free.push(slot);
            }
        }
        Ok(())
    }
}

impl Connection {
    fn new(fd: OwnedFd, protocol: Protocol) -> Self {
        let mut out = Vec::new();
        if protocol == Protocol::Preface {
            h2::open(&mut out);
        }
        Self {
            fd,
            input: Vec::new(),
            out,
            event: None,
            spare: Vec::new(),
            receiving: false,
            sending: false,
            sleeping: false,
            closing: false,
            ended: false,
            protocol,
        }
    }

    fn answer(&mut self, exchange: &Exchange, feed: &mut Feed) -> Action {
        if self.sleeping {
            return Action::Read;
        }
        let input = std::mem::take(&mut self.input);
        let (used, then) = self.serve(&input, exchange, feed);
        self.input = input;
        self.input.drain(..used);
        then
    }

    /// Answers the complete requests of `input`. Returns their length and the next action.
    fn serve(&mut self, input: &[u8], exchange: &Exchange, feed: &mut Feed) -> (usize, Action) {
        match self.protocol {
            Protocol::Http1 => feed.serve(exchange, input, &mut self.out),
            Protocol::Echo => (echo_messages(input, &mut self.out), Action::Read),
            Protocol::Http2 => (h2::serve(input, &mut self.out), Action::Read),
            Protocol::Preface => {
                let Some(greeted) = h2::greet(input) else { return (0, Action::Read) };
                self.protocol = Protocol::Http2;
                (greeted + h2::serve(&input[greeted..], &mut self.out), Action::Read)
            }
        }
    }

    /// Queues an event. It is shared if nothing else is queued, otherwise it is copied to the end of the
    /// output.
    fn deliver(&mut self, event: &Rc<[u8]>) {
        if !self.sending && self.out.is_empty() && self.event.is_none() {
            self.event = Some(Rc::clone(event));
            return;
        }
        if let Some(first) = self.event.take() {
            self.out.extend_from_slice(&first);
        }
        self.out.extend_from_slice(event);
    }

    fn fail(&mut self) {
        self.closing = true;
        self.out.clear();
        self.event = None;
    }

    fn settle(&mut self, slot: usize, ring: &mut Ring) -> io::Result<()> {
        if let Some(event) = self.event.take() {
            self.sending = true;
            ring.send(slot, self.fd.as_fd(), Bytes::Shared(event))?;
        }
        if !self.sending && !self.out.is_empty() {
            self.sending = true;
            let buffer = std::mem::replace(&mut self.out, std::mem::take(&mut self.spare));
            ring.send(slot, self.fd.as_fd(), Bytes::Own(buffer))?;
        }
        if self.closing && self.receiving && !self.sending {
            // The armed receive keeps the socket open. A shutdown ends both.
            let _ = shutdown(&self.fd, Shutdown::Both);
        }
        if !self.receiving && !self.ended && !self.closing {
            self.receiving = true;
            ring.receive(slot, self.fd.as_fd())?;
        }
        Ok(())
    }

    /// Returns `true` if no operation is in flight and the connection has ended.
    fn is_finished(&self) -> bool {
        let idle = !self.receiving && !self.sending && !self.sleeping && self.out.is_empty();
        idle && (self.closing || self.ended)
    }
}
