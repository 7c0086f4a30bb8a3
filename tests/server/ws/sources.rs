//! Message sources attached to a socket beside its handler.

use std::{
    cell::RefCell,
    collections::VecDeque,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll, Waker},
};

use windlass::{
    Router, websocket,
    ws::{Code, Delivery, Message, Prepared, Socket, Source},
};

use super::peer::{BINARY, CLOSE, TEXT, frame, open, read, read_close, read_text};
use crate::common::{eventually, metric, start};

/// A source with a queue that the handler fills.
#[derive(Clone, Default)]
struct QueuedSource(Rc<RefCell<(VecDeque<Delivery>, Option<Waker>)>>);

impl QueuedSource {
    fn push(&self, delivery: Delivery) {
        let mut inner = self.0.borrow_mut();
        inner.0.push_back(delivery);
        if let Some(waker) = inner.1.take() {
            waker.wake();
        }
    }
}

impl Source for QueuedSource {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Delivery> {
        let mut inner = self.0.borrow_mut();
        match inner.0.pop_front() {
            Some(delivery) => Poll::Ready(delivery),
            None => {
                inner.1 = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// Pushes each message of the client to the source it names, and confirms it.
async fn push_to_sources(mut socket: Socket) {
    let sources = [QueuedSource::default(), QueuedSource::default()];
    sources.iter().for_each(|source| socket.attach(source.clone()));
    while let Some(Ok(Message::Text(text))) = socket.recv().await {
        let (index, what) = text.split_at(1);
        let source = &sources[index.parse::<usize>().unwrap()];
        match what {
            "end" => source.push(Delivery::End),
            "close" => source.push(Delivery::Close(Code::TRY_AGAIN, "slow")),
            what => source.push(Delivery::Message(Prepared::text(what))),
        }
        if socket.send("ack").await.is_err() {
            return;
        }
    }
}

#[test]
fn sources_and_the_handler_share_a_socket() {
    let server = start(Router::new().route(websocket("/ws", push_to_sources)));
    let mut peer = open(&server, "/ws");
    for text in ["0one", "1two", "0three"] {
        peer.send(frame(TEXT, text));
        let mut received = [read_text(&mut peer), read_text(&mut peer)];
        received.sort();
        assert_eq!(received, ["ack", &text[1..]]);
    }
    // A source that ends does not affect the socket.
    peer.send([frame(TEXT, "0end"), frame(TEXT, "0late"), frame(TEXT, "1more")].concat());
    let mut received: Vec<String> = (0..4).map(|_| read_text(&mut peer)).collect();
    received.sort();
    assert_eq!(received, ["ack", "ack", "ack", "more"]);
    peer.send(frame(TEXT, "1close"));
    loop {
        let (first, payload) = read(&mut peer);
        if first == CLOSE {
            assert_eq!(payload, b"\x03\xf5slow");
            break;
        }
    }
}

/// A source that always has a message, and counts the messages taken.
struct Endless(Arc<AtomicU32>, Prepared);

impl Source for Endless {
    fn poll_next(&mut self, _: &mut Context<'_>) -> Poll<Delivery> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Poll::Ready(Delivery::Message(self.1.clone()))
    }
}

#[test]
fn a_source_is_polled_only_while_its_client_reads() {
    let taken = Arc::new(AtomicU32::new(0));
    let count = taken.clone();
    let router = Router::new().route(websocket("/ws", move |mut socket: Socket| {
        let count = count.clone();
        async move {
            socket.attach(Endless(count, Prepared::binary(&[7; 4096])));
            while let Some(Ok(message)) = socket.recv().await {
                if socket.send(message).await.is_err() {
                    return;
                }
            }
        }
    }));
    let server = start(router);
    let mut peer = open(&server, "/ws");
    // The kernel's buffers fill, then the socket's; after that no message is taken.
    let mut before = 0;
    eventually("the source is no longer polled", || {
        std::thread::sleep(std::time::Duration::from_millis(50));
        let now = taken.load(Ordering::SeqCst);
        std::mem::replace(&mut before, now) == now && now > 16
    });
    // Messages of the handler have a separate buffer.
    peer.send(frame(TEXT, "mine"));
    let sent = "windlass_websocket_payload_bytes_total{direction=\"in\",shard=\"#\"}";
    eventually("the message is received", || {
        (0..2).map(|shard| metric(&server, &sent.replace('#', &shard.to_string()))).sum::<f64>() == 4.0
    });
    loop {
        match read(&mut peer) {
            (BINARY, payload) => assert_eq!(payload.len(), 4096),
            (first, text) => {
                assert_eq!((first, text.as_slice()), (TEXT, &b"mine"[..]));
                break;
            }
        }
    }
}

#[test]
fn a_panicking_source_closes_only_its_socket() {
    struct Panics;
    impl Source for Panics {
        fn poll_next(&mut self, _: &mut Context<'_>) -> Poll<Delivery> {
            panic!("deliberate panic of the test");
        }
    }
    let server = start(Router::new().route(websocket("/ws", async |mut socket: Socket| {
        socket.attach(Panics);
        let _ = socket.recv().await;
    })));
    let mut peer = open(&server, "/ws");
    assert_eq!(read_close(&mut peer), 1011);
    assert_eq!(metric(&server, "windlass_panics_total{place=\"websocket\"}"), 1.0);
}
