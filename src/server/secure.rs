//! Listeners that speak TLS, and their certificates while serving.

use super::{Builder, Entrance, Server};
use crate::{
    conn,
    metrics::Metrics,
    net::Listen,
    tls::{Tls, TlsError},
};

impl Builder {
    /// Listens on an address where every connection starts with a TLS handshake.
    ///
    /// A client that sends plain HTTP is answered `400` in plain text, and the connection ends.
    #[must_use]
    pub fn listen_tls(mut self, listen: Listen, tls: Tls) -> Self {
        self.entrances
            .push(Entrance { listen, first: conn::Transport { is_proxied: false, tls: Some(tls) } });
        self
    }

    /// Listens on an address where every connection starts with a PROXY preamble and a TLS handshake behind it.
    ///
    /// The preamble is believed, so nobody but the proxy may reach the address.
    #[must_use]
    pub fn listen_proxied_tls(mut self, listen: Listen, tls: Tls) -> Self {
        self.entrances.push(Entrance { listen, first: conn::Transport { is_proxied: true, tls: Some(tls) } });
        self
    }
}

impl Server {
    /// Reads every certificate and key that came from files again, and serves new handshakes with them. Connections
    /// that are there are not touched. Returns how many pairs were read.
    ///
    /// # Errors
    ///
    /// One of the pairs is refused for the reason named: it stays as it was, those before it are served with anew.
    pub fn reload_tls(&self) -> Result<usize, TlsError> {
        let files = self.pairs.iter().filter(|pair| pair.has_files());
        files.map(Tls::reload).try_fold(0, |count, reloaded| reloaded.map(|()| count + 1))
    }
}

/// Returns each pair in use once, and lets the metrics show their reloads.
pub(super) fn pairs(entrances: &[conn::Transport], metrics: &Metrics) -> Vec<Tls> {
    let mut pairs: Vec<Tls> = Vec::new();
    for pair in entrances.iter().filter_map(|entrance| entrance.tls.as_ref()) {
        if !pairs.iter().any(|known| known.is_same(pair)) {
            pairs.push(pair.clone());
        }
    }
    metrics.set_tls_reloads(pairs.iter().map(Tls::reloads).collect());
    pairs
}
