//! Order of the data of several replies (RFC 9218), on a connection whose client reads slowly.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use windlass::{Body, BoxError, Frame, Request, Response, Router, Server, Source, get};

use super::frames::{self, DATA, PRIORITY_UPDATE, Peer, RST_STREAM, WINDOW_UPDATE, frame, request};
use crate::common::{eventually, start};

/// Limit of the server: bytes that are queued ahead of a reply that becomes ready.
const COMMITTED_BYTES: usize = 128 * 1024;

/// Length of `/download`.
const DOWNLOAD_BYTES: usize = 100 << 20;

const PIECE_BYTES: usize = 16 * 1024;

/// A download whose pieces are counted.
struct Download {
    left: usize,
    produced: Arc<AtomicUsize>,
}

impl Source for Download {
    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame, BoxError>>> {
        self.left -= PIECE_BYTES;
        self.produced.fetch_add(PIECE_BYTES, Ordering::SeqCst);
        Poll::Ready((self.left > 0).then(|| Ok(Frame::Data(vec![b'x'; PIECE_BYTES].into()))))
    }
}

/// A server whose client has asked for downloads and reads nothing: the kernel's buffers are full.
struct Stalled {
    _server: Server,
    peer: Peer,
    /// Bytes taken from all downloads.
    produced: Arc<AtomicUsize>,
    /// Requests for other paths.
    asked: Arc<AtomicUsize>,
}

impl Stalled {
    fn new(priorities: &[(u32, &str)]) -> Self {
        let (produced, asked) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (counted, count) = (produced.clone(), asked.clone());
        let download = move |_: Request| {
            let body = Download { left: DOWNLOAD_BYTES, produced: counted.clone() };
            Response::new().with_body(Body::source(body))
        };
        let short = move |_: Request| {
            count.fetch_add(1, Ordering::SeqCst);
            "short"
        };
        let server = start(Router::new().route(get("/download", download)).route(get("/short", short)));
        let mut peer = Peer::connect_with(&server, &[(4, 0x7fff_ffff)]);
        peer.send(frame(WINDOW_UPDATE, 0, 0, 0x7fff_0000_u32.to_be_bytes()));
        for (stream, priority) in priorities {
            ask(&mut peer, *stream, "/download", priority);
        }
        let mut stalled = Self { _server: server, peer, produced, asked };
        stalled.wait();
        stalled
    }

    /// Waits until nothing is taken from the downloads, as nothing can be sent.
    fn wait(&mut self) {
        let mut before = 0;
        eventually("the downloads are paused", || {
            std::thread::sleep(Duration::from_millis(100));
            let produced = self.produced.load(Ordering::SeqCst);
            produced > 0 && std::mem::replace(&mut before, produced) == produced
        });
    }

    /// Asks for a short reply. Returns how many bytes of others the server had queued ahead of it: what is
    /// received before its data, without what the kernel held when it was asked for.
    fn bytes_ahead_of_a_short_reply(&mut self, stream: u32) -> usize {
        let held = self.peer.unread_bytes();
        let asked = self.asked.load(Ordering::SeqCst);
        ask(&mut self.peer, stream, "/short", "");
        eventually("the request arrives", || self.asked.load(Ordering::SeqCst) > asked);
        let mut ahead = 0;
        loop {
            let frame = self.peer.next().expect("the connection should stay open");
            if frame.stream == stream && frame.kind == DATA {
                return ahead - held;
            }
            ahead += frames::FRAME_HEADER_BYTES + frame.payload.len();
        }
    }
}

impl Stalled {
    /// Sends a frame, and waits until the server has read it: a request for a short reply follows it.
    fn send(&mut self, stream: u32, frame: &[u8]) {
        self.wait();
        let asked = self.asked.load(Ordering::SeqCst);
        self.peer.send(frame);
        ask(&mut self.peer, stream, "/short", "");
        eventually("the request arrives", || self.asked.load(Ordering::SeqCst) > asked);
    }

    /// Skips what was queued before, and asserts that 1 MiB of data behind it is of one download.
    #[track_caller]
    fn assert_next_data_of(&mut self, stream: u32) {
        let skipped = self.peer.unread_bytes() + COMMITTED_BYTES;
        let mut received = 0;
        while received < skipped + (1 << 20) {
            let frame = self.peer.next().expect("the connection should stay open");
            received += frames::FRAME_HEADER_BYTES + frame.payload.len();
            let is_of_another = frame.kind == DATA && frame.stream <= 3 && frame.stream != stream;
            assert!(received <= skipped || !is_of_another, "{} instead of {stream}", frame.stream);
        }
    }
}

fn ask(peer: &mut Peer, stream: u32, path: &str, priority: &str) {
    let mut fields = request("GET", path);
    if !priority.is_empty() {
        fields.push(("priority", priority));
    }
    peer.headers(stream, &fields, true);
}

#[test]
fn a_short_reply_waits_for_few_bytes_of_a_download() {
    let mut stalled = Stalled::new(&[(1, "")]);
    for stream in [3, 5, 7] {
        let ahead = stalled.bytes_ahead_of_a_short_reply(stream);
        // The reply's own HEADERS is queued, too.
        assert!(ahead <= COMMITTED_BYTES + 256, "{ahead} bytes were queued ahead");
        stalled.wait();
    }
}

#[test]
fn urgent_data_overtakes_and_an_update_changes_the_order() {
    let mut stalled = Stalled::new(&[(1, "u=5"), (3, "u=4")]);
    stalled.assert_next_data_of(3);
    let update = frame(PRIORITY_UPDATE, 0, 0, [&1_u32.to_be_bytes()[..], b"u=0"].concat());
    stalled.send(5, &update);
    stalled.assert_next_data_of(1);
    stalled.send(7, &frame(RST_STREAM, 0, 1, 8_u32.to_be_bytes()));
    stalled.assert_next_data_of(3);
}
