//! Cryptography provider of the TLS rows. Client and peers use the same one as Windlass, so that it makes no
//! difference.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// Returns the cryptography provider of the client and all peers.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Installs [`provider`] as the process default, for libraries that always use the default. Called first in
/// `main`.
pub fn install_provider() {
    // Fails only if this provider is installed already.
    let _ = aws_lc_rs::default_provider().install_default();
}
