//! Responses of the routes, and the command line of a peer.

use std::{io, net::SocketAddr, time::Duration};

use serde::Serialize;

/// Body of `/demo/plaintext`.
pub const HELLO: &str = "Hello, World!";

/// Body of `/demo/work`. It differs from [`HELLO`] so that a reordered response is detected.
pub const WORKED: &str = "worked\n";

/// Body of `/demo/large`.
pub static LARGE: [u8; 1 << 20] = [b'.'; 1 << 20];

/// Content type of `/demo/plaintext` and `/demo/work`.
pub const TEXT: &str = "text/plain";

/// Content type of `/demo/json`.
pub const JSON: &str = "application/json";

/// Path of the WebSocket that echoes text and binary messages.
pub const WS_ECHO: &str = "/demo/ws-echo";

/// Topic of the fan-out scenarios. GET subscribes by server-sent events or a WebSocket, POST publishes its
/// body.
pub const TOPIC: &str = "/topics/bench";

/// Maximum backlog of a subscriber in events. A subscriber that exceeds it is disconnected.
pub const MAX_BACKLOG: usize = 1024;

/// Idle timeout of peers that close idle connections by default; longer than a run.
pub const KEEP_ALIVE: Duration = Duration::from_secs(600);

/// Maximum sleep of `/demo/work`.
const MAX_WORK: Duration = Duration::from_secs(60);

/// JSON object of `/demo/json`.
#[derive(Debug, Serialize)]
pub struct Message {
    message: &'static str,
}

/// Returns the JSON object of `/demo/json`.
pub fn message() -> Message {
    Message { message: HELLO }
}

/// Serialises [`message`].
pub fn message_bytes() -> Vec<u8> {
    // Serialising a string cannot fail.
    serde_json::to_vec(&message()).unwrap_or_default()
}

/// Parses the sleep `ms=N` from the query of `/demo/work`. The maximum is 60 s. A missing or invalid value is
/// zero.
pub fn work_time(query: Option<&str>) -> Duration {
    let pairs = query.unwrap_or("").split('&');
    let ms = pairs.filter_map(|pair| pair.strip_prefix("ms=")).find_map(|n| n.parse().ok());
    Duration::from_millis(ms.unwrap_or(0)).min(MAX_WORK)
}

/// Parses `--listen ADDR` from the command line.
///
/// # Errors
///
/// If the arguments differ from that. The message shows the usage.
pub fn listen_address() -> io::Result<SocketAddr> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let address = match arguments.as_slice() {
        [flag, address] if flag == "--listen" => address.parse().ok(),
        _ => None,
    };
    address.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "usage: --listen ADDRESS:PORT"))
}
