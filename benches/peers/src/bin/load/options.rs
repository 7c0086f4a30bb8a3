//! The command line.

#[cfg(feature = "tls")]
use std::path::PathBuf;
use std::{net::SocketAddr, time::Duration};

use clap::{Parser, ValueEnum};
use windlass::proto::ws::frame::Opcode;

/// Type of the echoed messages.
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

/// gRPC method to call.
#[cfg(feature = "grpc")]
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Method {
    /// 50 strings of ten bytes in each direction
    Unary,
    /// One request message and a stream of 100 response messages
    Stream,
}

/// Loads a server and checks every byte of every response.
#[derive(Debug, Parser)]
#[command(name = "load")]
pub(crate) struct Options {
    /// Addresses of the servers; each connection uses one of them, pseudorandom but the same in every run
    #[arg(long, required = true, value_delimiter = ',')]
    target: Vec<SocketAddr>,
    /// Connections that send requests
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) connections: u32,
    /// Requests in flight on each connection
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) pipeline: u32,
    /// Path of the requests
    #[arg(long, default_value = "/demo/plaintext")]
    pub(crate) path: String,
    /// Paths requested in turn on each connection; their responses must differ so that the order can be
    /// checked
    #[arg(long, value_delimiter = ',', conflicts_with_all = ["path", "body_bytes"])]
    pub(crate) mix: Vec<String>,
    /// Path of the mix whose latency is reported; the responses of all paths are counted and checked
    #[arg(long, requires = "mix")]
    pub(crate) latency_of: Option<String>,
    /// Size of a POST body that the server must echo; from 16 bytes on it contains a serial number
    #[arg(long, default_value_t = 0)]
    pub(crate) body_bytes: usize,
    /// Open a WebSocket at --path on each connection; a request is a message of --body-bytes that must be
    /// echoed
    #[arg(long, value_name = "KIND", requires = "body_bytes", conflicts_with_all = ["mix", "churn"])]
    pub(crate) ws: Option<Message>,
    /// Seconds to send requests
    #[arg(long, default_value = "5", value_parser = positive_seconds)]
    pub(crate) duration: Duration,
    /// Total requests per second on a schedule (open loop); without it each response triggers the next
    /// request
    #[arg(long, value_parser = rate)]
    pub(crate) rate: Option<f64>,
    /// Seconds over which a closed loop starts its connections, so that they do not run in lockstep
    #[arg(long, default_value = "0", value_parser = seconds, conflicts_with = "rate")]
    pub(crate) ramp: Duration,
    /// Use one connection per request, with `Connection: close`; the server must close it
    #[arg(long, conflicts_with = "pipeline")]
    pub(crate) churn: bool,
    /// Connections that send one request before the run and must be open after it
    #[arg(long, default_value_t = 0)]
    pub(crate) idle: usize,
    /// Seconds to wait before the load, with the --idle connections open, or all others if there are none;
    /// prints `established=N` first
    #[arg(long, default_value = "0", value_parser = seconds)]
    pub(crate) pause: Duration,
    /// Seconds after which a missing response is an error
    #[arg(long, default_value = "10", value_parser = positive_seconds)]
    pub(crate) timeout: Duration,
    /// Subscriptions to the topic `bench`; --rate events of 256 bytes per second are published to it, and
    /// each subscriber must receive each event once and in order. A request is a delivery; its latency starts
    /// at publishing
    #[arg(long, groups = ["fanout", "encrypted"], value_name = "SUBSCRIBERS", requires = "rate")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
    #[arg(conflicts_with_all = ["connections", "pipeline", "path", "mix", "body_bytes", "churn", "idle"])]
    pub(crate) sse: Option<u32>,
    /// Subscriptions on each connection of --sse, over HTTP/2 without TLS (prior knowledge)
    #[arg(long, requires = "sse", conflicts_with = "stalled", value_name = "SUBSCRIPTIONS")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) streams: Option<u32>,
    /// Like --sse, with WebSockets: an event is a text message
    #[arg(long, groups = ["fanout", "encrypted"], value_name = "SUBSCRIBERS", requires = "rate")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
    #[arg(conflicts_with_all = ["connections", "pipeline", "path", "mix", "body_bytes", "churn", "idle"])]
    pub(crate) ws_topic: Option<u32>,
    /// Additional subscriptions that never read; the buffers on their paths are full when the measurement
    /// starts
    #[arg(long, default_value_t = 0, requires = "fanout")]
    pub(crate) stalled: usize,
    /// Call `bench.Echo` over HTTP/2, with `--pipeline` calls in flight on each connection
    #[cfg(feature = "grpc")]
    #[arg(long, group = "encrypted", value_name = "METHOD", conflicts_with = "fanout")]
    #[arg(conflicts_with_all = ["path", "mix", "body_bytes", "rate", "ramp", "churn", "idle", "pause"])]
    pub(crate) grpc: Option<Method>,
    /// Use TLS and trust this certificate (PEM); the server's certificate must name `localhost`
    #[cfg(feature = "tls")]
    #[arg(long, value_name = "FILE", requires = "encrypted", conflicts_with_all = ["streams", "stalled"])]
    pub(crate) tls_ca: Option<PathBuf>,
}

impl Options {
    /// Returns the server of a connection.
    pub(crate) fn target_of(&self, index: usize) -> SocketAddr {
        // Multiplying by 2⁶⁴ / golden ratio makes the upper bits of consecutive numbers look random.
        let random = (index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        self.target[random as usize % self.target.len()]
    }
}

fn positive_seconds(text: &str) -> Result<Duration, String> {
    let positive = seconds(text).ok().filter(|duration| !duration.is_zero());
    positive.ok_or_else(|| "expected a positive number of seconds".to_owned())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.strip_suffix('s').unwrap_or(text).parse().ok();
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration.ok_or_else(|| "expected a number of seconds".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.001..=1e7).contains(rate));
    rate.ok_or_else(|| "expected 0.001 to 10000000 requests per second".to_owned())
}
