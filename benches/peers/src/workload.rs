//! What the routes answer and how a peer is told its address.

use std::{io, net::SocketAddr, time::Duration};

use serde::Serialize;

/// Body of `/demo/plaintext`.
pub const HELLO: &str = "Hello, World!";

/// Body of `/demo/work`: another one, so that a reply out of order is seen.
pub const WORKED: &str = "worked\n";

/// Content type of both.
pub const TEXT: &str = "text/plain";

/// Content type of `/demo/json`.
pub const JSON: &str = "application/json";

/// A WebSocket that echoes messages, text and binary.
pub const WS_ECHO: &str = "/demo/ws-echo";

/// The topic of the fan-out scenarios: a GET subscribes, by server-sent events or a WebSocket, a POST publishes its body.
pub const TOPIC: &str = "/topics/bench";

/// Events of a topic that a subscriber may be behind; one that is further behind is ended.
pub const BEHIND: usize = 1024;

/// How long a peer that closes idle connections by itself keeps them: longer than a run.
pub const KEEP_ALIVE: Duration = Duration::from_secs(600);

/// Longest sleep `/demo/work` accepts.
const MAX_WORK: Duration = Duration::from_secs(60);

/// The object `/demo/json` serialises.
#[derive(Debug, Serialize)]
pub struct Message {
    message: &'static str,
}

/// Returns the object `/demo/json` serialises.
pub fn message() -> Message {
    Message { message: HELLO }
}

/// Serialises [`message`].
pub fn message_bytes() -> Vec<u8> {
    // A struct with one string has no way to fail.
    serde_json::to_vec(&message()).unwrap_or_default()
}

/// Reads the sleep from the query of `/demo/work`: `ms=N`, 60 s at most; zero when it is absent or no number.
pub fn work_time(query: Option<&str>) -> Duration {
    let pairs = query.unwrap_or("").split('&');
    let ms = pairs.filter_map(|pair| pair.strip_prefix("ms=")).find_map(|n| n.parse().ok());
    Duration::from_millis(ms.unwrap_or(0)).min(MAX_WORK)
}

/// Reads `--listen ADDR` from the command line.
///
/// # Errors
///
/// Anything else was given; the message says what is wanted.
pub fn listen_address() -> io::Result<SocketAddr> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let address = match arguments.as_slice() {
        [flag, address] if flag == "--listen" => address.parse().ok(),
        _ => None,
    };
    address.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "usage: --listen ADDRESS:PORT"))
}
