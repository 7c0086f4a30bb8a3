//! Certificate chains and private keys, from PEM to a configuration for handshakes.

use std::{fmt, path::PathBuf, sync::Arc, time::SystemTime};

use rustls::{
    Error, InconsistentKeys, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    server::{NoServerSessionStorage, ProducesTickets, ResolvesServerCert},
    sign::{CertifiedKey, SingleCertAndKey},
};

use super::{clock::Clock, error::TlsError, validity};

/// Names of the protocols in ALPN (RFC 7301 §6).
const HTTP2: &[u8] = b"h2";
const HTTP11: &[u8] = b"http/1.1";

/// Origin of a certificate or a key, for messages.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    File(PathBuf),
    /// Bytes from the program, with a description of them.
    Bytes(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => write!(f, "{}", file.display()),
            Self::Bytes(description) => f.write_str(description),
        }
    }
}

/// PEM text and its origin.
pub(super) struct Pem {
    pub(super) origin: Origin,
    pub(super) text: Vec<u8>,
}

impl Pem {
    pub(super) fn read(file: &PathBuf) -> Result<Self, TlsError> {
        match std::fs::read(file) {
            Ok(text) => Ok(Self { origin: Origin::File(file.clone()), text }),
            Err(error) => Err(TlsError::Read { file: file.clone(), error }),
        }
    }
}

/// A certificate chain and its private key, ready for handshakes.
pub(super) struct Credentials {
    /// Configuration that offers HTTP/1.1.
    pub(super) config: Arc<ServerConfig>,
    /// Configuration that offers HTTP/2 first, then HTTP/1.1.
    pub(super) with_http2: Arc<ServerConfig>,
    /// End of the certificate's validity, or `None` if it cannot be parsed.
    pub(super) expires: Option<SystemTime>,
}

impl Credentials {
    /// Parses and checks a chain and its key. The key is PKCS#8, PKCS#1 or SEC1. Dates that exclude the
    /// present only cause a warning in the log.
    pub(super) fn parse(
        chain: &Pem,
        key: &Pem,
        ticketer: &Arc<dyn ProducesTickets>,
    ) -> Result<Self, TlsError> {
        let certificates = certificates(chain)?;
        let valid = certificates.first().and_then(|first| validity::of(first));
        let provider = Arc::new(aws_lc_rs::default_provider());
        let certified = certified(chain, key, certificates, &provider)?;
        if let Some(valid) = &valid {
            warn_of_dates(&chain.origin, valid);
        }
        let config =
            config(provider, certified, ticketer).map_err(|error| TlsError::System(error.to_string()))?;
        let mut with_http2 = config.clone();
        with_http2.alpn_protocols.insert(0, HTTP2.to_vec());
        let expires = valid.map(|valid| valid.end);
        Ok(Self { config: Arc::new(config), with_http2: Arc::new(with_http2), expires })
    }
}

fn certificates(chain: &Pem) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unusable = |reason: String| TlsError::Certificate { origin: chain.origin.to_string(), reason };
    let certificates = CertificateDer::pem_slice_iter(&chain.text).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| unusable(describe(&error)))?;
    if certificates.is_empty() {
        return Err(unusable("no PEM section CERTIFICATE found".to_owned()));
    }
    Ok(certificates)
}

fn certified(
    chain: &Pem,
    key: &Pem,
    certificates: Vec<CertificateDer<'static>>,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    let unusable = |reason: String| TlsError::Key { origin: key.origin.to_string(), reason };
    let private = PrivateKeyDer::from_pem_slice(&key.text).map_err(|error| {
        unusable(match error {
            pem::Error::NoItemsFound if has_section(&key.text, "ENCRYPTED PRIVATE KEY") => {
                "the key is encrypted: remove the passphrase with `openssl pkey`".to_owned()
            }
            pem::Error::NoItemsFound => "no PEM section PRIVATE KEY found".to_owned(),
            error => describe(&error),
        })
    })?;
    let signing = provider.key_provider.load_private_key(private);
    let signing = signing.map_err(|error| unusable(format!("{error}: use an RSA, ECDSA or Ed25519 key")))?;
    let certified = CertifiedKey::new(certificates, signing);
    match certified.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(Error::InconsistentKeys(_)) => {
            Err(TlsError::Mismatch { certificate: chain.origin.to_string(), key: key.origin.to_string() })
        }
        Err(error) => {
            Err(TlsError::Certificate { origin: chain.origin.to_string(), reason: error.to_string() })
        }
    }
}

fn has_section(text: &[u8], name: &str) -> bool {
    String::from_utf8_lossy(text).contains(&format!("-----BEGIN {name}-----"))
}

fn describe(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a PEM section has no end line".to_owned(),
        pem::Error::Base64Decode(_) => "a PEM section is not valid base64".to_owned(),
        pem::Error::NoItemsFound => "no PEM section found".to_owned(),
        other => other.to_string(),
    }
}

/// Logs a warning if the certificate has expired or is not valid yet.
fn warn_of_dates(origin: &Origin, valid: &std::ops::Range<SystemTime>) {
    let now = SystemTime::now();
    if now > valid.end {
        let days = now.duration_since(valid.end).unwrap_or_default().as_secs() / 86_400;
        tracing::warn!(file = %origin, days_ago = days, "certificate has expired, clients will refuse it");
    } else if now < valid.start {
        tracing::warn!(file = %origin, "certificate is not valid yet, clients will refuse it");
    }
}

fn config(
    provider: Arc<CryptoProvider>,
    certified: CertifiedKey,
    ticketer: &Arc<dyn ProducesTickets>,
) -> Result<ServerConfig, Error> {
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let resolver: Arc<dyn ResolvesServerCert> = Arc::new(SingleCertAndKey::from(certified));
    let mut config = builder.with_no_client_auth().with_cert_resolver(resolver);
    config.alpn_protocols = vec![HTTP11.to_vec()];
    // Tickets store sessions at the clients. A cache in the server would be a lock between the shards.
    config.ticketer = ticketer.clone();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.time_provider = Arc::new(Clock);
    Ok(config)
}
