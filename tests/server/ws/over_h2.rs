//! WebSocket over HTTP/2 streams (RFC 8441).

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use ::h2::{RecvStream, SendStream, ext::Protocol};
use bytes::{Bytes, BytesMut};
use windlass::{
    Router, get,
    http::{Method, Request},
    websocket, websocket_with,
    ws::{Settings, Socket},
};

use super::peer::{CLOSE, PING, PONG, TEXT, close, echo, echoes, frame};
use crate::{
    common::{eventually, metric, start},
    h2::client::{Client, read},
};

/// A WebSocket on an HTTP/2 stream.
struct Stream {
    send: SendStream<Bytes>,
    receive: RecvStream,
    received: BytesMut,
}

fn connect(path: &str, protocol: &'static str) -> Request<()> {
    let request = Request::builder().method(Method::CONNECT).uri(format!("http://test{path}"));
    let request = request.header("sec-websocket-version", "13").header("origin", "http://test");
    request.extension(Protocol::from_static(protocol)).body(()).unwrap()
}

impl Stream {
    #[track_caller]
    fn open(client: &mut Client, path: &str) -> Self {
        eventually("the server's settings have arrived", || {
            client.send.is_extended_connect_protocol_enabled()
        });
        let (response, send) = client.open(connect(path, "websocket"));
        let (head, receive) = client.wait(response).unwrap().into_parts();
        assert_eq!(head.status, 200);
        for name in ["upgrade", "connection", "sec-websocket-accept", "content-length"] {
            assert!(!head.headers.contains_key(name), "{name}");
        }
        Self { send, receive, received: BytesMut::new() }
    }

    fn send(&mut self, bytes: Vec<u8>) {
        self.send.send_data(bytes.into(), false).unwrap();
    }

    /// Reads this many bytes.
    #[track_caller]
    fn exactly(&mut self, client: &Client, bytes: usize) -> Bytes {
        while self.received.len() < bytes {
            let data = client.wait(self.receive.data()).expect("the stream must not end here").unwrap();
            self.receive.flow_control().release_capacity(data.len()).unwrap();
            self.received.extend_from_slice(&data);
        }
        self.received.split_to(bytes).freeze()
    }

    /// Reads a frame: its first byte and its payload.
    #[track_caller]
    fn read(&mut self, client: &Client) -> (u8, Bytes) {
        let head = self.exactly(client, 2);
        let len = match head[1] {
            126 => usize::from(u16::from_be_bytes(self.exactly(client, 2)[..].try_into().unwrap())),
            127 => u64::from_be_bytes(self.exactly(client, 8)[..].try_into().unwrap()) as usize,
            len => usize::from(len),
        };
        (head[0], self.exactly(client, len))
    }

    /// Reads the end of the stream, which must be clean, and ends it in the other direction.
    #[track_caller]
    fn end(&mut self, client: &Client) {
        while let Some(data) = client.wait(self.receive.data()) {
            assert!(data.unwrap().is_empty(), "no data may follow the Close");
        }
        // A draining server may already have ended the stream.
        let _ = self.send.send_data(Bytes::new(), true);
    }
}

#[test]
fn sockets_share_a_connection_with_requests() {
    let server = start(echoes().route(get("/", |_: windlass::Request| "root")));
    let mut client = Client::connect(&server);
    let mut sockets = [Stream::open(&mut client, "/ws"), Stream::open(&mut client, "/ws")];
    for (index, socket) in sockets.iter_mut().enumerate() {
        socket.send([frame(TEXT, format!("hello {index}")), frame(PING, "p")].concat());
    }
    assert_eq!(client.get("/").text(), "root");
    for (index, socket) in sockets.iter_mut().enumerate() {
        assert_eq!(socket.read(&client), (TEXT, format!("hello {index}").into()));
        assert_eq!(socket.read(&client), (PONG, "p".into()));
        let large = vec![b'x'; 300_000];
        socket.send(frame(TEXT, &large));
        assert_eq!(socket.read(&client), (TEXT, large.into()));
        socket.send(close(1000));
        assert_eq!(socket.read(&client), (CLOSE, Bytes::from_static(b"\x03\xe8")));
        socket.end(&client);
    }
    let sum = |kind: &str| {
        let sample = |shard| {
            format!("windlass_requests_dispatched_total{{kind=\"{kind}\",protocol=\"h2\",shard=\"{shard}\"}}")
        };
        metric(&server, &sample(0)) + metric(&server, &sample(1))
    };
    assert_eq!(sum("ws"), 2.0);
}

#[test]
fn a_connect_that_opens_no_socket_is_refused() {
    let server = start(echoes().route(get("/", |_: windlass::Request| "root")));
    let mut client = Client::connect(&server);
    assert_eq!(client.get("/ws").status, 405);
    eventually("the server's settings have arrived", || client.send.is_extended_connect_protocol_enabled());
    for (path, protocol, status) in
        [("/ws", "connect-udp", 501), ("/", "websocket", 501), ("/nowhere", "websocket", 404)]
    {
        let (response, _send) = client.open(connect(path, protocol));
        assert_eq!(client.wait(read(response)).unwrap().status, status, "{path} {protocol}");
    }
    let mut other = connect("/ws", "websocket");
    other.headers_mut().insert("origin", "http://other".parse().unwrap());
    let (response, _send) = client.open(other);
    assert_eq!(client.wait(read(response)).unwrap().status, 403);
}

#[test]
fn the_stream_window_and_the_outbound_limit_block_the_sender() {
    let settings = Settings::new().outbound_bytes(64 * 1024);
    let sent = Arc::new(AtomicU32::new(0));
    let count = sent.clone();
    let router = Router::new().route(websocket_with("/ws", settings, move |mut socket: Socket| {
        let count = count.clone();
        async move {
            for _ in 0..200 {
                if socket.send(vec![7; 16 * 1024]).await.is_err() {
                    return;
                }
                count.fetch_add(1, Ordering::SeqCst);
            }
        }
    }));
    let server = start(router);
    let mut client = Client::connect(&server);
    let mut socket = Stream::open(&mut client, "/ws");
    eventually("the handler sends", || sent.load(Ordering::SeqCst) >= 4);
    std::thread::sleep(Duration::from_millis(100));
    assert!(sent.load(Ordering::SeqCst) < 20, "the sender must be blocked, but sent {sent:?} messages");
    for _ in 0..200 {
        assert_eq!(socket.read(&client).1.len(), 16 * 1024);
    }
    assert_eq!(socket.read(&client).0, CLOSE);
}

#[test]
fn a_reset_stream_ends_its_socket_and_a_drain_sends_1001() {
    let server = start(Router::new().route(websocket("/ws", echo)));
    let mut client = Client::connect(&server);
    let mut gone = Stream::open(&mut client, "/ws");
    let mut stays = Stream::open(&mut client, "/ws");
    let open = || {
        (0..2).map(|shard| metric(&server, &format!("windlass_websockets{{shard=\"{shard}\"}}"))).sum::<f64>()
    };
    assert_eq!(open(), 2.0);
    gone.send.send_reset(::h2::Reason::CANCEL);
    eventually("one socket is left", || open() == 1.0);
    let report = std::thread::scope(|scope| {
        let drain = scope.spawn(|| server.drain(Some(Duration::from_secs(8))));
        assert_eq!(stays.read(&client), (CLOSE, Bytes::from_static(b"\x03\xe9the server is stopping")));
        stays.send(close(1001));
        stays.end(&client);
        drop(client);
        drain.join().unwrap()
    });
    assert!(report.cut.is_empty(), "{report}");
}
