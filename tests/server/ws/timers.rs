//! WebSocket timers: PING, and the timeout of its PONG.

use std::time::Duration;

use windlass::{
    Router, Timeouts,
    actors::Local,
    websocket, websocket_with,
    ws::{Settings, Socket},
};

use super::peer::{PING, PONG, TEXT, echo, frame, open, read, read_text};
use crate::common::{End, builder, metric, start};

const SOON: Duration = Duration::from_millis(100);

#[test]
fn an_idle_client_is_pinged_and_cut_if_it_does_not_answer() {
    let mut timeouts = Timeouts::default();
    (timeouts.ws_ping, timeouts.ws_pong) = (Some(SOON), Some(SOON));
    let server = builder(Router::new().route(websocket("/ws", echo))).timeouts(timeouts).start().unwrap();
    let mut peer = open(&server, "/ws");
    for _ in 0..3 {
        assert_eq!(read(&mut peer), (PING, Vec::new()));
        peer.send(frame(PONG, ""));
    }
    peer.send(frame(TEXT, "alive"));
    assert_eq!(read_text(&mut peer), "alive");
    assert_eq!(read(&mut peer), (PING, Vec::new()));
    assert_eq!(peer.read_to_close(), (Vec::new(), End::Reset));
    assert_eq!(metric(&server, "windlass_timeouts_total{timer=\"ws_pong\"}"), 1.0);
}

#[test]
fn no_client_is_cut_if_pings_are_disabled() {
    let settings = Settings::new().ping(None).pong(Some(SOON));
    let server = start(Router::new().route(websocket_with("/ws", settings, echo)));
    let mut peer = open(&server, "/ws");
    peer.expect_silence(SOON * 4);
    peer.send(frame(TEXT, "alive"));
    assert_eq!(read_text(&mut peer), "alive");
}

#[test]
fn a_client_is_not_cut_while_its_handler_does_not_receive() {
    let settings = Settings::new().ping(Some(SOON)).pong(Some(SOON));
    let router = Router::new().route(websocket_with("/ws", settings, async |mut socket: Socket| {
        Local::current().unwrap().sleep(SOON * 6).await;
        while let Some(Ok(message)) = socket.recv().await {
            let _ = socket.send(message).await;
        }
    }));
    let server = start(router);
    let mut peer = open(&server, "/ws");
    peer.send([frame(TEXT, "one"), frame(TEXT, "two")].concat());
    assert_eq!(read_text(&mut peer), "one");
    assert_eq!(read_text(&mut peer), "two");
}
