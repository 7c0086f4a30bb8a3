//! WebSocket timers: PING, and the timeout of its PONG.

use std::time::Duration;

use windlass::{Router, websocket, websocket_with, ws::Settings};

use super::peer::{PING, TEXT, echo, frame, open, read_text};
use crate::common::{End, builder, endless, metric, start};

const SOON: Duration = Duration::from_millis(100);

#[test]
fn an_idle_client_is_pinged_and_cut_if_it_does_not_answer() {
    let mut timeouts = endless();
    (timeouts.ws_ping, timeouts.ws_pong) = (Some(SOON), Some(SOON));
    let server = builder(Router::new().route(websocket("/ws", echo))).timeouts(timeouts).start().unwrap();
    let mut peer = open(&server, "/ws");
    let (sent, end) = peer.read_to_close();
    // The reset may overtake the ping.
    assert!(end == End::Reset && [&[][..], &[PING, 0]].contains(&&*sent), "{sent:?}");
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
