//! Memory of the server for a client that does not read its replies.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use windlass::{Request, Router, Server, get, post};

use super::frames::{
    DATA, END_STREAM, HEADERS, Peer, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame, request, settings,
};
use crate::common::start;

const INITIAL_WINDOW: u16 = 4;

/// Windows of the server, and its default limit on replies that wait.
const STREAM_WINDOW: usize = 64 * 1024;
const CONNECTION_WINDOW: usize = 1 << 20;
const OUTBOUND_BYTES: usize = 1 << 20;

const BODY_BYTES: usize = 60_000;
const FRAME_BYTES: usize = 16_384;

/// A client that uploads as the windows of the server allow, and opens none of its own.
struct Upload {
    peer: Peer,
    connection_window: usize,
    /// Bytes that are still to be sent, by stream; a stream that is done has none.
    left: HashMap<u32, usize>,
    sent: usize,
}

impl Upload {
    fn new(server: &Server) -> Self {
        let peer = Peer::connect_with(server, &[(INITIAL_WINDOW, 0)]);
        // The server widens the connection's window right behind its settings, which were waited for.
        Self { peer, connection_window: CONNECTION_WINDOW, left: HashMap::new(), sent: 0 }
    }

    fn begin(&mut self, stream: u32) {
        self.peer.headers(stream, &request("POST", "/echo"), false);
        self.left.insert(stream, BODY_BYTES);
    }

    /// Sends pieces of at most so many bytes, one on each stream, as the connection's window allows. No body
    /// is larger than the window of its stream.
    fn send(&mut self, piece_bytes: usize) {
        const { assert!(BODY_BYTES <= STREAM_WINDOW) };
        let mut streams: Vec<_> = self.left.keys().copied().collect();
        streams.sort_unstable();
        for stream in streams {
            let left = self.left[&stream];
            let size = left.min(self.connection_window).min(piece_bytes);
            if size == 0 {
                continue;
            }
            let pieces = vec![b'x'; size];
            for (at, piece) in pieces.chunks(FRAME_BYTES).enumerate() {
                let is_last = size == left && (at + 1) * FRAME_BYTES >= size;
                let flags = if is_last { END_STREAM } else { 0 };
                self.peer.send(frame(DATA, flags, stream, piece));
            }
            self.connection_window -= size;
            self.sent += size;
            self.left.insert(stream, left - size);
        }
    }

    /// Takes the frames that arrive until nothing does for a while.
    fn take_frames(&mut self, mut seen: impl FnMut(u8, u8, u32, &[u8])) {
        while self.peer.is_readable(Duration::from_millis(300)) {
            let frame = self.peer.next().expect("the connection should stay open");
            assert_ne!(frame.kind, RST_STREAM, "stream {}", frame.stream);
            if frame.kind == WINDOW_UPDATE && frame.stream == 0 {
                let increment = u32::from_be_bytes(frame.payload[..4].try_into().unwrap());
                self.connection_window += increment as usize;
            }
            seen(frame.kind, frame.flags, frame.stream, &frame.payload);
        }
    }
}

fn echo_server() -> Server {
    let echo = async |mut request: Request| request.take_body().collect(usize::MAX).await.unwrap();
    start(Router::new().route(post("/echo", echo)))
}

/// Lets a client of [`echo_server`] read, and waits for the end of all replies.
#[track_caller]
fn complete(mut upload: Upload) {
    upload.peer.send(frame(SETTINGS, 0, 0, settings(&[(INITIAL_WINDOW, 1 << 20)])));
    upload.peer.send(frame(WINDOW_UPDATE, 0, 0, (100_u32 << 20).to_be_bytes()));
    let (mut received, mut ended) = (0, 0);
    while ended < 100 {
        upload.send(BODY_BYTES);
        let before = (received, upload.sent);
        upload.take_frames(|kind, flags, _, payload| {
            received += if kind == DATA { payload.len() } else { 0 };
            ended += usize::from(matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0);
        });
        assert!((received, upload.sent) != before, "{ended} replies are complete, and nothing goes on");
    }
    assert_eq!(received, 100 * BODY_BYTES);
}

#[test]
fn echoes_that_are_not_read_are_bounded_and_complete_once_they_are() {
    let server = echo_server();
    let mut upload = Upload::new(&server);
    (0..100).for_each(|n| upload.begin(2 * n + 1));
    let mut before = 1;
    while std::mem::replace(&mut before, upload.sent) != upload.sent {
        upload.send(BODY_BYTES);
        upload.take_frames(|_, _, _, _| {});
    }
    let bound = OUTBOUND_BYTES + CONNECTION_WINDOW + 2 * BODY_BYTES;
    assert!(upload.sent <= bound, "{} bytes were taken of a client that reads nothing", upload.sent);
    complete(upload);
}

#[test]
fn bodies_that_arrive_in_turns_are_all_completed() {
    let server = echo_server();
    let mut upload = Upload::new(&server);
    (0..100).for_each(|n| upload.begin(2 * n + 1));
    let mut before = 1;
    while std::mem::replace(&mut before, upload.sent) != upload.sent {
        (0..8).for_each(|_| upload.send(1000));
        upload.take_frames(|_, _, _, _| {});
    }
    complete(upload);
}

#[test]
fn handlers_wait_while_replies_are_not_read() {
    const REPLY_BYTES: usize = 512 * 1024;
    let called = Arc::new(AtomicUsize::new(0));
    let count = called.clone();
    let large = move |_: Request| {
        count.fetch_add(1, Ordering::SeqCst);
        vec![b'x'; REPLY_BYTES]
    };
    let server = start(Router::new().route(get("/large", large)).route(get("/small", |_: Request| "small")));
    let mut peer = Peer::connect_with(&server, &[(INITIAL_WINDOW, 0)]);
    for n in 0..40 {
        peer.get(2 * n + 1, "/large");
    }
    peer.get(81, "/small");
    peer.ping();
    let calls = called.load(Ordering::SeqCst);
    assert!(calls <= OUTBOUND_BYTES / REPLY_BYTES + 1, "{calls} handlers ran");
    peer.send(frame(WINDOW_UPDATE, 0, 0, (100_u32 << 20).to_be_bytes()));
    peer.send(frame(SETTINGS, 0, 0, settings(&[(INITIAL_WINDOW, 1 << 20)])));
    let (mut received, mut ended) = (0, 0);
    while ended < 41 {
        let frame = peer.next().expect("the connection should stay open");
        received += if frame.kind == DATA { frame.payload.len() } else { 0 };
        ended += usize::from(frame.ends_stream());
    }
    assert_eq!(received, 40 * REPLY_BYTES + "small".len());
}
