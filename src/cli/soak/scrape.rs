//! What the server says of itself: its Prometheus page.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::client::response;

/// How long the page may take.
const PATIENCE: Duration = Duration::from_millis(500);
/// Most bytes of a page that are read.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// A page of metrics.
#[derive(Clone, Debug, Default)]
pub(super) struct Page(String);

impl Page {
    /// Reads it, on a connection of its own; `None` when there is none.
    pub(super) fn read(address: SocketAddr) -> Option<Self> {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        write!(stream, "GET /metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").ok()?;
        let mut input = Vec::new();
        stream.take(MAX_BYTES).read_to_end(&mut input).ok()?;
        let response = response::parse(&input).ok()?.filter(|response| response.status == 200)?;
        String::from_utf8(response.body.into_owned()).ok().map(Self)
    }

    /// Returns its text.
    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// Returns the sum over all labels of a metric; `None` if there is no such metric.
    pub(super) fn sum(&self, name: &str) -> Option<f64> {
        self.values(name).reduce(|sum, value| sum + value)
    }

    /// Returns the largest over all labels.
    pub(super) fn max(&self, name: &str) -> Option<f64> {
        self.values(name).reduce(f64::max)
    }

    fn values(&self, name: &str) -> impl Iterator<Item = f64> {
        self.0.lines().filter_map(move |line| {
            let rest = line.strip_prefix(name)?;
            // Labels may hold blanks, and no value follows them but behind the brace.
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
