//! The command line.

#[cfg(feature = "grpc")]
use std::path::PathBuf;
use std::{net::SocketAddr, time::Duration};

use clap::{Parser, ValueEnum};
use windlass::proto::ws::frame::Opcode;

/// What an echoed message is sent as.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Message {
    Text,
    Binary,
}

impl From<Message> for Opcode {
    fn from(message: Message) -> Self {
        match message {
            Message::Text => Self::Text,
            Message::Binary => Self::Binary,
        }
    }
}

/// Loads a server and checks every byte of every response.
#[derive(Debug, Parser)]
#[command(name = "load")]
pub(crate) struct Options {
    /// Address of the server, or of several: each connection gets one at random, the same one in every run
    #[arg(long, required = true, value_delimiter = ',')]
    target: Vec<SocketAddr>,
    /// Connections that carry requests
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) connections: u32,
    /// Requests in flight on each connection
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) pipeline: u32,
    /// What to ask for
    #[arg(long, default_value = "/demo/plaintext")]
    pub(crate) path: String,
    /// Several paths, asked for in turn on each connection; they must answer differently, so that order shows
    #[arg(long, value_delimiter = ',', conflicts_with_all = ["path", "body_bytes"])]
    pub(crate) mix: Vec<String>,
    /// Report the latency of this path of the mix only; all are counted and checked
    #[arg(long, requires = "mix")]
    pub(crate) latency_of: Option<String>,
    /// POST a body of this size and expect it back; 16 bytes and more carry a serial number
    #[arg(long, default_value_t = 0)]
    pub(crate) body_bytes: usize,
    /// Open a WebSocket at --path on each connection: a request is a message of --body-bytes that must come back
    #[arg(long, value_name = "KIND", requires = "body_bytes", conflicts_with_all = ["mix", "churn"])]
    pub(crate) ws: Option<Message>,
    /// Seconds to go on asking
    #[arg(long, default_value = "5", value_parser = seconds)]
    pub(crate) duration: Duration,
    /// Requests per second in all, sent on a schedule (open loop); without it each answer brings the next request
    #[arg(long, value_parser = rate)]
    pub(crate) rate: Option<f64>,
    /// Seconds over which a closed loop starts its connections, evenly; together they would ask in lockstep for long
    #[arg(long, default_value = "0", value_parser = maybe_seconds, conflicts_with = "rate")]
    pub(crate) ramp: Duration,
    /// A connection for each request, `Connection: close`, ended by the server
    #[arg(long, conflicts_with = "pipeline")]
    pub(crate) churn: bool,
    /// Connections that make one request before the run and must be open after it
    #[arg(long, default_value_t = 0)]
    pub(crate) idle: usize,
    /// Seconds to wait with the --idle connections, if none with the others, before the load; `established=N` is printed first
    #[arg(long, default_value = "0", value_parser = maybe_seconds)]
    pub(crate) pause: Duration,
    /// Seconds after which a missing response is an error
    #[arg(long, default_value = "10", value_parser = seconds)]
    pub(crate) timeout: Duration,
    /// Hold this many subscriptions to the topic `bench`, publish `--rate` events of 256 bytes a second and check that
    /// each subscriber gets each of them once and in order; a request is a delivery, latency runs from the publishing
    #[arg(long, group = "fanout", value_name = "SUBSCRIBERS", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    #[arg(requires = "rate", conflicts_with_all = ["connections", "pipeline", "path", "mix", "body_bytes", "churn", "idle"])]
    pub(crate) sse: Option<u32>,
    /// The same with WebSockets: an event is a text message
    #[arg(long, group = "fanout", value_name = "SUBSCRIBERS", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    #[arg(requires = "rate", conflicts_with_all = ["connections", "pipeline", "path", "mix", "body_bytes", "churn", "idle"])]
    pub(crate) ws_topic: Option<u32>,
    /// Besides them, hold this many subscriptions that nothing is read from, whose ways are full from the beginning
    #[arg(long, default_value_t = 0, requires = "fanout")]
    pub(crate) stalled: usize,
    /// Call `bench.Echo` over HTTP/2 instead, `--pipeline` calls in flight on each connection
    #[cfg(feature = "grpc")]
    #[arg(long, value_name = "METHOD", conflicts_with_all = ["path", "mix", "body_bytes", "rate", "ramp", "churn", "idle", "pause", "fanout"])]
    pub(crate) grpc: Option<crate::grpc::Method>,
    /// Use TLS and trust this certificate (PEM); the server's must name `localhost`
    #[cfg(feature = "grpc")]
    #[arg(long, value_name = "FILE", requires = "grpc")]
    pub(crate) tls_ca: Option<PathBuf>,
}

impl Options {
    /// Returns the server of a connection.
    pub(crate) fn target_of(&self, index: usize) -> SocketAddr {
        // Multiplied by 2⁶⁴ / golden ratio, the upper bits of consecutive numbers look random.
        let random = (index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        self.target[random as usize % self.target.len()]
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let positive = maybe_seconds(text).ok().filter(|duration| !duration.is_zero());
    positive.ok_or_else(|| "a positive number of seconds is wanted".to_owned())
}

fn maybe_seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.strip_suffix('s').unwrap_or(text).parse().ok();
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration.ok_or_else(|| "a number of seconds is wanted".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.001..=1e7).contains(rate));
    rate.ok_or_else(|| "requests per second are wanted, 0.001 to 10000000".to_owned())
}
