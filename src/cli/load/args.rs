//! Flags of the load, for `load` and `soak`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use super::target::Target;

/// What the connections do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// GET over HTTP/1.1
    H1,
    /// GET over HTTP/2, by prior knowledge
    H2,
    /// Subscribers of a topic; a request is a delivery
    Sse,
    /// WebSocket messages that must come back
    Ws,
    /// A bit of each, with some subscribers that read slowly
    Mixed,
    /// Subscribers of a topic, half of which read slowly
    Slow,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Load {
    /// What to load: http://HOST:PORT/PATH
    pub(super) url: Target,
    #[command(flatten)]
    pub(super) traffic: Traffic,
    /// Print the result as JSON
    #[arg(long)]
    pub(super) json: bool,
    /// Write a line of figures for each second to this file
    #[arg(long, value_name = "FILE")]
    pub(super) csv: Option<PathBuf>,
}

/// What is done to a server, and how much of it.
#[derive(Args, Clone, Debug)]
pub(crate) struct Traffic {
    /// What the connections do
    #[arg(long, value_enum, default_value = "h1")]
    pub(crate) workload: Workload,
    /// Connections
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) connections: u32,
    /// Requests per second in all, sent on a schedule whatever the server does (open loop): latency runs from when a
    /// request was due. Without it each answer brings the next request (closed loop)
    #[arg(long, value_name = "N", value_parser = rate)]
    pub(crate) rate: Option<f64>,
    /// How long, such as 10s or 10m
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(crate) duration: Duration,
    /// How long an answer may take
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(super) timeout: Duration,
    /// Requests in flight on each HTTP/2 connection
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(super) streams: u32,
    /// Topic that is subscribed to with GET and published to with POST
    #[arg(long, value_name = "PATH", default_value = "/topics/load")]
    pub(super) topic: String,
    /// Events published per second [default: 100; with --events as fast as they are taken]
    #[arg(long, value_name = "N", value_parser = rate)]
    pub(super) event_rate: Option<f64>,
    /// Bytes of an event or a WebSocket message
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(40..=65_536))]
    pub(super) event_bytes: u32,
    /// Publish exactly so many events, and end when all subscribers have them, however long that takes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) events: Option<u64>,
    /// Bytes per second that a slow subscriber reads, until nothing more is published
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(20..=1_000_000_000))]
    pub(super) slow_rate: u32,
    /// Route that sends WebSocket messages back
    #[arg(long, value_name = "PATH", default_value = "/demo/ws-echo")]
    pub(super) ws_path: String,
}

/// How many connections do what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shares {
    pub(super) h1: u32,
    pub(super) h2: u32,
    pub(super) ws: u32,
    /// Subscribers that read at once.
    pub(super) fast: u32,
    /// Subscribers that read at a rate of their own.
    pub(super) slow: u32,
}

/// Events published per second where nothing says how many.
const EVENT_RATE: f64 = 100.0;

impl Traffic {
    /// Returns the events that are due a second; `None`: each that was taken brings the next.
    pub(super) fn event_rate(&self) -> Option<f64> {
        self.event_rate.or(self.events.is_none().then_some(EVENT_RATE))
    }

    /// Divides the connections.
    ///
    /// # Errors
    ///
    /// This build lacks what the workload needs.
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
            return Err("this build has no HTTP/2 (feature http2)".to_owned());
        }
        if shares.ws > 0 && cfg!(not(feature = "ws")) {
            return Err("this build has no WebSocket (feature ws)".to_owned());
        }
        Ok(shares)
    }
}

fn mixed(all: u32) -> Shares {
    let (h2, ws, fast, slow) = (all / 5, all / 5, all / 5, all / 10);
    Shares { h1: all - h2 - ws - fast - slow, h2, ws, fast, slow }
}

impl Shares {
    /// Returns how many subscribe.
    pub(super) fn subscribers(self) -> u32 {
        self.fast + self.slow
    }

    /// Says whether anybody asks for something.
    pub(super) fn has_requests(self) -> bool {
        self.h1 + self.h2 + self.ws > 0
    }
}

/// Reads a duration: `90` seconds, `10s`, `1h 30m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let duration = seconds.or_else(|| humantime::parse_duration(text).ok());
    duration
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "write a duration such as 10s or 10m".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.001..=1e7).contains(rate));
    rate.ok_or_else(|| "write a number per second, 0.001 to 10000000".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_connection_has_something_to_do() {
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
