//! How sockets end, and who is told what.

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
use crate::common::{End, builder, eventually, metric, start};

/// Is false, which the compiler does not know.
fn false_() -> bool {
    std::hint::black_box(false)
}

/// Counts when it is dropped.
struct Counted(Arc<AtomicU32>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_close_is_answered_with_its_code_and_the_server_ends_the_connection_first() {
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
    eventually("it is counted", || metric(&server, sample) == 1.0);
}

#[test]
fn a_handler_is_told_the_peers_close() {
    let (told, heard) = flume::bounded(1);
    let router = Router::new().route(websocket("/ws", move |mut socket: Socket| {
        let told = told.clone();
        async move {
            assert_eq!(socket.peer_close(), None);
            while let Some(Ok(_)) = socket.recv().await {}
            told.send((socket.peer_close(), socket.send("late").await.is_err())).unwrap();
        }
    }));
    let server = start(router);
    let mut peer = open(&server, "/ws");
    peer.send([frame(TEXT, "x"), frame(CLOSE, b"\x0f\xa0because")].concat());
    assert_eq!(read_close(&mut peer), 4000);
    let frame = CloseFrame { code: Code::new(4000), reason: "because".into() };
    assert_eq!(heard.recv().unwrap(), (Some(frame), true));
}

#[test]
fn what_was_on_its_way_when_the_server_said_goodbye_still_comes() {
    let (told, heard) = flume::unbounded();
    let router = Router::new().route(websocket("/ws", move |mut socket: Socket| {
        let told = told.clone();
        async move {
            socket.close(Code::new(4001).unwrap(), "enough").unwrap();
            assert!(socket.close(Code::NORMAL, "").is_err());
            assert!(socket.try_send("x").is_err());
            while let Some(Ok(message)) = socket.recv().await {
                told.send(message.as_text().unwrap().to_owned()).unwrap();
            }
        }
    }));
    let server = start(router);
    let mut peer = open(&server, "/ws");
    let (first, payload) = read(&mut peer);
    assert_eq!((first, payload.as_slice()), (CLOSE, &b"\x0f\xa1enough"[..]));
    peer.send([frame(TEXT, "one"), frame(TEXT, "two"), close(4001)].concat());
    peer.expect_close();
    assert_eq!(heard.drain().collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(metric(&server, "windlass_websocket_closes_total{by=\"server\",code=\"application\"}"), 1.0);
}

#[test]
fn a_handler_that_returns_closes_with_1000_and_one_that_fails_with_1011() {
    let router = Router::new()
        .route(websocket("/returns", async |_: Socket| {}))
        .route(websocket("/fails", async |_: Socket| Err("no reason")))
        .route(websocket("/panics", async |_: Socket| assert!(false_(), "for the test")))
        .route(websocket("/panics-later", |mut socket: Socket| async move {
            let _ = socket.recv().await;
            assert!(false_(), "for the test");
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
fn a_panic_where_the_future_is_made_closes_with_1011_too() {
    let handler = |_: Socket| {
        assert!(false_(), "for the test");
        std::future::ready(())
    };
    let server = start(Router::new().route(websocket("/ws", handler)));
    let mut peer = open(&server, "/ws");
    assert_eq!(read_close(&mut peer), 1011);
    assert_eq!(metric(&server, "windlass_panics_total{place=\"websocket\"}"), 1.0);
}

#[test]
fn a_client_that_is_gone_cancels_its_handler() {
    let dropped = Arc::new(AtomicU32::new(0));
    let count = dropped.clone();
    let router = Router::new().route(websocket("/ws", move |mut socket: Socket| {
        let counted = Counted(count.clone());
        async move {
            let _counted = counted;
            let _ = socket.send("ready").await;
            // Nothing of the socket wakes it.
            Local::current().unwrap().sleep(Duration::from_secs(3600)).await;
        }
    }));
    let server = start(router);
    let mut gone = open(&server, "/ws");
    assert_eq!(read_text(&mut gone), "ready");
    gone.finish();
    gone.expect_close();
    eventually("a FIN cancels it", || dropped.load(Ordering::SeqCst) == 1);
    let mut cut = open(&server, "/ws");
    assert_eq!(read_text(&mut cut), "ready");
    cut.reset();
    eventually("a reset cancels it", || dropped.load(Ordering::SeqCst) == 2);
    let sample = "windlass_websocket_closes_total{by=\"nobody\",code=\"abnormal\"}";
    eventually("both are counted", || metric(&server, sample) == 2.0);
}

#[test]
fn what_came_before_a_fin_is_still_taken() {
    let (told, heard) = flume::unbounded();
    let router = Router::new().route(websocket("/ws", move |mut socket: Socket| {
        let told = told.clone();
        async move {
            let shard = Local::current().unwrap();
            while let Some(Ok(message)) = socket.recv().await {
                shard.sleep(Duration::from_millis(5)).await;
                told.send(message.as_text().unwrap().to_owned()).unwrap();
            }
        }
    }));
    let server = start(router);
    let mut peer = open(&server, "/ws");
    peer.send([frame(TEXT, "one"), frame(TEXT, "two"), frame(TEXT, "three")].concat());
    peer.finish();
    for text in ["one", "two"] {
        assert_eq!(heard.recv().unwrap(), text);
    }
}

#[test]
fn a_handler_has_time_to_finish_behind_the_clients_close_and_not_more() {
    let (told, heard) = flume::unbounded();
    let handler = |told: flume::Sender<&'static str>, cleanup: Duration| {
        move |mut socket: Socket| {
            let told = told.clone();
            async move {
                while let Some(Ok(_)) = socket.recv().await {}
                told.send("cleaning").unwrap();
                Local::current().unwrap().sleep(cleanup).await;
                told.send("clean").unwrap();
            }
        }
    };
    let short = Settings::new().close(Duration::from_millis(200));
    let router = Router::new()
        .route(websocket("/soon", handler(told.clone(), Duration::from_millis(20))))
        .route(websocket_with("/never", short, handler(told, Duration::from_secs(3600))));
    let server = start(router);
    for (path, last) in [("/soon", "clean"), ("/never", "cleaning")] {
        let mut peer = open(&server, path);
        peer.send(close(1000));
        assert_eq!(read_close(&mut peer), 1000);
        peer.expect_close();
        assert_eq!(heard.drain().last(), Some(last), "{path}");
    }
}

#[test]
fn a_client_that_does_not_answer_the_close_is_left_in_time() {
    let settings = Settings::new().close(Duration::from_millis(100));
    let server = start(Router::new().route(websocket_with("/ws", settings, async |_: Socket| {})));
    let mut peer = open(&server, "/ws");
    assert_eq!(read_close(&mut peer), 1000);
    assert_eq!(peer.read_to_close().1, End::Fin);
    assert_eq!(metric(&server, "windlass_timeouts_total{timer=\"ws_close\"}"), 1.0);
}

#[test]
fn a_draining_server_says_1001_and_waits_for_the_answer() {
    let server = start(Router::new().route(websocket("/ws", echo)));
    let mut peer = open(&server, "/ws");
    let mut silent = open(&server, "/ws");
    let report = std::thread::scope(|scope| {
        let drain = scope.spawn(|| server.drain(Some(Duration::from_secs(8))));
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
fn a_handler_that_keeps_its_socket_through_the_grace_is_cut() {
    let router = Router::new().route(websocket("/ws", async |_socket: Socket| {
        Local::current().unwrap().sleep(Duration::from_secs(3600)).await;
    }));
    let server = builder(router).start().unwrap();
    let mut peer = open(&server, "/ws");
    let report = server.drain(Some(Duration::from_millis(200)));
    assert_eq!(read_close(&mut peer), 1001);
    assert_eq!(peer.read_to_close().1, End::Reset);
    assert!(report.to_string().contains("websocket"), "{report}");
}
