//! Certificate chains and private keys, from PEM to a configuration for handshakes.

use std::{fmt, path::PathBuf, sync::Arc, time::SystemTime};

use rustls::{
    Error, InconsistentKeys, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer},
    server::{NoServerSessionStorage, ProducesTickets, ResolvesServerCert},
    sign::{CertifiedKey, SingleCertAndKey},
};

use super::{
    certificate,
    clock::Clock,
    error::TlsError,
    key,
    pem::{self, Section},
    validity,
};

/// Names of the protocols in ALPN (RFC 7301 §6).
const HTTP2: &[u8] = b"h2";
const HTTP11: &[u8] = b"http/1.1";
const HTTP10: &[u8] = b"http/1.0";

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
    /// Configuration that offers HTTP/1.1 and HTTP/1.0.
    pub(super) config: Arc<ServerConfig>,
    /// Configuration that offers HTTP/2 first.
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
    let sections = pem::sections(&chain.text).map_err(unusable)?;
    let certificates = sections.iter().filter(|section| section.is_certificate());
    let certificates: Vec<_> =
        certificates.map(Section::certificate).collect::<Result<_, _>>().map_err(unusable)?;
    if certificates.is_empty() {
        return Err(unusable(pem::missing("CERTIFICATE", &chain.text, &sections)));
    }
    Ok(certificates)
}

/// Reads the first private key.
fn private_key(key: &Pem) -> Result<PrivateKeyDer<'static>, String> {
    let sections = pem::sections(&key.text)?;
    let Some(section) = sections.iter().find(|section| section.is_private_key()) else {
        return Err(pem::missing("PRIVATE KEY", &key.text, &sections));
    };
    if section.is_encrypted || section.label == "ENCRYPTED PRIVATE KEY" {
        return Err("the key is encrypted: write a copy without its passphrase, which only the server may \
                    read, with `openssl pkey -in FILE -out COPY`"
            .to_owned());
    }
    match section.private_key() {
        Some(private) => private,
        None if section.label == "OPENSSH PRIVATE KEY" => {
            Err("the key has the format of OpenSSH: convert a copy with `ssh-keygen -p -m PKCS8 -f COPY`"
                .to_owned())
        }
        None => Err(format!("a {} cannot be used: {USABLE_KEYS}", section.label)),
    }
}

/// Keys that the cryptography library supports.
const USABLE_KEYS: &str =
    "use an RSA key of at least 2048 bits, an ECDSA key on P-256, P-384 or P-521, or an Ed25519 key";

fn certified(
    chain: &Pem,
    key: &Pem,
    certificates: Vec<CertificateDer<'static>>,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    let unusable = |reason: String| TlsError::Key { origin: key.origin.to_string(), reason };
    let private = private_key(key).map_err(unusable)?;
    let kind = key::describe(&private);
    let signing = provider.key_provider.load_private_key(private).map_err(|error| {
        let reason = kind.map_or_else(|| error.to_string(), |kind| format!("{kind} cannot be used"));
        unusable(format!("{reason}: {USABLE_KEYS}"))
    })?;
    let public = signing.public_key().map(|public| public.to_vec());
    let owns = |certificate: &CertificateDer<'_>| {
        public.is_some() && certificate::public_key(certificate) == public.as_deref()
    };
    let owner = certificates.iter().position(owns);
    let certified = CertifiedKey::new(certificates, signing);
    match (certified.keys_match(), owner) {
        (Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)), _) => Ok(certified),
        // The certificate has parts that only its clients have to understand, such as an old version.
        (Err(_), Some(0)) => Ok(certified),
        (Err(_), Some(index)) => Err(TlsError::Certificate {
            origin: chain.origin.to_string(),
            reason: format!(
                "the key in {} belongs to certificate {} of the file: put that one first",
                key.origin,
                index + 1
            ),
        }),
        (Err(Error::InconsistentKeys(_)), None) => {
            Err(TlsError::Mismatch { certificate: chain.origin.to_string(), key: key.origin.to_string() })
        }
        (Err(error), None) => {
            Err(TlsError::Certificate { origin: chain.origin.to_string(), reason: error.to_string() })
        }
    }
}

/// Logs a warning if the certificate has expired or is not valid yet.
fn warn_of_dates(origin: &Origin, valid: &std::ops::Range<SystemTime>) {
    let now = SystemTime::now();
    if now > valid.end {
        let days = now.duration_since(valid.end).unwrap_or_default().as_secs() / 86_400;
        tracing::warn!(
            file = %origin,
            days_ago = days,
            "certificate has expired, clients refuse it: renew it"
        );
    } else if now < valid.start {
        tracing::warn!(
            file = %origin,
            "certificate is not valid yet, clients refuse it: check its dates and the clock of this system"
        );
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
    config.alpn_protocols = vec![HTTP11.to_vec(), HTTP10.to_vec()];
    // Tickets store sessions at the clients. A cache in the server would be a lock between the shards.
    config.ticketer = ticketer.clone();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.time_provider = Arc::new(Clock);
    Ok(config)
}
