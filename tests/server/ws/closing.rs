//! Ends of WebSockets: by the client, the handler, a disconnect or a drain.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use windlass::{
    Router,
    actors::Local,
    websocket, websocket_with,
    ws::{CloseFrame, Code, Settings, Socket},
};

use super::peer::{CLOSE, TEXT, close, echo, echoes, frame, open, read, read_close, read_text};
use crate::common::{End, builder, endless, eventually, metric, start};

/// Returns `false`, which the compiler cannot know.
fn false_() -> bool {
    std::hint::black_box(false)
}

/// Increments a counter on drop.
struct CountOnDrop(Arc<AtomicU32>);

impl Drop for CountOnDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_close_is_answered_with_its_code_and_the_server_closes_the_connection() {
    let server = start(echoes());
    for code in [1000, 1001, 3000, 4999] {
        let mut peer = open(&server, "/ws");
        peer.send(close(code));
        assert_eq!(read_close(&mut peer), code);
        peer.expect_close();
    }
    let mut peer = open(&server, "/ws");
    peer.send(frame(CLOSE, ""));
    assert_eq!(read(&mut peer), (CLOSE, Vec::new()));
    peer.expect_close();
    let sample = "windlass_websocket_closes_total{by=\"peer\",code=\"going_away\"}";
    eventually("the close is counted", || metric(&server, sample) == 1.0);
}

#[test]
fn a_handler_gets_the_clients_close_code_and_reason() {
    let (sender, received) = flume::bounded(1);
    let router = Router::new().route(websocket("/ws", move |mut socket: Socket| {
        let sender = sender.clone();
        async move {
            assert_eq!(socket.peer_close(), None);
            while let Some(Ok(_)) = socket.recv().await {}
            sender.send((socket.peer_close(), socket.send("late").await.is_err())).unwrap();
        }
    }));
    let server = start(router);
    let mut peer = open(&server, "/ws");
    peer.send([frame(TEXT, "x"), frame(CLOSE, b"\x0f\xa0because")].concat());
    assert_eq!(read_close(&mut peer), 4000);
    let frame = CloseFrame { code: Code::new(4000), reason: "because".into() };
    assert_eq!(received.recv().unwrap(), (Some(frame), true));
}

#[test]
fn messages_in_flight_when_the_server_closes_are_still_received() {
    let (sender, received) = flume::unbounded();
    let router = Router::new().route(websocket("/ws", move |mut socket: Socket| {
        let sender = sender.clone();
        async move {
            socket.close(Code::new(4001).unwrap(), "enough").unwrap();
            assert!(socket.close(Code::NORMAL, "").is_err());
            assert!(socket.try_send("x").is_err());
            while let Some(Ok(message)) = socket.recv().await {
                sender.send(message.as_text().unwrap().to_owned()).unwrap();
            }
        }
    }));
    let server = start(router);
    let mut peer = open(&server, "/ws");
    let (first, payload) = read(&mut peer);
    assert_eq!((first, payload.as_slice()), (CLOSE, &b"\x0f\xa1enough"[..]));
    peer.send([frame(TEXT, "one"), frame(TEXT, "two"), close(4001)].concat());
    peer.expect_close();
    assert_eq!(received.drain().collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(metric(&server, "windlass_websocket_closes_total{by=\"server\",code=\"application\"}"), 1.0);
}

#[test]
fn a_handler_that_returns_closes_with_1000_and_one_that_fails_with_1011() {
    let router = Router::new()
        .route(websocket("/returns", async |_: Socket| {}))
        .route(websocket("/fails", async |_: Socket| Err("deliberate error of the test")))
        .route(websocket("/panics", async |_: Socket| assert!(false_(), "deliberate panic of the test")))
        .route(websocket("/panics-later", |mut socket: Socket| async move {
            let _ = socket.recv().await;
            assert!(false_(), "deliberate panic of the test");
        }));
    let server = start(router);
    for (path, code) in [("/returns", 1000), ("/fails", 1011), ("/panics", 1011), ("/panics-later", 1011)] {
        let mut peer = open(&server, path);
        peer.send(frame(TEXT, "x"));
        assert_eq!(read_close(&mut peer), code, "{path}");
        peer.send(close(code));
        peer.expect_close();
    }
    assert_eq!(metric(&server, "windlass_panics_total{place=\"websocket\"}"), 2.0);
}

#[test]
fn a_panic_before_the_future_is_returned_closes_with_1011() {
    let handler = |_: Socket| {
        assert!(false_(), "deliberate panic of the test");
        std::future::ready(())
    };
    let server = start(Router::new().route(websocket("/ws", handler)));
    let mut peer = open(&server, "/ws");
    assert_eq!(read_close(&mut peer), 1011);
    assert_eq!(metric(&server, "windlass_panics_total{place=\"websocket\"}"), 1.0);
}

#[test]
fn a_disconnect_cancels_the_handler() {
    let dropped = Arc::new(AtomicU32::new(0));
    let count = dropped.clone();
    let router = Router::new().route(websocket("/ws", move |mut socket: Socket| {
        let counted = CountOnDrop(count.clone());
        async move {
            let _counted = counted;
            let _ = socket.send("ready").await;
            // The socket does not wake this future.
            windlass::sleep(Duration::from_secs(3600)).await;
        }
    }));
    let server = start(router);
    let mut gone = open(&server, "/ws");
    assert_eq!(read_text(&mut gone), "ready");
    gone.finish();
    gone.expect_close();
    eventually("the FIN cancels the handler", || dropped.load(Ordering::SeqCst) == 1);
    let mut cut = open(&server, "/ws");
    assert_eq!(read_text(&mut cut), "ready");
    cut.reset();
    eventually("the reset cancels the handler", || dropped.load(Ordering::SeqCst) == 2);
    let sample = "windlass_websocket_closes_total{by=\"nobody\",code=\"abnormal\"}";
    eventually("both disconnects are counted", || metric(&server, sample) == 2.0);
}

#[test]
fn messages_before_a_fin_are_still_received() {
    let (sender, received) = flume::unbounded();
    let router = Router::new().route(websocket("/ws", move |mut socket: Socket| {
        let sender = sender.clone();
        async move {
            let shard = Local::current().unwrap();
            while let Some(Ok(message)) = socket.recv().await {
                shard.sleep(Duration::from_millis(5)).await;
                sender.send(message.as_text().unwrap().to_owned()).unwrap();
            }
        }
    }));
    let server = start(router);
    let mut peer = open(&server, "/ws");
    peer.send([frame(TEXT, "one"), frame(TEXT, "two"), frame(TEXT, "three")].concat());
    peer.finish();
    for text in ["one", "two"] {
        assert_eq!(received.recv().unwrap(), text);
    }
}

#[test]
fn a_handler_may_finish_after_the_clients_close_until_the_close_timeout() {
    let (sender, received) = flume::unbounded();
    let handler = |sender: flume::Sender<&'static str>, cleanup: Duration| {
        move |mut socket: Socket| {
            let sender = sender.clone();
            async move {
                while let Some(Ok(_)) = socket.recv().await {}
                sender.send("cleaning").unwrap();
                windlass::sleep(cleanup).await;
                sender.send("clean").unwrap();
            }
        }
    };
    let short = Settings::new().close(Duration::from_millis(200));
    let router = Router::new()
        .route(websocket("/soon", handler(sender.clone(), Duration::from_millis(20))))
        .route(websocket_with("/never", short, handler(sender, Duration::from_secs(3600))));
    let server = start(router);
    for (path, last) in [("/soon", "clean"), ("/never", "cleaning")] {
        let mut peer = open(&server, path);
        peer.send(close(1000));
        assert_eq!(read_close(&mut peer), 1000);
        peer.expect_close();
        assert_eq!(received.drain().last(), Some(last), "{path}");
    }
}

#[test]
fn a_client_that_does_not_answer_the_close_is_disconnected_after_the_timeout() {
    let settings = Settings::new().close(Duration::from_millis(100));
    let server = start(Router::new().route(websocket_with("/ws", settings, async |_: Socket| {})));
    let mut peer = open(&server, "/ws");
    assert_eq!(read_close(&mut peer), 1000);
    assert_eq!(peer.read_to_close().1, End::Fin);
    assert_eq!(metric(&server, "windlass_timeouts_total{timer=\"ws_close\"}"), 1.0);
}

#[test]
fn a_drain_sends_1001_and_waits_for_the_answer() {
    let mut timeouts = endless();
    timeouts.ws_close = Duration::from_secs(1);
    let server = builder(Router::new().route(websocket("/ws", echo))).timeouts(timeouts).start().unwrap();
    let mut peer = open(&server, "/ws");
    let mut silent = open(&server, "/ws");
    let report = std::thread::scope(|scope| {
        let drain = scope.spawn(|| server.drain(None));
        assert_eq!(read_close(&mut peer), 1001);
        assert_eq!(read_close(&mut silent), 1001);
        peer.send([frame(TEXT, "late"), close(1001)].concat());
        peer.expect_close();
        silent.expect_close();
        drain.join().unwrap()
    });
    assert!(report.to_string().contains("2"), "{report}");
}

#[test]
fn a_handler_that_outlives_the_grace_is_cut() {
    let router = Router::new().route(websocket("/ws", async |_socket: Socket| {
        windlass::sleep(Duration::from_secs(3600)).await;
    }));
    let server = builder(router).start().unwrap();
    let mut peer = open(&server, "/ws");
    let report = server.drain(Some(Duration::from_millis(200)));
    assert_eq!(read_close(&mut peer), 1001);
    assert_eq!(peer.read_to_close().1, End::Reset);
    assert!(report.to_string().contains("websocket"), "{report}");
}
