//! What is noted every second, and everything that is noted of one server.

use std::time::Duration;

use super::{process::Usage, scrape::Page};
use crate::{
    client::latency::Latency,
    load::{Totals, Traffic},
};

/// First line of the file of samples.
pub(super) const CSV_HEAD: &str = "seconds,rss_bytes,fds,threads,cpu_seconds,shard_longest_turn_seconds,connections,\
    server_requests,requests,errors,p50_us,p90_us,p99_us,p99.9_us,max_us,published,dropped_fast,dropped_slow,\
    machine_late_p90_us,machine_late_p99_us,machine_late_p99.9_us";

/// One second.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample {
    /// Since the start.
    pub(super) seconds: f64,
    /// How long it was.
    pub(super) length: f64,
    /// `None`: the process was not there.
    pub(super) usage: Option<Usage>,
    pub(super) server: Told,
    pub(super) requests: u64,
    pub(super) errors: u64,
    /// p50, p90, p99, p99.9 and the longest; `None` where nothing was measured.
    pub(super) latency: [Option<Duration>; 5],
    pub(super) published: u64,
    pub(super) dropped: (u64, u64),
    /// How late the machine itself was: p90, p99 and p99.9.
    pub(super) late: [Option<Duration>; 3],
}

/// What the server's own page told; `None` for what it does not tell.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    /// The longest a turn ever held a shard, seconds.
    pub(super) lag: Option<f64>,
    pub(super) connections: Option<f64>,
    pub(super) requests: Option<f64>,
}

impl Told {
    pub(super) fn by(page: &Page) -> Self {
        Self {
            lag: page.max("windlass_shard_longest_turn_seconds"),
            connections: page.sum("windlass_connections"),
            requests: page.sum("windlass_requests_dispatched_total"),
        }
    }
}

impl Sample {
    /// Puts a sample together.
    pub(super) fn new(
        at: (Duration, Duration),
        usage: Option<Usage>,
        server: Told,
        second: &Totals,
        stalls: &Latency,
    ) -> Self {
        Self {
            seconds: at.0.as_secs_f64(),
            length: at.1.as_secs_f64(),
            usage,
            server,
            requests: second.requests,
            errors: second.errors(),
            latency: [0.5, 0.9, 0.99, 0.999, 1.0].map(|part| second.latency.quantile(part)),
            published: second.published,
            dropped: second.dropped,
            late: [0.9, 0.99, 0.999].map(|part| stalls.quantile(part)),
        }
    }

    /// Returns its line of the file; what is not known is empty.
    pub(super) fn csv_line(&self) -> String {
        let usage = match self.usage {
            Some(Usage { rss_bytes, fds, threads, cpu_seconds }) => {
                format!("{rss_bytes},{fds},{threads},{cpu_seconds:.2}")
            }
            None => ",,,".to_owned(),
        };
        let told = [self.server.lag, self.server.connections, self.server.requests];
        let told = told.map(|value| value.map(|value| value.to_string()).unwrap_or_default()).join(",");
        let (latency, late) = (micros(self.latency), micros(self.late));
        let (fast, slow) = self.dropped;
        let (seconds, requests, errors, published) =
            (self.seconds, self.requests, self.errors, self.published);
        format!("{seconds:.1},{usage},{told},{requests},{errors},{latency},{published},{fast},{slow},{late}")
    }
}

fn micros<const N: usize>(values: [Option<Duration>; N]) -> String {
    let text = values.map(|value| value.map(|value| format!("{:.1}", value.as_secs_f64() * 1e6)));
    text.map(Option::unwrap_or_default).join(",")
}

/// What is known of a window.
#[derive(Clone, Copy, Debug)]
pub(super) struct WindowFigures {
    /// p99 of the latency, seconds.
    pub(super) p99: f64,
    /// p99 of how late the machine itself was, seconds.
    pub(super) late: f64,
}

/// Everything that is known of a soak of one server: what the verdict is about.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) name: String,
    pub(super) traffic: Traffic,
    /// From one sample to the next.
    pub(super) every: Duration,
    /// Time at the start that some rules leave out.
    pub(super) warmup: Duration,
    /// Before the load.
    pub(super) base: Option<Usage>,
    pub(super) samples: Vec<Sample>,
    /// Each window behind the warm-up.
    pub(super) windows: Vec<WindowFigures>,
    /// When the server had time to close what the load opened.
    pub(super) after: Option<Usage>,
    pub(super) totals: Totals,
}

impl Record {
    /// Returns how long the run was meant to be; one of so many events is as long as it took.
    pub(super) fn length(&self) -> Duration {
        let seconds = self.samples.last().map_or(0.0, |sample| sample.seconds);
        self.traffic.events.map_or(self.traffic.duration, |_| Duration::from_secs_f64(seconds))
    }

    /// Returns how many cores' time the process used on average in each half of the time behind the warm-up.
    pub(super) fn cores_used_by_half(&self) -> (f64, f64) {
        let used: Vec<_> = self.warm().map(|(seconds, usage)| (seconds, usage.cpu_seconds)).collect();
        let cores = |part: &[(f64, f64)]| match part {
            [(began, before), .., (ended, after)] => {
                (after - before) / (ended - began).max(f64::MIN_POSITIVE)
            }
            _ => 0.0,
        };
        let half = used.len() / 2;
        (cores(&used[..half]), cores(&used[half..]))
    }

    /// Returns what the process used in each second behind the warm-up.
    pub(super) fn warm(&self) -> impl Iterator<Item = (f64, Usage)> {
        let warmup = self.warmup.as_secs_f64();
        let warm = self.samples.iter().filter(move |sample| sample.seconds > warmup);
        warm.filter_map(|sample| Some((sample.seconds, sample.usage?)))
    }
}
