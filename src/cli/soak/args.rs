//! Flags of `windlass soak`, among them every threshold of the verdict.

use std::{path::PathBuf, str::FromStr, time::Duration};

use clap::Args;

use crate::load::{Target, Traffic, duration};

#[derive(Args, Clone, Debug)]
pub(crate) struct Soak {
    /// Server: [NAME=]http://HOST:PORT/PATH; given twice, both are soaked side by side
    #[arg(long = "target", value_name = "URL", required = true)]
    pub(super) targets: Vec<Named>,
    /// Its process, if it is not the one of this machine that listens there; one for each target
    #[arg(long = "pid", value_name = "PID")]
    pub(super) pids: Vec<u32>,
    /// Folder for report.html and the figures of every second; made if it is missing
    #[arg(long, value_name = "DIR", default_value = "soak")]
    pub(super) out: PathBuf,
    /// Time from one look at the server to the next: longer ones make small files of long runs
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    pub(super) every: Duration,
    #[command(flatten)]
    pub(super) traffic: Traffic,
    #[command(flatten)]
    pub(super) thresholds: Thresholds,
}

/// A target and what it is called.
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

/// Says whether a text may be part of a file's name; no URL is one.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// What the verdict allows.
#[derive(Args, Clone, Debug)]
pub(super) struct Thresholds {
    /// Time at the start that memory, threads and p99 are not judged by [default: a tenth of --duration, a minute at most;
    /// with --events a second]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(super) warmup: Option<Duration>,
    /// Client errors
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) max_errors: u64,
    /// Standard deviation of resident memory, percent of its mean
    #[arg(long, value_name = "PERCENT", default_value_t = 10.0)]
    pub(super) max_rss_spread: f64,
    /// Growth of resident memory over the last half, percent; a MiB is always allowed
    #[arg(long, value_name = "PERCENT", default_value_t = 2.0)]
    pub(super) max_rss_growth: f64,
    /// Runs shorter than this are not judged by the growth of their memory
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = duration)]
    pub(super) rss_growth_after: Duration,
    /// Descriptors at the peak, beyond those before the load and one a connection
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(super) max_fds: u64,
    /// How long the server may take to close what the load opened
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(super) settle: Duration,
    /// Standard deviation of the windows' p99, percent of its mean
    #[arg(long, value_name = "PERCENT", default_value_t = 20.0)]
    pub(super) max_p99_spread: f64,
    /// Growth of p99 from the first window to the last, percent, where the windows show a trend
    #[arg(long, value_name = "PERCENT", default_value_t = 10.0)]
    pub(super) max_p99_growth: f64,
    /// Length of a window; a run with fewer than four is not judged by its p99
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub(super) window: Duration,
    /// Difference between the most and the fewest threads
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) max_threads_change: u64,
    /// Events that subscribers who read at once did not get
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) max_dropped: u64,
    /// Events that slow subscribers did not get; unset, they may lose any number
    #[arg(long, value_name = "N")]
    pub(super) max_dropped_slow: Option<u64>,
}

impl Thresholds {
    /// Returns how much of a run's start is not judged.
    pub(super) fn warmup(&self, traffic: &Traffic) -> Duration {
        const LONGEST: Duration = Duration::from_secs(60);
        // Nobody knows how long so many events take.
        const OF_EVENTS: Duration = Duration::from_secs(1);
        let usual = traffic.events.map_or((traffic.duration / 10).min(LONGEST), |_| OF_EVENTS);
        self.warmup.unwrap_or(usual)
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
