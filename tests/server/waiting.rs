//! Timers of handlers: inline, on the pool and in event streams.

use std::{
    future::pending,
    time::{Duration, Instant},
};

use windlass::{Router, broker::Event, event_stream, get, interval, timeout};

use crate::common::{connect, start};

const SHORT: Duration = Duration::from_millis(5);

async fn waits() -> String {
    let began = Instant::now();
    windlass::sleep(SHORT).await;
    let slept = began.elapsed() >= SHORT;
    let late = timeout(SHORT, pending::<()>()).await.is_err();
    let early = timeout(Duration::from_secs(60), async { 7 }).await;
    let mut ticks = interval(SHORT);
    let first = ticks.tick().await;
    std::thread::sleep(SHORT * 3);
    let steps =
        [ticks.tick().await, ticks.tick().await].map(|tick| (tick - first).as_nanos() / SHORT.as_nanos());
    // The ticks that passed meanwhile are skipped, but for the one that was due next.
    let skipped = steps[0] == 1 && steps[1] >= 3;
    format!("{slept} {late} {early:?} {skipped}")
}

const EXPECTED: &str = "true true Ok(7) true";

#[test]
fn timers_work_in_every_handler() {
    let server =
        start(Router::new().route(get("/inline", waits)).route(get("/async", waits).run_async()).route(
            event_stream("/events", async |_, client| {
                let _ = client.send(Event::new(waits().await)).await;
            }),
        ));
    let mut peer = connect(&server);
    assert_eq!(peer.get("/inline").text(), EXPECTED);
    assert_eq!(peer.get("/async").text(), EXPECTED);
    let events = peer.get("/events").text();
    assert!(events.contains(EXPECTED), "{events}");
}
