//! Flags of `windlass soak`, with the thresholds of the verdict.

use std::{path::PathBuf, str::FromStr, time::Duration};

use clap::Args;

use crate::load::{Target, Traffic, duration};

/// Flags of `windlass soak`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Soak {
    /// Server to load: [NAME=]http://HOST:PORT/PATH; with two targets, both are loaded side by side
    #[arg(long = "target", value_name = "URL", required = true)]
    pub(super) targets: Vec<Named>,
    /// Process id of the server, one for each target [default: the local process that listens on the target's
    /// address]
    #[arg(long = "pid", value_name = "PID")]
    pub(super) pids: Vec<u32>,
    /// Folder of report.html and the samples; created if it is missing
    #[arg(long, value_name = "DIR", default_value = "soak")]
    pub(super) out: PathBuf,
    /// Interval of the samples; a longer interval keeps the files of long runs small
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    pub(super) every: Duration,
    #[command(flatten)]
    pub(super) traffic: Traffic,
    #[command(flatten)]
    pub(super) thresholds: Thresholds,
}

/// Server to load and its name.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) target: Target,
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = text.split_once('=').filter(|(name, _)| is_name(name));
        let (name, url) = named.unwrap_or(("server", text));
        Ok(Self { name: name.to_owned(), target: url.parse()? })
    }
}

/// Returns `true` if a text may be part of a file name. No URL is one.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Thresholds of the verdict.
#[derive(Args, Clone, Debug)]
pub(super) struct Thresholds {
    /// Time at the start that does not count for memory, threads and p99 [default: a tenth of --duration, at
    /// most a minute; with --events a second]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(super) warmup: Option<Duration>,
    /// Maximum number of client errors
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) max_errors: u64,
    /// Maximum standard deviation of resident memory, in percent of its mean
    #[arg(long, value_name = "PERCENT", default_value_t = 10.0)]
    pub(super) max_rss_spread: f64,
    /// Maximum growth of resident memory over the last half, in percent; 1 MiB is always permitted
    #[arg(long, value_name = "PERCENT", default_value_t = 2.0)]
    pub(super) max_rss_growth: f64,
    /// Duration from which the growth of memory is judged
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = duration)]
    pub(super) rss_growth_after: Duration,
    /// Maximum number of descriptors beyond those before the load and one per connection
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(super) max_fds: u64,
    /// Time after the load within which the server must close its connections
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(super) settle: Duration,
    /// Maximum standard deviation of the p99 of the windows, in percent of its mean
    #[arg(long, value_name = "PERCENT", default_value_t = 20.0)]
    pub(super) max_p99_spread: f64,
    /// Maximum growth of p99 from the first window to the last, in percent, if the windows show a trend
    #[arg(long, value_name = "PERCENT", default_value_t = 10.0)]
    pub(super) max_p99_growth: f64,
    /// Length of a window; p99 is judged from four windows on
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub(super) window: Duration,
    /// Maximum difference between the highest and the lowest number of threads
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) max_threads_change: u64,
    /// Maximum number of events dropped for fast subscribers
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) max_dropped: u64,
    /// Maximum number of events dropped for slow subscribers [default: any number]
    #[arg(long, value_name = "N")]
    pub(super) max_dropped_slow: Option<u64>,
}

impl Thresholds {
    /// Returns the time at the start that does not count.
    pub(super) fn warmup(&self, traffic: &Traffic) -> Duration {
        const MAX: Duration = Duration::from_secs(60);
        // The duration of a run with a fixed number of events is not known.
        const WITH_EVENTS: Duration = Duration::from_secs(1);
        let default = traffic.events.map_or((traffic.duration / 10).min(MAX), |_| WITH_EVENTS);
        self.warmup.unwrap_or(default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_may_have_a_name() {
        let named: Named = "epoll=http://127.0.0.1:1/a=b".parse().unwrap();
        assert_eq!((named.name.as_str(), named.target.address.port()), ("epoll", 1));
        let plain: Named = "http://127.0.0.1:1/?a=b".parse().unwrap();
        assert_eq!((plain.name.as_str(), plain.target.address.port()), ("server", 1));
    }
}
