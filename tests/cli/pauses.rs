//! The process is stopped past its deadlines: what peers sent in time is served afterwards.

#[cfg(any(feature = "http2", feature = "ws", feature = "dev-cert"))]
use std::io::{Read, Write};
use std::{net::TcpStream, thread, time::Duration};

use rustix::process::Signal;

use crate::common::{Client, Serving, TIMEOUT, TempFile};

/// Time limits of everything that a peer can be late with. The process is stopped for longer.
const LIMITS: &str = "[timeouts]\nkeep_alive = \"3s\"\nheader = \"3s\"\nbody_idle = \"3s\"\n\
                      tls_handshake = \"3s\"\nws_ping = \"100ms\"\nws_pong = \"3s\"\n\
                      shed_async = \"off\"\nshed_all = \"off\"\n";
const STOPPED: Duration = Duration::from_millis(4500);

const GET: &[u8] = b"GET /demo/plaintext HTTP/1.1\r\nHost: t\r\n\r\n";

/// Starts a server with a short time limit for everything, runs `before`, stops the process, runs `during`
/// and lets the process go on after [`STOPPED`].
fn stop<T>(
    engine: &str,
    arguments: &[&str],
    before: impl FnOnce(&Serving) -> T,
    during: impl FnOnce(&mut T),
) -> (Serving, T) {
    let file = TempFile::new(&format!("pauses-{:?}.toml", thread::current().id()), LIMITS);
    let listen = ["--config", file.path(), "--engine", engine, "--shards", "1", "--listen", "127.0.0.1:0"];
    let serving = Serving::start_on(&[&listen[..], arguments].concat());
    let mut peers = before(&serving);
    serving.signal(Signal::STOP);
    during(&mut peers);
    thread::sleep(STOPPED);
    serving.signal(Signal::CONT);
    (serving, peers)
}

fn connect(serving: &Serving) -> TcpStream {
    let stream = TcpStream::connect(serving.address()).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream
}

fn http1(engine: &str) {
    let before = |serving: &Serving| {
        let mut idle = Client::connect(serving.address());
        assert_eq!(idle.get("/demo/plaintext").0, 200);
        let mut head = Client::connect(serving.address());
        head.send(&GET[..20]);
        let mut body = Client::connect(serving.address());
        body.send("POST /demo/echo HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nhello");
        [idle, head, body]
    };
    let during = |[idle, head, body]: &mut [Client; 3]| {
        idle.send(GET);
        head.send(&GET[20..]);
        body.send("world");
    };
    let (_serving, peers) = stop(engine, &[], before, during);
    for (mut peer, what) in peers.into_iter().zip(["an idle connection", "a head", "a body"]) {
        let reply = peer.reply().unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(reply.map(|(status, ..)| status), Some(200), "{what}");
    }
}

#[cfg(feature = "http2")]
fn http2(engine: &str) {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    /// `GET http://t/demo/plaintext`, without the dynamic table.
    fn request(stream: u8) -> Vec<u8> {
        let mut block = b"\x82\x86\x44\x0f/demo/plaintext".to_vec();
        block.extend_from_slice(b"\x41\x01t");
        [&[0, 0, block.len() as u8, 1, 5, 0, 0, 0, stream], &block[..]].concat()
    }
    /// Reads frames up to the end of a stream.
    fn answered(peer: &mut TcpStream, stream: u8) -> bool {
        loop {
            let mut head = [0; 9];
            if peer.read_exact(&mut head).is_err() {
                return false;
            }
            let length = usize::from(head[1]) << 8 | usize::from(head[2]);
            peer.read_exact(&mut vec![0; length]).unwrap();
            if head[8] == stream && matches!(head[3], 0 | 1) && head[4] & 1 == 1 {
                return true;
            }
        }
    }
    let before = |serving: &Serving| {
        let mut peer = connect(serving);
        peer.write_all(&[PREFACE, &request(1)].concat()).unwrap();
        assert!(answered(&mut peer, 1));
        peer
    };
    let (_serving, mut peer) =
        stop(engine, &[], before, |peer: &mut TcpStream| peer.write_all(&request(3)).unwrap());
    assert!(answered(&mut peer, 3), "an idle HTTP/2 connection was closed before its request was read");
}

/// An idle connection is closed to make room for others only if no request of it waits to be read.
fn eviction(engine: &str) {
    let file = TempFile::new(&format!("evictions-{engine}.toml"), "[limits]\nconnections = 20\n");
    let listen = ["--config", file.path(), "--engine", engine, "--shards", "1", "--listen", "127.0.0.1:0"];
    let serving = Serving::start_on(&listen);
    let mut idle: Vec<_> = (0..18).map(|_| Client::connect(serving.address())).collect();
    for peer in &mut idle {
        assert_eq!(peer.get("/demo/plaintext").0, 200);
    }
    serving.signal(Signal::STOP);
    let _newcomers: Vec<_> = (0..2).map(|_| connect(&serving)).collect();
    // Those that have been idle for longest.
    for peer in &mut idle[..3] {
        peer.send(GET);
    }
    serving.signal(Signal::CONT);
    for peer in &mut idle[..3] {
        let reply = peer.reply().unwrap();
        assert_eq!(reply.map(|(status, ..)| status), Some(200), "the request was sent in time");
    }
}

#[cfg(feature = "ws")]
fn websocket(engine: &str) {
    let before = |serving: &Serving| {
        let mut peer = connect(serving);
        let handshake = "GET /demo/ws-echo HTTP/1.1\r\nHost: t\r\nUpgrade: websocket\r\n\
                         Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        peer.write_all(handshake.as_bytes()).unwrap();
        let mut received = Vec::new();
        // Up to the ping.
        while !received.ends_with(b"\x89\0") {
            let mut byte = [0];
            peer.read_exact(&mut byte).unwrap();
            received.push(byte[0]);
        }
        peer
    };
    let during = |peer: &mut TcpStream| peer.write_all(b"\x8a\x80\0\0\0\0\x81\x82\0\0\0\0hi").unwrap();
    let (_serving, mut peer) = stop(engine, &[], before, during);
    let mut echo = [0; 4];
    peer.read_exact(&mut echo).unwrap();
    assert_eq!(echo, *b"\x81\x02hi", "the pong and the message were sent in time");
}

#[cfg(feature = "dev-cert")]
fn tls(engine: &str) {
    use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, pki_types::pem::PemObject};
    let folder = crate::secure::Folder::new(&format!("pauses-{engine}"));
    let (cert, key) = (folder.cert(), folder.key());
    let mut roots = RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_file(&cert).unwrap()).unwrap();
    let config =
        std::sync::Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth());
    let open = |serving: &Serving| {
        let tls = ClientConnection::new(config.clone(), "localhost".try_into().unwrap()).unwrap();
        StreamOwned::new(tls, connect(serving))
    };
    let exchange = |peer: &mut StreamOwned<ClientConnection, TcpStream>| {
        peer.write_all(GET).unwrap();
        let mut status = [0; 12];
        peer.read_exact(&mut status).unwrap();
        assert_eq!(status, *b"HTTP/1.1 200");
        // The rest of the reply, whose body is the last that comes.
        let mut rest = Vec::new();
        while !rest.ends_with(b"Hello, World!") {
            let mut byte = [0];
            peer.read_exact(&mut byte).unwrap();
            rest.push(byte[0]);
        }
    };
    let before = |serving: &Serving| {
        // Accepted before the idle one: the kernel's queue keeps their order.
        let silent = open(serving);
        let mut idle = open(serving);
        exchange(&mut idle);
        [silent, idle]
    };
    let during = |[silent, idle]: &mut [StreamOwned<ClientConnection, TcpStream>; 2]| {
        silent.conn.write_tls(&mut silent.sock).unwrap();
        idle.write_all(GET).unwrap();
    };
    let (_serving, [mut silent, mut idle]) =
        stop(engine, &["--tls-cert", &cert, "--tls-key", &key], before, during);
    exchange(&mut silent);
    let mut status = [0; 12];
    idle.read_exact(&mut status).unwrap();
    assert_eq!(status, *b"HTTP/1.1 200", "an idle connection was closed before its request was read");
}

macro_rules! on_both_engines {
    ($($(#[$attribute:meta])* $name:ident calls $case:path;)+) => {
        #[cfg(feature = "io-uring")]
        mod on_io_uring {
            $($(#[$attribute])* #[test] fn $name() { $case("io_uring"); })+
        }
        #[cfg(feature = "epoll")]
        mod on_epoll {
            $($(#[$attribute])* #[test] fn $name() { $case("epoll"); })+
        }
    };
}

on_both_engines! {
    requests_sent_in_time_are_served_after_a_stop calls super::http1;
    a_request_that_waits_keeps_its_connection_near_the_limit calls super::eviction;
    #[cfg(feature = "http2")]
    requests_over_http2_sent_in_time_are_served_after_a_stop calls super::http2;
    #[cfg(feature = "ws")]
    a_pong_sent_in_time_counts_after_a_stop calls super::websocket;
    #[cfg(feature = "dev-cert")]
    a_handshake_completed_in_time_succeeds_after_a_stop calls super::tls;
}
