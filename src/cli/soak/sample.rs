//! Samples of one server, and everything recorded about it.

use std::time::Duration;

use super::{process::Usage, scrape::Page};
use crate::{
    client::{latency::Latency, totals::Totals},
    load::Traffic,
};

/// First line of the file of samples.
pub(super) const CSV_HEAD: &str = "seconds,rss_bytes,fds,threads,cpu_seconds,shard_longest_turn_seconds,\
    connections,server_requests,requests,errors,p50_us,p90_us,p99_us,p99.9_us,max_us,published,\
    dropped_fast,dropped_slow,machine_late_p90_us,machine_late_p99_us,machine_late_p99.9_us";

/// Figures of one interval, a second by default.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample {
    /// End of the interval, in seconds from the start.
    pub(super) seconds: f64,
    /// Length of the interval in seconds.
    pub(super) length: f64,
    /// Resource usage at the end; `None` if the process was not seen.
    pub(super) usage: Option<Usage>,
    pub(super) server: ServerFigures,
    pub(super) requests: u64,
    pub(super) errors: u64,
    /// p50, p90, p99, p99.9 and maximum; `None` without a response.
    pub(super) latency: [Option<Duration>; 5],
    pub(super) published: u64,
    pub(super) dropped_fast: u64,
    pub(super) dropped_slow: u64,
    /// Delay of the machine itself: p90, p99 and p99.9.
    pub(super) late: [Option<Duration>; 3],
}

/// Figures from the server's metrics; `None` if it does not report them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ServerFigures {
    /// Metric `windlass_shard_longest_turn_seconds`, maximum over all shards.
    pub(super) longest_turn: Option<f64>,
    pub(super) connections: Option<f64>,
    pub(super) requests: Option<f64>,
}

impl ServerFigures {
    pub(super) fn new(page: &Page) -> Self {
        Self {
            longest_turn: page.max("windlass_shard_longest_turn_seconds"),
            connections: page.sum("windlass_connections"),
            requests: page.sum("windlass_requests_dispatched_total"),
        }
    }
}

impl Sample {
    /// Creates a sample of an interval of this length that ends at `end`.
    pub(super) fn new(
        (end, length): (Duration, Duration),
        usage: Option<Usage>,
        server: ServerFigures,
        totals: &Totals,
        stalls: &Latency,
    ) -> Self {
        Self {
            seconds: end.as_secs_f64(),
            length: length.as_secs_f64(),
            usage,
            server,
            requests: totals.requests,
            errors: totals.errors(),
            latency: [0.5, 0.9, 0.99, 0.999, 1.0].map(|quantile| totals.latency.quantile(quantile)),
            published: totals.published,
            dropped_fast: totals.dropped_fast,
            dropped_slow: totals.dropped_slow,
            late: [0.9, 0.99, 0.999].map(|quantile| stalls.quantile(quantile)),
        }
    }

    /// Returns the CSV line of the sample. A missing figure is empty.
    pub(super) fn csv_line(&self) -> String {
        let usage = match self.usage {
            Some(Usage { rss_bytes, fds, threads, cpu_seconds }) => {
                format!("{rss_bytes},{fds},{threads},{cpu_seconds:.2}")
            }
            None => ",,,".to_owned(),
        };
        let server = [self.server.longest_turn, self.server.connections, self.server.requests];
        let server = server.map(|value| value.map(|value| value.to_string()).unwrap_or_default()).join(",");
        let (latency, late) = (micros(self.latency), micros(self.late));
        let (fast, slow) = (self.dropped_fast, self.dropped_slow);
        let (seconds, requests, errors, published) =
            (self.seconds, self.requests, self.errors, self.published);
        format!(
            "{seconds:.1},{usage},{server},{requests},{errors},{latency},{published},{fast},{slow},{late}"
        )
    }
}

fn micros<const N: usize>(values: [Option<Duration>; N]) -> String {
    let text = values.map(|value| value.map(|value| format!("{:.1}", value.as_secs_f64() * 1e6)));
    text.map(Option::unwrap_or_default).join(",")
}

/// Figures of a window.
#[derive(Clone, Copy, Debug)]
pub(super) struct WindowFigures {
    /// p99 of the latency, in seconds.
    pub(super) p99: f64,
    /// p99 of the delay of the machine itself, in seconds.
    pub(super) late: f64,
}

/// Everything recorded about one server. The verdict judges it.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) name: String,
    pub(super) traffic: Traffic,
    /// Interval of the samples.
    pub(super) every: Duration,
    /// Time at the start that does not count for some rules.
    pub(super) warmup: Duration,
    /// Resource usage before the load.
    pub(super) base: Option<Usage>,
    pub(super) samples: Vec<Sample>,
    /// Windows after the warm-up.
    pub(super) windows: Vec<WindowFigures>,
    /// Resource usage after the server had time to close its connections.
    pub(super) after: Option<Usage>,
    pub(super) totals: Totals,
}

impl Record {
    /// Returns the planned duration, or the actual one of a run with a fixed number of events.
    pub(super) fn length(&self) -> Duration {
        let seconds = self.samples.last().map_or(0.0, |sample| sample.seconds);
        self.traffic.events.map_or(self.traffic.duration, |_| Duration::from_secs_f64(seconds))
    }

    /// Returns the average number of cores that the process used in each half of the time after the warm-up.
    pub(super) fn cores_used_by_half(&self) -> (f64, f64) {
        let used: Vec<_> = self.warm().map(|(seconds, usage)| (seconds, usage.cpu_seconds)).collect();
        let cores = |part: &[(f64, f64)]| match part {
            [(start, before), .., (end, after)] => (after - before) / (end - start).max(f64::MIN_POSITIVE),
            _ => 0.0,
        };
        let half = used.len() / 2;
        (cores(&used[..half]), cores(&used[half..]))
    }

    /// Returns the samples of the process after the warm-up, with their time in seconds.
    pub(super) fn warm(&self) -> impl Iterator<Item = (f64, Usage)> {
        let warmup = self.warmup.as_secs_f64();
        let warm = self.samples.iter().filter(move |sample| sample.seconds > warmup);
        warm.filter_map(|sample| Some((sample.seconds, sample.usage?)))
    }
}
