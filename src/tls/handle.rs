//! The user's handle to a certificate and its key, and their replacement while serving.

use std::{fmt, path::PathBuf, sync::Arc, time::SystemTime};

use rustls::server::ProducesTickets;
use windlass_actors::{Publisher, Reader};

use super::{
    clock::Tickets,
    credentials::{Credentials, Origin, Pem},
    error::TlsError,
    session::Session,
    session_error::SessionError,
};
use crate::metrics::LabeledCounter;

/// A certificate chain and its private key, for [`Builder::listen_tls`](crate::Builder::listen_tls).
///
/// A clone refers to the same certificate. Keep one to [`reload`](Self::reload) or [`replace`](Self::replace)
/// the certificate while serving. New handshakes use the new certificate, and open connections stay open.
///
/// The server supports TLS 1.2 and 1.3 and session tickets with rotating keys. It refuses 0-RTT data, because
/// an attacker could replay it. Clients select HTTP/2, HTTP/1.1 or HTTP/1.0 by ALPN. A client that offers
/// only other protocols is refused, and one that does not use ALPN gets HTTP/1.1.
///
/// ```no_run
/// use windlass::{Server, Tls};
/// let tls = Tls::from_files("cert.pem", "key.pem")?;
/// let server = Server::builder().listen_tls("127.0.0.1:8443", tls.clone()).start()?;
/// tls.reload()?;
/// # drop(server);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Tls(Arc<Shared>);

struct Shared {
    files: Option<Files>,
    latest: Publisher<Credentials>,
    /// Shared by all shards and all certificates, so that clients can resume sessions after a reload.
    ticketer: Arc<dyn ProducesTickets>,
    reloads: Arc<LabeledCounter>,
}

/// Files of a certificate chain and its key.
struct Files {
    chain: PathBuf,
    key: PathBuf,
}

impl Files {
    fn read(&self, ticketer: &Arc<dyn ProducesTickets>) -> Result<Credentials, TlsError> {
        Credentials::parse(&Pem::read(&self.chain)?, &Pem::read(&self.key)?, ticketer)
    }
}

impl Tls {
    /// Reads a certificate chain, which begins with the server's certificate, and its key from PEM files.
    ///
    /// The key is an RSA, ECDSA or Ed25519 key in PKCS#8, PKCS#1 or SEC1 format, not encrypted. Both may be
    /// in one file, with other sections and text around them. A certificate that has expired or is not valid
    /// yet is used too, after a warning in the log.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be read or used. The error names the file and the cause.
    pub fn from_files(chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Result<Self, TlsError> {
        let files = Files { chain: chain.into(), key: key.into() };
        let ticketer = ticketer()?;
        let credentials = files.read(&ticketer)?;
        Ok(Self::new(Some(files), credentials, ticketer))
    }

    /// Parses a certificate chain and its key from PEM text, with the same rules as
    /// [`from_files`](Self::from_files).
    ///
    /// # Errors
    ///
    /// Fails if the chain or the key cannot be used. The error names the cause.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let ticketer = ticketer()?;
        let credentials = parse(chain, key, &ticketer)?;
        Ok(Self::new(None, credentials, ticketer))
    }

    fn new(files: Option<Files>, credentials: Credentials, ticketer: Arc<dyn ProducesTickets>) -> Self {
        Self(Arc::new(Shared {
            files,
            latest: Publisher::new(credentials),
            ticketer,
            reloads: Arc::default(),
        }))
    }

    /// Reads the files again and uses their content for new handshakes.
    ///
    /// # Errors
    ///
    /// Fails if the files cannot be used, or if the certificate was passed as bytes. The old certificate
    /// stays in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        let files = self.0.files.as_ref().ok_or(TlsError::NoFiles)?;
        self.set(files.read(&self.0.ticketer))
    }

    /// Uses another chain and key, given as PEM text, for new handshakes.
    ///
    /// # Errors
    ///
    /// Fails if the chain or the key cannot be used. The old certificate stays in use.
    pub fn replace(&self, chain: &[u8], key: &[u8]) -> Result<(), TlsError> {
        self.set(parse(chain, key, &self.0.ticketer))
    }

    fn set(&self, credentials: Result<Credentials, TlsError>) -> Result<(), TlsError> {
        self.0.reloads.add(if credentials.is_ok() { "ok" } else { "refused" });
        self.0.latest.publish(credentials?);
        Ok(())
    }

    /// Returns the time at which the certificate in use expires, or `None` if its dates cannot be parsed.
    pub fn expires(&self) -> Option<SystemTime> {
        self.0.latest.latest().expires
    }

    /// Returns `true` if the certificate comes from files.
    pub(crate) fn has_files(&self) -> bool {
        self.0.files.is_some()
    }

    /// Returns `true` if both handles refer to the same certificate.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Returns the counter of reloads, by result.
    pub(crate) fn reloads(&self) -> Arc<LabeledCounter> {
        self.0.reloads.clone()
    }

    /// Creates an acceptor. Its handshakes offer HTTP/2 if `http2` is set.
    pub(crate) fn acceptor(&self, http2: bool) -> Acceptor {
        Acceptor { latest: self.0.latest.reader(), http2 }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = self.0.files.as_ref().map(|files| (&files.chain, &files.key));
        f.debug_struct("Tls").field("files", &files).field("expires", &self.expires()).finish_non_exhaustive()
    }
}

/// Starter of sessions with the latest certificate. Each shard has its own.
#[derive(Clone)]
pub(crate) struct Acceptor {
    latest: Reader<Credentials>,
    http2: bool,
}

impl Acceptor {
    /// Starts a session with the latest certificate.
    pub(crate) fn begin(&mut self) -> Result<Session, SessionError> {
        let credentials = self.latest.load();
        Session::new(if self.http2 { credentials.with_http2.clone() } else { credentials.config.clone() })
    }
}

fn ticketer() -> Result<Arc<dyn ProducesTickets>, TlsError> {
    let tickets = Tickets::new().map_err(|error| TlsError::System(error.to_string()))?;
    Ok(Arc::new(tickets))
}

fn parse(chain: &[u8], key: &[u8], ticketer: &Arc<dyn ProducesTickets>) -> Result<Credentials, TlsError> {
    let pem = |text: &[u8], name| Pem { origin: Origin::Bytes(name), text: text.to_vec() };
    Credentials::parse(&pem(chain, "the certificate given"), &pem(key, "the key given"), ticketer)
}
