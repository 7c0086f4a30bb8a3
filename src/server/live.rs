//! The figures of the moment as a stream of events, one a second, made only while somebody watches.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use windlass_actors::{Local, clock};

use crate::{
    metrics::{self, Metrics},
    pubsub::{
        broker::{Event, PreparedEvent},
        sse::{Client, Settings, event_stream_with},
    },
    request::Request,
    routing::route::Route,
};

/// Time between two events of one stream.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long figures are good for another watcher: less than an interval, so that nobody gets the same ones twice.
const GOOD_FOR: Duration = Duration::from_millis(500);

/// The latest figures, made at most twice a second however many watch.
struct Live {
    metrics: Arc<Metrics>,
    latest: Mutex<Option<(Instant, PreparedEvent)>>,
}

/// Makes the route of the stream.
pub(super) fn route(path: &str, metrics: &Arc<Metrics>) -> Route {
    let live = Arc::new(Live { metrics: metrics.clone(), latest: Mutex::default() });
    // A watcher that does not read holds one event and gets no further ones: what it has missed is in the next.
    let settings = Settings::new().queue(1).heartbeat(None);
    event_stream_with(path, settings, move |_: Request, client: Client| watch(live.clone(), client))
}

async fn watch(live: Arc<Live>, client: Client) {
    let Some(local) = Local::current() else { return };
    while client.send_prepared(&live.figures()).await.is_ok() {
        local.sleep(INTERVAL).await;
    }
}

impl Live {
    fn figures(&self) -> PreparedEvent {
        let now = clock::now();
        if let Some((made, event)) = &*self.latest()
            && now.saturating_duration_since(*made) < GOOD_FOR
        {
            return event.clone();
        }
        // Not under the lock: with many routes it takes long enough to hold up another shard.
        let event = PreparedEvent::new(Event::new(metrics::dashboard::json(&self.metrics)));
        *self.latest() = Some((now, event.clone()));
        event
    }

    fn latest(&self) -> MutexGuard<'_, Option<(Instant, PreparedEvent)>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
