//! Messages that reach a socket beside its handler's.

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

/// A source that is fed on its shard.
#[derive(Clone, Default)]
struct Fed(Rc<RefCell<(VecDeque<Delivery>, Option<Waker>)>>);

impl Fed {
    fn give(&self, delivery: Delivery) {
        let mut inner = self.0.borrow_mut();
        inner.0.push_back(delivery);
        if let Some(waker) = inner.1.take() {
            waker.wake();
        }
    }
}

impl Source for Fed {
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

/// Gives what the client says to the source it names, and says so.
async fn relay(mut socket: Socket) {
    let sources = [Fed::default(), Fed::default()];
    sources.iter().for_each(|source| socket.attach(source.clone()));
    while let Some(Ok(Message::Text(text))) = socket.recv().await {
        let (index, what) = text.split_at(1);
        let source = &sources[index.parse::<usize>().unwrap()];
        match what {
            "end" => source.give(Delivery::End),
            "close" => source.give(Delivery::Close(Code::TRY_AGAIN, "slow")),
            what => source.give(Delivery::Message(Prepared::text(what))),
        }
        if socket.send("given").await.is_err() {
            return;
        }
    }
}

#[test]
fn sources_and_the_handler_share_a_socket() {
    let server = start(Router::new().route(websocket("/ws", relay)));
    let mut peer = open(&server, "/ws");
    for text in ["0one", "1two", "0three"] {
        peer.send(frame(TEXT, text));
        let mut came = [read_text(&mut peer), read_text(&mut peer)];
        came.sort();
        assert_eq!(came, ["given", &text[1..]]);
    }
    // A source that ends leaves the socket as it is.
    peer.send([frame(TEXT, "0end"), frame(TEXT, "0late"), frame(TEXT, "1more")].concat());
    let mut came: Vec<String> = (0..4).map(|_| read_text(&mut peer)).collect();
    came.sort();
    assert_eq!(came, ["given", "given", "given", "more"]);
    peer.send(frame(TEXT, "1close"));
    loop {
        let (first, payload) = read(&mut peer);
        if first == CLOSE {
            assert_eq!(payload, b"\x03\xf5slow");
            break;
        }
    }
}

/// Never short of messages; counts what was taken of it.
struct Endless(Arc<AtomicU32>, Prepared);

impl Source for Endless {
    fn poll_next(&mut self, _: &mut Context<'_>) -> Poll<Delivery> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Poll::Ready(Delivery::Message(self.1.clone()))
    }
}

#[test]
fn a_source_is_asked_for_no_more_than_its_client_takes() {
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
    // The kernel's buffers fill, then the socket's; then nothing more is taken.
    let mut before = 0;
    eventually("it is left alone", || {
        std::thread::sleep(std::time::Duration::from_millis(50));
        let now = taken.load(Ordering::SeqCst);
        std::mem::replace(&mut before, now) == now && now > 16
    });
    // The handler's own messages have room of their own.
    peer.send(frame(TEXT, "mine"));
    let sent = "windlass_websocket_payload_bytes_total{direction=\"in\",shard=\"#\"}";
    eventually("it is taken", || {
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
fn a_source_that_panics_closes_its_socket_only() {
    struct Panics;
    impl Source for Panics {
        fn poll_next(&mut self, _: &mut Context<'_>) -> Poll<Delivery> {
            panic!("for the test");
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
