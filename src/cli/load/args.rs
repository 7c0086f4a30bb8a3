//! Flags of the load, for `windlass load` and `windlass soak`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use super::target::Target;
use crate::client::payload::MAX_EVENT_BYTES;

/// Kind of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// GET over HTTP/1.1
    H1,
    /// GET over HTTP/2, by prior knowledge
    H2,
    /// Subscribers of a topic; each delivery counts as a request
    Sse,
    /// WebSocket messages that the server must echo
    Ws,
    /// All of these, and some subscribers that read slowly
    Mixed,
    /// Subscribers of a topic, half of which read slowly
    Slow,
}

/// Flags of `windlass load`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Load {
    /// URL to load: http://HOST:PORT/PATH
    pub(super) url: Target,
    #[command(flatten)]
    pub(super) traffic: Traffic,
    /// Print the result as JSON
    #[arg(long)]
    pub(super) json: bool,
    /// Write a CSV line for each second to this file
    #[arg(long, value_name = "FILE")]
    pub(super) csv: Option<PathBuf>,
}

/// Flags of the traffic.
#[derive(Args, Clone, Debug)]
pub(crate) struct Traffic {
    /// Kind of traffic
    #[arg(long, value_enum, default_value = "h1")]
    pub(crate) workload: Workload,
    /// Number of connections
    #[arg(long, value_name = "N", default_value_t = 64)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) connections: u32,
    /// Total requests per second, on a schedule that does not wait for responses (open loop); latency starts
    /// when a request is due. Without it each response triggers the next request (closed loop)
    #[arg(long, value_name = "N", value_parser = rate)]
    pub(crate) rate: Option<f64>,
    /// Duration of the load, such as 10s or 10m
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(crate) duration: Duration,
    /// Time after which a missing response is an error
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(super) timeout: Duration,
    /// Requests in flight on each HTTP/2 connection
    #[arg(long, value_name = "N", default_value_t = 8)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(super) streams: u32,
    /// Path of the topic; GET subscribes to it, POST publishes to it
    #[arg(long, value_name = "PATH", default_value = "/topics/load")]
    pub(super) topic: String,
    /// Events published per second [default: 100; with --events as fast as the server accepts them]
    #[arg(long, value_name = "N", value_parser = rate)]
    pub(super) event_rate: Option<f64>,
    /// Size of an event or a WebSocket message in bytes
    #[arg(long, value_name = "N", default_value_t = 256)]
    #[arg(value_parser = clap::value_parser!(u32).range(40..=MAX_EVENT_BYTES as i64))]
    pub(super) event_bytes: u32,
    /// Publish exactly this many events and end when all subscribers have received them, without a time limit
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) events: Option<u64>,
    /// Bytes per second that a slow subscriber reads while events are published
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(20..=1_000_000_000))]
    pub(super) slow_rate: u32,
    /// Path of a WebSocket that echoes messages
    #[arg(long, value_name = "PATH", default_value = "/demo/ws-echo")]
    pub(super) ws_path: String,
}

/// Number of connections of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shares {
    pub(super) h1: u32,
    pub(super) h2: u32,
    pub(super) ws: u32,
    /// Subscribers that read at once.
    pub(super) fast: u32,
    /// Subscribers that read at a limited rate.
    pub(super) slow: u32,
}

/// Default number of events published per second.
const EVENT_RATE: f64 = 100.0;

impl Traffic {
    /// Returns the events per second. `None`: each accepted event triggers the next.
    pub(super) fn event_rate(&self) -> Option<f64> {
        self.event_rate.or(self.events.is_none().then_some(EVENT_RATE))
    }

    /// Divides the connections among the protocols.
    ///
    /// # Errors
    ///
    /// This build lacks a protocol of the workload.
    pub(super) fn shares(&self) -> Result<Shares, String> {
        let all = self.connections;
        let none = Shares::default();
        let shares = match self.workload {
            Workload::H1 => Shares { h1: all, ..none },
            Workload::H2 => Shares { h2: all, ..none },
            Workload::Ws => Shares { ws: all, ..none },
            Workload::Sse => Shares { fast: all, ..none },
            Workload::Slow => Shares { fast: all - all / 2, slow: all / 2, ..none },
            Workload::Mixed => mixed(all),
        };
        if shares.h2 > 0 && cfg!(not(feature = "http2")) {
            return Err("this build has no HTTP/2: build it with the feature `http2`".to_owned());
        }
        if shares.ws > 0 && cfg!(not(feature = "ws")) {
            return Err("this build has no WebSocket: build it with the feature `ws`".to_owned());
        }
        Ok(shares)
    }
}

fn mixed(all: u32) -> Shares {
    let (h2, ws, fast, slow) = (all / 5, all / 5, all / 5, all / 10);
    Shares { h1: all - h2 - ws - fast - slow, h2, ws, fast, slow }
}

impl Shares {
    /// Returns the number of subscribers.
    pub(super) fn subscribers(self) -> u32 {
        self.fast + self.slow
    }

    /// Returns `true` if a connection sends requests or messages.
    pub(super) fn has_requests(self) -> bool {
        self.h1 + self.h2 + self.ws > 0
    }
}

/// Parses a duration: `90` (seconds), `10s`, `1h 30m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let duration = seconds.or_else(|| humantime::parse_duration(text).ok());
    duration
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "expected a duration above zero, such as 10s or 10m".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.001..=1e7).contains(rate));
    rate.ok_or_else(|| "expected a rate from 0.001 to 10000000 per second".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_connection_of_a_mixed_load_has_a_protocol() {
        for all in 1..100 {
            let Shares { h1, h2, ws, fast, slow } = mixed(all);
            assert_eq!(h1 + h2 + ws + fast + slow, all);
            assert!(h1 > 0);
        }
    }

    #[test]
    fn durations_are_seconds_or_have_units() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("10m"), Ok(Duration::from_secs(600)));
        for wrong in ["", "0s", "-1", "soon", "1e99"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
