//! A server's resources, and the check that it releases them all after its clients are gone.

use std::time::{Duration, Instant};

use crate::common::{Client, Serving, TIMEOUT, eventually};

/// Prefixes of the gauges that count clients and their work.
const GAUGES: [&str; 10] = [
    "windlass_connections{",
    "windlass_http2_connections{",
    "windlass_http2_streams{",
    "windlass_pool_queued_jobs{",
    "windlass_pool_running_jobs{",
    "windlass_shard_tasks{",
    "windlass_shard_inbox_messages{",
    "windlass_topic_lagging_subscribers ",
    "windlass_topic_subscribers ",
    "windlass_websockets{",
];

/// The resources of a server whose only client is the watcher.
pub(super) struct Base {
    watcher: Client,
    gauges: Vec<f64>,
    descriptors: usize,
    request_time: Duration,
}

impl Base {
    /// Waits until only the watcher is connected, and records the server's resources.
    pub(super) fn of(serving: &Serving) -> Self {
        let mut watcher = serving.connect();
        eventually("only the watcher is connected", || {
            let page = watcher.get("/metrics").2;
            sum(&page, GAUGES[0]) == 1.0 && GAUGES[1..5].iter().all(|gauge| sum(&page, gauge) == 0.0)
        });
        let page = watcher.get("/metrics").2;
        let gauges = GAUGES.map(|gauge| sum(&page, gauge)).into();
        let request_time = time_requests(serving);
        let descriptors = stable_descriptors(serving);
        Self { watcher, gauges, descriptors, request_time }
    }

    /// Returns the sum of all samples with this prefix.
    pub(super) fn sum(&mut self, start: &str) -> f64 {
        sum(&self.watcher.get("/metrics").2, start)
    }

    /// Asserts that the server has released all resources, caught no panic, and is about as fast as before.
    #[track_caller]
    pub(super) fn assert_released(&mut self, serving: &mut Serving) {
        serving.is_running();
        let mut current = Vec::new();
        let until = Instant::now() + TIMEOUT;
        while Instant::now() < until {
            let page = self.watcher.get("/metrics").2;
            current = GAUGES.map(|gauge| sum(&page, gauge)).into();
            if current == self.gauges {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(current, self.gauges, "the server must release all of {GAUGES:?}");
        eventually("the descriptors are closed", || descriptors(serving) <= self.descriptors);
        assert_eq!(self.sum("windlass_panics_total"), 0.0);
        let after = time_requests(serving);
        assert!(after < self.request_time * 5 + TIMEOUT / 4, "{after:?}, before {:?}", self.request_time);
        assert_eq!(serving.connect().get("/demo/json").0, 200);
    }
}

fn sum(page: &str, start: &str) -> f64 {
    let values =
        page.lines().filter(|line| line.starts_with(start)).map(|line| line.rsplit_once(' ').unwrap().1);
    values.map(|value| value.parse::<f64>().unwrap()).sum()
}

fn descriptors(serving: &Serving) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", serving.id())).unwrap().count()
}

/// Returns the number of open descriptors once it has stopped falling.
fn stable_descriptors(serving: &Serving) -> usize {
    let mut fewest = descriptors(serving);
    let mut since = Instant::now();
    while since.elapsed() < Duration::from_millis(200) {
        std::thread::sleep(Duration::from_millis(5));
        let count = descriptors(serving);
        if count < fewest {
            (fewest, since) = (count, Instant::now());
        }
    }
    fewest
}

/// Sends 200 requests on a new connection each, and returns the time taken.
fn time_requests(serving: &Serving) -> Duration {
    let began = Instant::now();
    for _ in 0..200 {
        assert_eq!(serving.connect().get("/demo/json").0, 200);
    }
    began.elapsed()
}
