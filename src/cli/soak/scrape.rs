//! Metrics of the server, from its Prometheus page.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::client::response;

/// Timeout of the request.
const TIMEOUT: Duration = Duration::from_millis(500);
/// Maximum size of a page of metrics, bytes.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// Page of metrics.
#[derive(Clone, Debug, Default)]
pub(super) struct Page(String);

impl Page {
    /// Requests `/metrics` on a new connection. Returns `None` if that fails or the server has no such page.
    pub(super) fn read(address: SocketAddr) -> Option<Self> {
        let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).ok()?;
        stream.set_read_timeout(Some(TIMEOUT)).ok()?;
        write!(stream, "GET /metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").ok()?;
        let mut input = Vec::new();
        stream.take(MAX_BYTES).read_to_end(&mut input).ok()?;
        let response = response::parse(&input).ok()?.filter(|response| response.status == 200)?;
        String::from_utf8(response.body.into_owned()).ok().map(Self)
    }

    /// Returns the text of the page.
    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// Returns the sum of a metric over all labels, or `None` if the page does not have the metric.
    pub(super) fn sum(&self, name: &str) -> Option<f64> {
        self.values(name).reduce(|sum, value| sum + value)
    }

    /// Returns the maximum of a metric over all labels, or `None` if the page does not have the metric.
    pub(super) fn max(&self, name: &str) -> Option<f64> {
        self.values(name).reduce(f64::max)
    }

    fn values(&self, name: &str) -> impl Iterator<Item = f64> {
        self.0.lines().filter_map(move |line| {
            let rest = line.strip_prefix(name)?;
            // Labels may contain spaces. The value follows the closing brace.
            let value =
                if rest.starts_with('{') { rest.rsplit_once("} ")?.1 } else { rest.strip_prefix(' ')? };
            value.split(' ').next()?.parse().ok()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_summed_over_their_labels() {
        let page = Page("# TYPE a counter\na{x=\"1 2\"} 3\na{x=\"}\"} 4.5\nab 9\nb 1e3 1700000\n".to_owned());
        assert_eq!((page.sum("a"), page.max("a")), (Some(7.5), Some(4.5)));
        assert_eq!((page.sum("b"), page.sum("ab"), page.sum("c")), (Some(1000.0), Some(9.0), None));
    }
}
