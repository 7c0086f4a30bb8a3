//! WebSocket messages in both directions, and back-pressure.

use std::{cell::Cell, rc::Rc, sync::Arc, time::Duration};

use tokio::sync::Semaphore;
use windlass::{
    Limits, Request, Router,
    actors::Local,
    get,
    proto::ws::deflate::{Deflater, Inflater},
    websocket, websocket_with,
    ws::{Message, Prepared, Settings, Socket, TrySendError, upgrade},
};

use super::peer::{
    BINARY, PING, PONG, TEXT, close, echoes, frame, open, opening, read, read_close, read_text,
};
use crate::common::{builder, connect, eventually, metric, start};

#[test]
fn text_and_binary_messages_of_any_length_are_echoed() {
    let server = start(echoes());
    let mut peer = open(&server, "/ws");
    for len in [0, 1, 125, 126, 4096, 65_535, 65_536, 300_000] {
        let payload: Vec<u8> = (0..len).map(|n| b'a' + (n % 26) as u8).collect();
        for first in [TEXT, BINARY] {
            peer.send(frame(first, &payload));
            let (first_byte, back) = read(&mut peer);
            assert!(first_byte == first && back == payload, "{len} bytes");
        }
    }
}

#[test]
fn fragments_with_a_ping_between_them_are_one_message() {
    let server = start(echoes());
    let mut peer = open(&server, "/ws");
    for byte in [frame(0x01, "frag"), frame(PING, "there?"), frame(0x80, "ments")].concat() {
        peer.send([byte]);
    }
    assert_eq!(read(&mut peer), (PONG, b"there?".to_vec()));
    assert_eq!(read_text(&mut peer), "fragments");
}

#[test]
fn many_messages_in_one_segment_are_answered_in_order() {
    let server = start(echoes());
    let mut peer = open(&server, "/ws");
    let frames: Vec<u8> = (0..1000).flat_map(|n: u32| frame(TEXT, n.to_string())).collect();
    peer.send(frames);
    for n in 0..1000 {
        assert_eq!(read_text(&mut peer), n.to_string());
    }
}

#[test]
fn bytes_after_the_handshake_request_belong_to_the_socket() {
    let server = start(echoes());
    let mut peer = connect(&server);
    peer.send([opening("/ws", "").into_bytes(), frame(TEXT, "early"), close(1000)].concat());
    assert_eq!(peer.reply().status, 101);
    assert_eq!(read_text(&mut peer), "early");
    assert_eq!(read_close(&mut peer), 1000);
    peer.expect_close();
}

#[test]
fn a_compressed_message_is_echoed_compressed() {
    let server = start(echoes());
    let mut peer = super::peer::open_at(
        crate::common::address(&server),
        "/deflate",
        "Sec-WebSocket-Extensions: permessage-deflate\r\n",
    );
    let text = "again and ".repeat(50);
    let mut deflated = Vec::new();
    Deflater::new(6, 15).deflate(text.as_bytes(), &mut deflated);
    for _ in 0..2 {
        peer.send(frame(0xc1, &deflated));
        let (first, payload) = read(&mut peer);
        assert!(first == 0xc1 && payload.len() < 50, "{first:#x}, {} bytes", payload.len());
        let mut inflated = Vec::new();
        let take = |piece: &[u8]| {
            inflated.extend_from_slice(piece);
            Ok(())
        };
        Inflater::default().inflate(&payload, &mut Vec::new(), take).unwrap();
        assert_eq!(inflated, text.as_bytes());
    }
}

#[test]
fn a_handler_may_send_first_and_drop_its_receiver() {
    let gate = Arc::new(Semaphore::new(0));
    let closed = gate.clone();
    let router = Router::new().route(websocket("/ws", move |socket: Socket| {
        let gate = closed.clone();
        async move {
            let (mut sender, receiver) = socket.split();
            drop(receiver);
            sender.send("hello").await?;
            for n in 0..3 {
                gate.acquire().await.unwrap().forget();
                sender.send(n.to_string()).await?;
            }
            Ok::<(), windlass::ws::Closed>(())
        }
    }));
    let server = start(router);
    let mut peer = open(&server, "/ws");
    assert_eq!(read_text(&mut peer), "hello");
    // Messages that no receiver takes are discarded; a later PING is still answered.
    peer.send([frame(TEXT, "x".repeat(1000)).repeat(100), frame(PING, "p")].concat());
    assert_eq!(read(&mut peer), (PONG, b"p".to_vec()));
    for n in 0..3 {
        gate.add_permits(1);
        assert_eq!(read_text(&mut peer), n.to_string());
    }
    assert_eq!(read_close(&mut peer), 1000);
}

#[test]
fn sender_and_receiver_work_in_a_separate_task() {
    let router = Router::new().route(websocket("/ws", |socket: Socket| async move {
        let (mut sender, mut receiver) = socket.split();
        let done = Rc::new(Cell::new(false));
        let done_sender = done.clone();
        let shard = Local::current().unwrap();
        shard.spawn(async move {
            while let Some(Ok(Message::Text(text))) = receiver.recv().await {
                if sender.send(text + "!").await.is_err() {
                    break;
                }
            }
            done_sender.set(true);
        });
        while !done.get() {
            shard.sleep(Duration::from_millis(1)).await;
        }
    }));
    let server = start(router);
    let mut peer = open(&server, "/ws");
    peer.send([frame(TEXT, "one"), frame(TEXT, "two")].concat());
    assert_eq!(read_text(&mut peer), "one!");
    assert_eq!(read_text(&mut peer), "two!");
    peer.send(close(1000));
    assert_eq!(read_close(&mut peer), 1000);
    peer.expect_close();
}

#[test]
fn a_handler_that_does_not_receive_blocks_its_client_and_loses_nothing() {
    const MESSAGE: usize = 8192;
    let (gate, opened) = flume::bounded(1);
    let router = Router::new().route(get("/ws", move |request: Request| {
        let opened = opened.clone();
        upgrade(&request, &Settings::new(), move |mut socket: Socket| async move {
            opened.recv_async().await.unwrap();
            let (mut count, mut bytes) = (0, 0);
            while let Some(Ok(message)) = socket.recv().await {
                if message.is_empty() {
                    let _ = socket.send(format!("{count} {bytes}")).await;
                }
                count += 1;
                bytes += message.len();
            }
        })
    }));
    let server = start(router);
    let mut peer = open(&server, "/ws");
    let messages = 4000;
    let payload = vec![b'x'; MESSAGE];
    let all = [frame(BINARY, &payload).repeat(messages), frame(BINARY, "")].concat();
    let sent = peer.send_until_stuck(&all, Duration::from_millis(100));
    assert!(sent < all.len(), "the client must be blocked by back-pressure, but sent {sent} bytes");
    gate.send(()).unwrap();
    peer.send(&all[sent..]);
    assert_eq!(read_text(&mut peer), format!("{messages} {}", messages * MESSAGE));
}

#[test]
fn a_client_that_does_not_read_blocks_the_sender() {
    let settings = Settings::new().outbound_bytes(66 * 1024);
    let router = Router::new().route(websocket_with("/ws", settings, |mut socket: Socket| async move {
        let payload = vec![b'x'; 32 * 1024];
        let mut sent: u32 = 0;
        loop {
            match socket.try_send(payload.as_slice()) {
                Ok(()) => sent += 1,
                Err(TrySendError::Full(back)) => {
                    assert_eq!(back.len(), payload.len());
                    break;
                }
                Err(TrySendError::Closed) => return,
            }
        }
        // `send` waits for room.
        for _ in 0..500 {
            if socket.send(payload.as_slice()).await.is_err() {
                return;
            }
        }
        let _ = socket.send(format!("{sent}")).await;
    }));
    let server = start(router);
    let mut peer = open(&server, "/ws");
    eventually("a message was refused because the buffer is full", || {
        metric(&server, "windlass_websocket_full_total") == 1.0
    });
    let mut messages = 0;
    loop {
        let (first, payload) = read(&mut peer);
        if first == TEXT {
            let refused_after: u32 = String::from_utf8(payload).unwrap().parse().unwrap();
            assert_eq!((refused_after, messages), (2, 2 + 500));
            break;
        }
        messages += 1;
    }
}

#[test]
fn a_prepared_message_is_sent_compressed_if_negotiated() {
    let deflate = windlass::ws::Deflate { threshold_bytes: 0, ..Default::default() };
    let handler = move |mut socket: Socket| async move {
        let prepared = Prepared::text(&"news ".repeat(100)).with_deflate(&deflate);
        assert_eq!(prepared.len(), 500);
        let _ = socket.send(&prepared).await;
        let _ = socket.recv().await;
    };
    let settings = Settings::new().compression(deflate);
    let server = start(Router::new().route(websocket_with("/ws", settings, handler)));
    let mut plain = open(&server, "/ws");
    assert_eq!(read_text(&mut plain), "news ".repeat(100));
    let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let mut compressed = super::peer::open_at(crate::common::address(&server), "/ws", offer);
    let (first, payload) = read(&mut compressed);
    assert!(first == 0xc1 && payload.len() < 50, "{first:#x}, {} bytes", payload.len());
}

#[test]
fn a_message_at_the_limit_is_accepted_and_a_longer_one_refused() {
    let limits = {
        let mut limits = Limits::default();
        limits.ws_message_bytes = 1000;
        limits
    };
    let server = builder(echoes()).limits(limits).start().unwrap();
    let mut peer = open(&server, "/ws");
    peer.send([frame(0x02, vec![1; 600]), frame(0x80, vec![2; 400])].concat());
    assert_eq!(read(&mut peer).1.len(), 1000);
    peer.send([frame(0x02, vec![1; 600]), frame(0x80, vec![2; 401])].concat());
    assert_eq!(read_close(&mut peer), 1009);
    peer.expect_close();
}
