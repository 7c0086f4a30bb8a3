//! Server-sent events: a page that shows the seconds since it was opened.
//!
//! ```sh
//! cargo run --example ticks
//! curl -N http://127.0.0.1:8080/ticks
//! ```

use std::{convert::Infallible, time::Duration};

use tokio_stream::{Stream, StreamExt, wrappers::IntervalStream};
use windlass::{Html, Router, Server, StopSignal, broker::Event, get, sse::Sse};

const PAGE: &str = r#"<!doctype html><title>Ticks</title><p id="seconds">0</p>
<script>
new EventSource("/ticks").onmessage = event => document.getElementById("seconds").textContent = event.data;
</script>
"#;

/// Returns the routes. An event is sent each `period`.
pub fn router(period: Duration) -> Router {
    Router::new()
        .route(get("/", || Html(PAGE)))
        // The stream uses a timer of tokio, so it runs on the pool.
        .route(get("/ticks", move || async move { ticks(period) }).run_async())
}

fn ticks(period: Duration) -> Sse<impl Stream<Item = Result<Event, Infallible>> + Send> {
    let mut count = 0_u64;
    let events = IntervalStream::new(tokio::time::interval(period)).map(move |_| {
        count += 1;
        Ok(Event::new(count.to_string()))
    });
    Sse::new(events).heartbeat(Duration::from_secs(10))
}

#[allow(dead_code, reason = "the tests call `router` instead")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let signal = StopSignal::new()?;
    let router = router(Duration::from_secs(1));
    let server = Server::builder().listen("127.0.0.1:8080").router(router).start()?;
    println!("serving on {:?}", server.addresses());
    println!("{}", server.run(signal));
    Ok(())
}
