//! TLS of the client.

use std::{io, path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use windlass_peers::tls;

/// Returns the name that the server's certificate must have.
pub(crate) fn server_name() -> io::Result<ServerName<'static>> {
    ServerName::try_from("localhost").map_err(io::Error::other)
}

/// Creates the configuration of a client that trusts the certificate `ca` and speaks `protocol`.
pub(crate) fn client_config(ca: &Path, protocol: &[u8]) -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    let read_error = |error| io::Error::other(format!("{}: {error}", ca.display()));
    for certificate in CertificateDer::pem_file_iter(ca).map_err(read_error)? {
        roots.add(certificate.map_err(read_error)?).map_err(io::Error::other)?;
    }
    let builder = ClientConfig::builder_with_provider(tls::provider());
    let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(Arc::new(config))
}
