//! Certificate chains and keys, from PEM to what a handshake needs.

use std::{fmt, path::PathBuf, sync::Arc, time::SystemTime};

use rustls::{
    Error, InconsistentKeys, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    server::{NoServerSessionStorage, ProducesTickets, ResolvesServerCert},
    sign::{CertifiedKey, SingleCertAndKey},
};

use super::{TlsError, validity};

/// The protocols by their names in ALPN (RFC 7301 §6).
const HTTP2: &[u8] = b"h2";
const HTTP11: &[u8] = b"http/1.1";

/// Where a certificate or a key came from, as errors name it.
#[derive(Clone, Debug)]
pub(super) enum Place {
    File(PathBuf),
    Bytes(&'static str),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => write!(f, "{}", file.display()),
            Self::Bytes(what) => f.write_str(what),
        }
    }
}

/// PEM text and its place.
pub(super) struct Pem {
    pub(super) place: Place,
    pub(super) text: Vec<u8>,
}

impl Pem {
    pub(super) fn read(file: &PathBuf) -> Result<Self, TlsError> {
        match std::fs::read(file) {
            Ok(text) => Ok(Self { place: Place::File(file.clone()), text }),
            Err(error) => Err(TlsError::Read { file: file.clone(), error }),
        }
    }
}

/// A chain and its key that fit together, ready to serve.
pub(super) struct Pair {
    pub(super) config: Arc<ServerConfig>,
    /// The same, and HTTP/2 is offered first.
    pub(super) with_http2: Arc<ServerConfig>,
    /// When the certificate ends, if that can be read.
    pub(super) expires: Option<SystemTime>,
}

impl Pair {
    /// Parses and checks a chain and its key: PKCS#8, PKCS#1 or SEC1.
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
            warn_of_dates(&chain.place, valid);
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
    let wrong = |what: String| TlsError::Certificate { place: chain.place.to_string(), what };
    let certificates = CertificateDer::pem_slice_iter(&chain.text).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| wrong(describe(&error)))?;
    if certificates.is_empty() {
        return Err(wrong("there is no PEM section CERTIFICATE in it".to_owned()));
    }
    Ok(certificates)
}

fn certified(
    chain: &Pem,
    key: &Pem,
    certificates: Vec<CertificateDer<'static>>,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    let wrong = |what: String| TlsError::Key { place: key.place.to_string(), what };
    let private = PrivateKeyDer::from_pem_slice(&key.text).map_err(|error| {
        wrong(match error {
            pem::Error::NoItemsFound if has_section(&key.text, "ENCRYPTED PRIVATE KEY") => {
                "it is encrypted; 'openssl pkey' writes it without a passphrase".to_owned()
            }
            pem::Error::NoItemsFound => "there is no PEM section PRIVATE KEY in it".to_owned(),
            error => describe(&error),
        })
    })?;
    let signing = provider.key_provider.load_private_key(private);
    let signing =
        signing.map_err(|error| wrong(format!("{error}; RSA, ECDSA and Ed25519 keys are taken")))?;
    let certified = CertifiedKey::new(certificates, signing);
    match certified.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(Error::InconsistentKeys(_)) => {
            Err(TlsError::Mismatch { certificate: chain.place.to_string(), key: key.place.to_string() })
        }
        Err(error) => Err(TlsError::Certificate { place: chain.place.to_string(), what: error.to_string() }),
    }
}

fn has_section(text: &[u8], name: &str) -> bool {
    String::from_utf8_lossy(text).contains(&format!("-----BEGIN {name}-----"))
}

fn describe(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a PEM section does not end".to_owned(),
        pem::Error::Base64Decode(_) => "a PEM section is no base64".to_owned(),
        pem::Error::NoItemsFound => "there is no PEM section in it".to_owned(),
        other => other.to_string(),
    }
}

fn warn_of_dates(place: &Place, valid: &std::ops::Range<SystemTime>) {
    let now = SystemTime::now();
    if now > valid.end {
        let ago = now.duration_since(valid.end).unwrap_or_default().as_secs() / 86_400;
        tracing::warn!(file = %place, "the certificate expired {ago} days ago: clients refuse it");
    } else if now < valid.start {
        tracing::warn!(file = %place, "the certificate is not valid yet: clients refuse it");
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
    // Tickets keep sessions at the clients; a cache here would be one that all shards lock.
    config.ticketer = ticketer.clone();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}
