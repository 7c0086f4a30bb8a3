//! The current metrics as an event stream, one event a second. They are computed only while somebody listens.

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

/// Pause between two events of one stream.
const INTERVAL: Duration = Duration::from_secs(1);

/// Age up to which an event is sent to further streams. Shorter than the interval, so that no stream repeats
/// an event.
const SHARED_FOR: Duration = Duration::from_millis(500);

/// The latest event, computed at most twice a second for any number of streams.
struct LiveMetrics {
    metrics: Arc<Metrics>,
    latest: Mutex<Option<(Instant, PreparedEvent)>>,
}

/// Creates the route of the stream.
pub(super) fn route(path: &str, metrics: &Arc<Metrics>) -> Route {
    let live = Arc::new(LiveMetrics { metrics: metrics.clone(), latest: Mutex::default() });
    // The counters are totals, so a slow client needs only the next event. A queue of one event suffices.
    let settings = Settings::new().queue(1).heartbeat(None);
    event_stream_with(path, settings, move |_: Request, client: Client| send_events(live.clone(), client))
}

async fn send_events(live: Arc<LiveMetrics>, client: Client) {
    let Some(local) = Local::current() else { return };
    while client.send_prepared(&live.event()).await.is_ok() {
        local.sleep(INTERVAL).await;
    }
}

impl LiveMetrics {
    /// Returns the latest event, or computes a new one if that is older than [`SHARED_FOR`].
    fn event(&self) -> PreparedEvent {
        let now = clock::now();
        if let Some((created, event)) = &*self.latest()
            && now.saturating_duration_since(*created) < SHARED_FOR
        {
            return event.clone();
        }
        // Computed without the lock: with many routes it takes long enough to delay other shards.
        let event = PreparedEvent::new(Event::new(metrics::dashboard::json(&self.metrics)));
        *self.latest() = Some((now, event.clone()));
        event
    }

    fn latest(&self) -> MutexGuard<'_, Option<(Instant, PreparedEvent)>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
