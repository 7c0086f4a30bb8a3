//! Which cryptography the TLS rows use: client and peers the same as Windlass, else they would compare that.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// Returns the provider of everything here that speaks TLS.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Makes [`provider`] the one of libraries that do not let their caller choose. Call it first in `main`.
pub fn install_provider() {
    // Refused only if one is installed already: then it is this one.
    let _ = aws_lc_rs::default_provider().install_default();
}
