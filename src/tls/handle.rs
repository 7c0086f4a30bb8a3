//! The pair a listener serves with, and its replacement while serving.

use std::{fmt, path::PathBuf, sync::Arc, time::SystemTime};

use rustls::{crypto::aws_lc_rs::Ticketer, server::ProducesTickets};
use windlass_actors::{Publisher, Reader};

use super::{
    Session, SessionError, TlsError,
    certificate::{Pair, Pem, Place},
};
use crate::metrics::LabeledCounter;

/// A certificate chain with its private key, for [`Builder::listen_tls`](crate::Builder::listen_tls).
///
/// A clone is another handle on the same pair: keep one to [`reload`](Self::reload) or [`replace`](Self::replace) it
/// while serving. New handshakes take the new pair; connections that are there keep theirs and are not dropped.
///
/// TLS 1.2 and 1.3, with session tickets whose keys rotate, and without 0-RTT data, which could be replayed. Clients
/// agree on HTTP/2 or HTTP/1.1 by ALPN; those that name neither are refused, those that name nothing get HTTP/1.1.
///
/// ```no_run
/// use windlass::{Server, Tls};
/// let tls = Tls::from_files("cert.pem", "key.pem")?;
/// let server = Server::builder().listen_tls("127.0.0.1:8443".parse()?, tls.clone()).start()?;
/// tls.reload()?;
/// # drop(server);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Tls(Arc<Shared>);

struct Shared {
    files: Option<Files>,
    latest: Publisher<Pair>,
    /// One for all shards and all pairs: who comes back after a reload resumes.
    ticketer: Arc<dyn ProducesTickets>,
    reloads: Arc<LabeledCounter>,
}

/// Where the pair is read from.
struct Files {
    chain: PathBuf,
    key: PathBuf,
}

impl Files {
    fn read(&self, ticketer: &Arc<dyn ProducesTickets>) -> Result<Pair, TlsError> {
        Pair::parse(&Pem::read(&self.chain)?, &Pem::read(&self.key)?, ticketer)
    }
}

impl Tls {
    /// Reads a chain (the server's certificate first) and its key from PEM files.
    ///
    /// The key is PKCS#8, PKCS#1 or SEC1: RSA, ECDSA or Ed25519. A certificate out of its dates is logged as a
    /// warning and taken.
    ///
    /// # Errors
    ///
    /// Names the file and what is wrong with it.
    pub fn from_files(chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Result<Self, TlsError> {
        let files = Files { chain: chain.into(), key: key.into() };
        let ticketer = ticketer()?;
        let pair = files.read(&ticketer)?;
        Ok(Self::new(Some(files), pair, ticketer))
    }

    /// Takes a chain and its key as PEM text; as [`from_files`](Self::from_files) otherwise.
    ///
    /// # Errors
    ///
    /// Says what is wrong with which of them.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let ticketer = ticketer()?;
        let pair = parse(chain, key, &ticketer)?;
        Ok(Self::new(None, pair, ticketer))
    }

    fn new(files: Option<Files>, pair: Pair, ticketer: Arc<dyn ProducesTickets>) -> Self {
        Self(Arc::new(Shared { files, latest: Publisher::new(pair), ticketer, reloads: Arc::default() }))
    }

    /// Reads the files again and serves new handshakes with what they hold.
    ///
    /// # Errors
    ///
    /// The new pair is refused for the reason named, and the old one stays; or the pair came as bytes.
    pub fn reload(&self) -> Result<(), TlsError> {
        let files = self.0.files.as_ref().ok_or(TlsError::NoFiles)?;
        self.swap(files.read(&self.0.ticketer))
    }

    /// Serves new handshakes with another pair, given as PEM text.
    ///
    /// # Errors
    ///
    /// The new pair is refused for the reason named, and the old one stays.
    pub fn replace(&self, chain: &[u8], key: &[u8]) -> Result<(), TlsError> {
        self.swap(parse(chain, key, &self.0.ticketer))
    }

    fn swap(&self, pair: Result<Pair, TlsError>) -> Result<(), TlsError> {
        self.0.reloads.add(if pair.is_ok() { "ok" } else { "refused" });
        self.0.latest.publish(pair?);
        Ok(())
    }

    /// Returns when the certificate that is served expires, if its dates can be read.
    pub fn expires(&self) -> Option<SystemTime> {
        self.0.latest.latest().expires
    }

    /// Says whether the pair is read from files.
    pub(crate) fn has_files(&self) -> bool {
        self.0.files.is_some()
    }

    /// Says whether both are handles on one pair.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Returns the counts of reloads by result.
    pub(crate) fn reloads(&self) -> Arc<LabeledCounter> {
        self.0.reloads.clone()
    }

    /// Makes what a shard begins handshakes with, which offer HTTP/2 or do not.
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

/// Begins handshakes with the latest pair; one for each shard.
#[derive(Clone)]
pub(crate) struct Acceptor {
    latest: Reader<Pair>,
    http2: bool,
}

impl Acceptor {
    /// Begins a session.
    pub(crate) fn begin(&mut self) -> Result<Session, SessionError> {
        let pair = self.latest.load();
        Session::new(if self.http2 { pair.with_http2.clone() } else { pair.config.clone() })
    }
}

fn ticketer() -> Result<Arc<dyn ProducesTickets>, TlsError> {
    Ticketer::new().map_err(|error| TlsError::System(error.to_string()))
}

fn parse(chain: &[u8], key: &[u8], ticketer: &Arc<dyn ProducesTickets>) -> Result<Pair, TlsError> {
    let pem = |text: &[u8], what| Pem { place: Place::Bytes(what), text: text.to_vec() };
    Pair::parse(&pem(chain, "the certificate given"), &pem(key, "the key given"), ticketer)
}
