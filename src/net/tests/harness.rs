//! An echo handler, a shard that runs it on any engine, and clients.

use std::{
    collections::HashMap,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::{AsFd, OwnedFd},
    time::{Duration, Instant},
};

use rustix::event::{EventfdFlags, eventfd};
use socket2::{Domain, Socket, Type};

use crate::net::{
    Accepted, Closed, ConnId, Connection, Ending, Engine, EngineOptions, EventHandler, Outbox, Wait,
    outbox::SHARE_MIN_BYTES,
};

/// Time limit of every wait.
pub(in crate::net) const PATIENCE: Duration = Duration::from_secs(20);

/// Behaviour of the handler.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::net) struct Script {
    /// Echoes received bytes.
    pub(in crate::net) echo: bool,
    /// Finishes when the peer has sent FIN.
    pub(in crate::net) finish_on_fin: bool,
    /// Stops reading while more bytes than this are queued.
    pub(in crate::net) read_limit: Option<usize>,
    /// Number of bytes of [`pattern`] that are queued when a connection opens.
    pub(in crate::net) greet_bytes: usize,
    /// The end that a connection requests once it has received bytes.
    pub(in crate::net) end_on_bytes: Ending,
    /// Panics on received bytes.
    pub(in crate::net) panic_on_bytes: bool,
}

impl Script {
    pub(in crate::net) fn echo() -> Self {
        Self { echo: true, finish_on_fin: true, ..Self::default() }
    }
}

#[derive(Default)]
pub(in crate::net) struct TestConn {
    outbox: Outbox,
    pub(in crate::net) paused: bool,
    pub(in crate::net) ending: Ending,
    pub(in crate::net) received: usize,
    pub(in crate::net) chunks: usize,
    read_limit: Option<usize>,
}

impl Connection for TestConn {
    fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }
    fn wants_read(&self) -> bool {
        !self.paused && self.read_limit.is_none_or(|limit| self.outbox.len() <= limit)
    }
    fn ending(&self) -> Ending {
        self.ending
    }
}

#[derive(Default)]
pub(in crate::net) struct TestCarrier {
    pub(in crate::net) script: Script,
    pub(in crate::net) opened: Vec<ConnId>,
    pub(in crate::net) closed: HashMap<ConnId, Closed>,
    pub(in crate::net) accept_errors: Vec<i32>,
    pub(in crate::net) received: usize,
    /// Number of calls of `sent`.
    pub(in crate::net) sends: usize,
    pub(in crate::net) sent: usize,
    /// Number of buffers that were returned.
    pub(in crate::net) buffers_sent: usize,
    pub(in crate::net) ended: usize,
}

impl EventHandler for TestCarrier {
    type Conn = TestConn;

    fn open(&mut self, id: ConnId, _accepted: Accepted<'_>) -> TestConn {
        self.opened.push(id);
        let mut conn = TestConn { read_limit: self.script.read_limit, ..TestConn::default() };
        greet(&mut conn.outbox, self.script.greet_bytes);
        conn
    }

    fn received(&mut self, _id: ConnId, conn: &mut TestConn, bytes: &[u8]) {
        assert!(!self.script.panic_on_bytes, "the script requests a panic");
        conn.received += bytes.len();
        conn.chunks += 1;
        self.received += bytes.len();
        if self.script.echo {
            conn.outbox.buffer().extend_from_slice(bytes);
        }
        conn.ending = self.script.end_on_bytes;
    }

    fn fin_received(&mut self, _id: ConnId, conn: &mut TestConn) {
        self.ended += 1;
        if self.script.finish_on_fin {
            conn.ending = Ending::Finish;
        }
    }

    fn sent(&mut self, _id: ConnId, conn: &mut TestConn, bytes: usize, drained: bool) {
        self.sends += 1;
        self.sent += bytes;
        assert!(!drained || conn.outbox.is_empty());
    }

    fn buffer_sent(&mut self, buffer: Vec<u8>) {
        assert!(buffer.len() >= SHARE_MIN_BYTES);
        self.buffers_sent += 1;
    }

    fn closed(&mut self, id: ConnId, _conn: TestConn, why: Closed) {
        assert!(self.closed.insert(id, why).is_none(), "closed twice");
    }

    fn accept_failed(&mut self, error: &std::io::Error) {
        self.accept_errors.push(error.raw_os_error().unwrap_or(0));
    }
}

/// Length of the pieces that [`greet`] queues, in bytes.
pub(in crate::net) const PIECE_BYTES: usize = 12_345;

/// Queues `bytes` bytes of the pattern, alternating between owned, shared and lent segments.
fn greet(outbox: &mut Outbox, bytes: usize) {
    let whole = pattern(bytes);
    for (index, piece) in whole.chunks(PIECE_BYTES).enumerate() {
        match index % 3 {
            0 => outbox.buffer().extend_from_slice(piece),
            1 => outbox.share(bytes::Bytes::copy_from_slice(piece)),
            _ => drop(outbox.lend(piece.to_vec())),
        }
    }
}

/// Returns bytes in which a shift or a loss is visible.
pub(in crate::net) fn pattern(bytes: usize) -> Vec<u8> {
    let (mut pattern, mut index) = (Vec::with_capacity(bytes + 8), 0_u64);
    while pattern.len() < bytes {
        index += 1;
        pattern.extend_from_slice(&index.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    }
    pattern.truncate(bytes);
    pattern
}

/// An engine with access to its internal state.
pub(in crate::net) trait TestEngine: Engine<TestCarrier> {
    /// Name of the modules that contain its tests.
    const MODULE: &'static str;

    /// Returns `true` if the engine would read bytes of the connection.
    fn reads(&mut self, id: ConnId) -> bool;
    /// Returns `true` if bytes wait until the peer has room for them.
    fn sends(&mut self, id: ConnId) -> bool;
    /// Returns `true` if the connection holds memory for sending.
    fn holds_a_buffer(&mut self, id: ConnId) -> bool;
}

/// Defines a test for each engine from functions with a [`TestEngine`] parameter.
macro_rules! for_each_engine {
    ($($name:ident),+ $(,)?) => {
        #[cfg(feature = "io-uring")]
        mod on_ring {
            $(#[test]
            fn $name() {
                super::$name::<crate::net::ring::Ring<super::TestConn>>();
            })+
        }
        #[cfg(feature = "epoll")]
        mod on_epoll {
            $(#[test]
            fn $name() {
                super::$name::<crate::net::epoll::Epoll<super::TestConn>>();
            })+
        }
    };
}
pub(in crate::net) use for_each_engine;

/// An engine, its handler and its doorbell.
pub(in crate::net) struct Shard<E> {
    pub(in crate::net) engine: E,
    pub(in crate::net) handler: TestCarrier,
    pub(in crate::net) doorbell: OwnedFd,
}

impl<E: Engine<TestCarrier>> Shard<E> {
    pub(in crate::net) fn new(script: Script, options: &EngineOptions) -> Self {
        Self::with_doorbell(script, options, EventfdFlags::CLOEXEC)
    }

    pub(in crate::net) fn with_doorbell(
        script: Script,
        options: &EngineOptions,
        flags: EventfdFlags,
    ) -> Self {
        let doorbell = eventfd(0, flags).unwrap();
        Self::with_engine(E::new(options, doorbell.as_fd()).unwrap(), script, doorbell)
    }

    /// Creates a shard with an existing engine.
    pub(in crate::net) fn with_engine(engine: E, script: Script, doorbell: OwnedFd) -> Self {
        Self { engine, handler: TestCarrier { script, ..TestCarrier::default() }, doorbell }
    }

    pub(in crate::net) fn ring_doorbell(&self) {
        rustix::io::write(&self.doorbell, &1_u64.to_ne_bytes()).unwrap();
    }

    /// Listens on a free port of the loopback address.
    pub(in crate::net) fn listen(&mut self) -> SocketAddr {
        self.listen_on(TcpListener::bind("127.0.0.1:0").unwrap().into())
    }

    pub(in crate::net) fn listen_on(&mut self, listener: Socket) -> SocketAddr {
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        self.engine.listen(listener).unwrap();
        address
    }

    pub(in crate::net) fn turn(&mut self, wait: Wait) {
        self.engine.turn(&mut self.handler, wait).unwrap();
    }

    /// Runs turns until `done` returns `true`.
    pub(in crate::net) fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            assert!(Instant::now() < deadline, "waited in vain for: {what}");
            self.turn(Wait::Until(Instant::now() + Duration::from_millis(5)));
        }
    }

    /// Runs `clients` on another thread, and turns until it returns. Returns its result.
    pub(in crate::net) fn serve<T: Send>(&mut self, clients: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let client = scope.spawn(clients);
            self.until("the clients", |_| client.is_finished());
            client.join().unwrap()
        })
    }

    pub(in crate::net) fn visit(&mut self, id: ConnId, f: impl FnOnce(&mut TestConn)) -> bool {
        self.engine.visit(&mut self.handler, id, |_, conn| f(conn))
    }

    pub(in crate::net) fn connections(&self) -> usize {
        self.engine.connections()
    }

    pub(in crate::net) fn is_idle(&self) -> bool {
        self.engine.is_idle()
    }

    pub(in crate::net) fn pending(&self) -> bool {
        self.engine.pending()
    }
}

/// Creates a listener whose connections have small send buffers.
pub(in crate::net) fn narrow_listener(send_bytes: usize) -> Socket {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.set_send_buffer_size(send_bytes).unwrap();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(64).unwrap();
    listener
}

/// Connects and sets a time limit for every read and write.
pub(in crate::net) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Connects with a small receive buffer.
pub(in crate::net) fn connect_narrow(address: SocketAddr, receive_bytes: usize) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(receive_bytes).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    socket.connect(&address.into()).unwrap();
    socket.into()
}

/// Sends `bytes` and reads the same number back. Returns `true` if they are equal.
pub(in crate::net) fn echoes(stream: &mut TcpStream, bytes: &[u8]) -> bool {
    let mut writer = stream.try_clone().unwrap();
    let mut back = vec![0; bytes.len()];
    std::thread::scope(|scope| {
        scope.spawn(move || writer.write_all(bytes).unwrap());
        stream.read_exact(&mut back).unwrap();
    });
    back == bytes
}

/// Makes the close of the stream reset the connection.
pub(in crate::net) fn reset_on_close(stream: &TcpStream) {
    socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// Returns the number of open descriptors of this process.
pub(in crate::net) fn open_fds() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Runs a test in a process of its own. `file` is the name of its module. See [`crate::testing::alone`].
pub(in crate::net) fn alone<E: TestEngine>(file: &str, test: &str) -> bool {
    crate::testing::alone(&format!("net::tests::{file}::{}::{test}", E::MODULE))
}
