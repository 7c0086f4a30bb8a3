//! A client whose test decides when it reads, and how much the server may send. It subscribes to a topic over
//! any protocol, and checks the order of what it receives.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
};

use rustls::{ClientConfig, ClientConnection, StreamOwned};
use socket2::SockRef;

/// Protocol of a subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Http1,
    Http2,
    WebSocket,
    WebSocketOverHttp2,
}

impl Over {
    fn is_http2(self) -> bool {
        matches!(self, Self::Http2 | Self::WebSocketOverHttp2)
    }

    /// Returns the number of streams of one connection.
    pub(super) fn streams(self) -> usize {
        if self.is_http2() { 5 } else { 1 }
    }
}

trait Socket: Read + Write + Send {}

impl<T: Read + Write + Send> Socket for T {}

/// Events that a stream has received.
#[derive(Default)]
struct Stream {
    /// Bytes after the last complete event.
    bytes: Vec<u8>,
    /// Number of the last event that was received or reported as lost.
    last: u64,
    lost: u64,
    /// Bytes that the peer has sent and got no credit for.
    owed: u32,
}

/// One connection with its streams.
pub(super) struct Subscriber {
    over: Over,
    socket: Box<dyn Socket>,
    /// Received bytes that are not parsed.
    input: Vec<u8>,
    streams: Vec<Stream>,
    /// Bytes that the connection's window has lost.
    owed: u32,
    /// The head of the response was received. Over HTTP/2 heads are skipped.
    has_head: bool,
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Appends a literal field.
fn literal(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0);
    for text in [name, value] {
        block.push(text.len() as u8);
        block.extend(text.as_bytes());
    }
}

impl Subscriber {
    /// Connects and subscribes, without reading. Over HTTP/2 each stream starts with a window of this size.
    pub(super) fn connect(
        address: SocketAddr,
        tls: Option<&Arc<ClientConfig>>,
        over: Over,
        window_bytes: u32,
    ) -> Self {
        let tcp = TcpStream::connect(address).unwrap();
        SockRef::from(&tcp).set_recv_buffer_size(16 * 1024).unwrap();
        tcp.set_nodelay(true).unwrap();
        let mut socket: Box<dyn Socket> = match tls {
            None => Box::new(tcp.try_clone().unwrap()),
            Some(config) => {
                let mut config = ClientConfig::clone(config);
                config.alpn_protocols =
                    vec![if over.is_http2() { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
                let client =
                    ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
                let mut stream = StreamOwned::new(client, tcp.try_clone().unwrap());
                stream.flush().unwrap();
                Box::new(stream)
            }
        };
        socket.write_all(&opening(over, if tls.is_some() { 0x87 } else { 0x86 }, window_bytes)).unwrap();
        socket.flush().unwrap();
        tcp.set_nonblocking(true).unwrap();
        let streams = (0..over.streams()).map(|_| Stream::default()).collect();
        Self { over, socket, input: Vec::new(), streams, owed: 0, has_head: over.is_http2() }
    }

    fn send(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.socket.write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        }
        while let Err(error) = self.socket.flush() {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
        }
    }

    /// Reads what is there, at most `bytes`, and checks it.
    pub(super) fn read(&mut self, bytes: usize) {
        let mut buffer = vec![0; bytes];
        match self.socket.read(&mut buffer) {
            Ok(0) => panic!("the connection ended"),
            Ok(read) => self.input.extend(&buffer[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("{error}"),
        }
        self.parse();
    }

    /// Gives the server credit for what was read, on the streams that `is` selects.
    pub(super) fn grant(&mut self, mut is: impl FnMut() -> bool) {
        if !self.over.is_http2() {
            return;
        }
        let mut updates = Vec::new();
        for (index, stream) in self.streams.iter_mut().enumerate() {
            if stream.owed > 0 && is() {
                let credit = std::mem::take(&mut stream.owed);
                updates.extend(frame(8, 0, 2 * index as u32 + 1, &credit.to_be_bytes()));
            }
        }
        if self.owed > 0 && is() {
            updates.extend(frame(8, 0, 0, &std::mem::take(&mut self.owed).to_be_bytes()));
        }
        self.send(&updates);
    }

    /// Has the connection answer something in between.
    pub(super) fn ping(&mut self) {
        match self.over {
            Over::Http1 => {}
            Over::WebSocket => self.send(&[0x89, 0x80, 0, 0, 0, 0]),
            Over::Http2 | Over::WebSocketOverHttp2 => self.send(&frame(6, 0, 0, &[0; 8])),
        }
    }

    /// Returns `true` if each stream has received event `number`, or knows that it has lost it.
    pub(super) fn has_all(&self, number: u64) -> bool {
        self.streams.iter().all(|stream| stream.last == number)
    }

    /// Returns how many events were lost, of all streams together.
    pub(super) fn lost(&self) -> u64 {
        self.streams.iter().map(|stream| stream.lost).sum()
    }

    fn parse(&mut self) {
        if !self.has_head {
            let Some(at) = self.input.windows(4).position(|end| end == b"\r\n\r\n") else { return };
            self.input.drain(..at + 4);
            self.has_head = true;
        }
        while match self.over {
            Over::Http1 => self.chunk(),
            Over::WebSocket => {
                self.streams[0].bytes.append(&mut self.input);
                false
            }
            Over::Http2 | Over::WebSocketOverHttp2 => self.frame(),
        } {}
        for stream in &mut self.streams {
            while match self.over {
                Over::Http1 | Over::Http2 => stream.server_sent(),
                Over::WebSocket | Over::WebSocketOverHttp2 => stream.message(),
            } {}
        }
    }

    /// Takes a chunk. Returns `false` if there is none.
    fn chunk(&mut self) -> bool {
        let Some(line) = self.input.windows(2).position(|end| end == b"\r\n") else { return false };
        let size = usize::from_str_radix(std::str::from_utf8(&self.input[..line]).unwrap(), 16).unwrap();
        let end = line + 2 + size;
        if self.input.len() < end + 2 {
            return false;
        }
        assert!(size > 0, "the stream must not end");
        assert_eq!(&self.input[end..end + 2], b"\r\n");
        self.streams[0].bytes.extend(&self.input[line + 2..end]);
        self.input.drain(..end + 2);
        true
    }

    /// Takes a frame of HTTP/2. Returns `false` if there is none.
    fn frame(&mut self) -> bool {
        let Some(header) = self.input.first_chunk::<9>() else { return false };
        let size = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
        let (kind, id) = (header[3], u32::from_be_bytes(header[5..].try_into().unwrap()));
        if self.input.len() < 9 + size {
            return false;
        }
        let payload: Vec<u8> = self.input.drain(..9 + size).skip(9).collect();
        match kind {
            0 => {
                self.owed += size as u32;
                let stream = &mut self.streams[(id as usize - 1) / 2];
                stream.owed += size as u32;
                stream.bytes.extend(payload);
            }
            3 | 7 => panic!("RST_STREAM or GOAWAY: {}", payload.escape_ascii()),
            _ => {}
        }
        true
    }
}

impl Stream {
    /// Takes a server-sent event. Returns `false` if there is none.
    fn server_sent(&mut self) -> bool {
        let Some(at) = self.bytes.windows(2).position(|end| end == b"\n\n") else { return false };
        let block: Vec<u8> = self.bytes.drain(..at + 2).collect();
        self.event(std::str::from_utf8(&block).unwrap());
        true
    }

    /// Takes a frame of a WebSocket. Returns `false` if there is none.
    fn message(&mut self) -> bool {
        let (header, size) = match *self.bytes {
            [_, size @ ..126, ..] => (2, usize::from(size)),
            [_, 126, high, low, ..] => (4, usize::from(u16::from_be_bytes([high, low]))),
            _ => return false,
        };
        if self.bytes.len() < header + size {
            return false;
        }
        let frame: Vec<u8> = self.bytes.drain(..header + size).collect();
        match frame[0] {
            0x81 => self.event(std::str::from_utf8(&frame[header..]).unwrap()),
            0x8a => {}
            other => panic!("unexpected frame {other:#x}"),
        }
        true
    }

    /// Checks that an event, or a gap in its place, follows the last one.
    fn event(&mut self, text: &str) {
        let numbers: Vec<u64> = text
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
            .filter_map(|word| word.split_once('-').filter(|(epoch, _)| epoch.len() == 16)?.1.parse().ok())
            .collect();
        if text.contains("gap") {
            let [.., from, to] = numbers[..] else {
                // Over a WebSocket the id comes first.
                panic!("{text}")
            };
            assert_eq!(from, self.last + 1, "{text}");
            self.lost += to + 1 - from;
            self.last = to;
        } else if let Some(number) = numbers.first() {
            assert_eq!(*number, self.last + 1, "{text}");
            self.last = *number;
        }
    }
}

/// Returns the bytes that open a connection and subscribe on each of its streams.
fn opening(over: Over, scheme: u8, window_bytes: u32) -> Vec<u8> {
    match over {
        Over::Http1 => b"GET /topics/t HTTP/1.1\r\nHost: t\r\n\r\n".to_vec(),
        Over::WebSocket => {
            b"GET /topics/t HTTP/1.1\r\nHost: t\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
                .to_vec()
        }
        Over::Http2 | Over::WebSocketOverHttp2 => {
            let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
            bytes.extend(frame(4, 0, 0, &[&[0, 4][..], &window_bytes.to_be_bytes()].concat()));
            bytes.extend(frame(8, 0, 0, &window_bytes.to_be_bytes()));
            for stream in 0..over.streams() as u32 {
                let mut block = Vec::new();
                let is_socket = over == Over::WebSocketOverHttp2;
                if is_socket {
                    literal(&mut block, ":method", "CONNECT");
                    literal(&mut block, ":protocol", "websocket");
                } else {
                    block.push(0x82);
                }
                block.push(scheme);
                literal(&mut block, ":path", "/topics/t");
                literal(&mut block, ":authority", "localhost");
                if is_socket {
                    literal(&mut block, "sec-websocket-version", "13");
                }
                let flags = if is_socket { 4 } else { 5 };
                bytes.extend(frame(1, flags, 2 * stream + 1, &block));
            }
            bytes
        }
    }
}
