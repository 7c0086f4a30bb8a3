//! The certificates of a running server.

use super::Server;
use crate::{
    conn::ListenerEnv,
    metrics::Metrics,
    tls::{Tls, TlsError},
};

impl Server {
    /// Reloads all certificates and keys that were loaded from files. New handshakes use them. Open
    /// connections keep theirs.
    ///
    /// Returns the number of certificates.
    ///
    /// # Errors
    ///
    /// A certificate or its key is invalid. It stays as it was. Those reloaded before it stay reloaded.
    pub fn reload_tls(&self) -> Result<usize, TlsError> {
        let with_files = self.certificates.iter().filter(|tls| tls.has_files());
        with_files.map(Tls::reload).try_fold(0, |count, reloaded| reloaded.map(|()| count + 1))
    }
}

/// Returns the certificates of all listeners, each once, and registers their reload counters.
pub(super) fn certificates(listeners: &[ListenerEnv], metrics: &Metrics) -> Vec<Tls> {
    let mut certificates: Vec<Tls> = Vec::new();
    for tls in listeners.iter().filter_map(|listener| listener.transport.tls.as_ref()) {
        if !certificates.iter().any(|known| known.is_same(tls)) {
            certificates.push(tls.clone());
        }
    }
    metrics.set_tls_reloads(certificates.iter().map(Tls::reloads).collect());
    certificates
}
