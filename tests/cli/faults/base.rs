//! What a server holds, and that it holds no more when everybody has left.

use std::time::{Duration, Instant};

use crate::common::{Client, PATIENCE, Serving, eventually};

/// What counts somebody who is there, by how its samples begin.
const GAUGES: [&str; 10] = [
    "windlass_connections{",
    "windlass_http2_connections{",
    "windlass_http2_streams{",
    "windlass_pool_queued_jobs{",
    "windlass_pool_running_jobs{",
    "windlass_shard_guests{",
    "windlass_shard_inbox_messages{",
    "windlass_topic_lagging_subscribers ",
    "windlass_topic_subscribers ",
    "windlass_websockets{",
];

/// A server with nobody on it but who watches.
pub(super) struct Base {
    watcher: Client,
    gauges: Vec<f64>,
    descriptors: usize,
    rounds: Duration,
}

impl Base {
    /// Waits until only the watcher is left, and notes what the server holds then.
    pub(super) fn of(serving: &Serving) -> Self {
        let mut watcher = serving.connect();
        eventually("only the watcher is connected", || {
            let page = watcher.get("/metrics").2;
            sum(&page, GAUGES[0]) == 1.0 && GAUGES[1..5].iter().all(|gauge| sum(&page, gauge) == 0.0)
        });
        let page = watcher.get("/metrics").2;
        let gauges = GAUGES.map(|gauge| sum(&page, gauge)).into();
        let rounds = rounds(serving);
        let descriptors = settled(serving);
        Self { watcher, gauges, descriptors, rounds }
    }

    /// Returns the sum of the samples that begin so.
    pub(super) fn sum(&mut self, start: &str) -> f64 {
        sum(&self.watcher.get("/metrics").2, start)
    }

    /// Asserts that the server is as it was, caught no panic and is as fast as before.
    #[track_caller]
    pub(super) fn is_back(&mut self, serving: &mut Serving) {
        serving.is_running();
        let mut held = Vec::new();
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let page = self.watcher.get("/metrics").2;
            held = GAUGES.map(|gauge| sum(&page, gauge)).into();
            if held == self.gauges {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(held, self.gauges, "the server did not let go of: {GAUGES:?}");
        eventually("its descriptors are closed", || descriptors(serving) <= self.descriptors);
        assert_eq!(self.sum("windlass_panics_total"), 0.0);
        let after = rounds(serving);
        assert!(after < self.rounds * 5 + PATIENCE / 4, "{after:?}, before {:?}", self.rounds);
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

/// Returns the number of descriptors once it has stopped falling.
fn settled(serving: &Serving) -> usize {
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

/// Connects, asks and leaves, again and again; returns how long it took.
fn rounds(serving: &Serving) -> Duration {
    let began = Instant::now();
    for _ in 0..200 {
        assert_eq!(serving.connect().get("/demo/json").0, 200);
    }
    began.elapsed()
}
