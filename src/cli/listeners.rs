//! Configured listeners: an address or sockets from the service manager, with a certificate.

use std::path::{Path, PathBuf};

use windlass::Listen;

/// Files of a certificate chain and its private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CertificateFiles {
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
}

impl CertificateFiles {
    /// Returns the files if both are set, and `None` if neither is. Returns an error text if one is missing.
    pub(super) fn from_options(cert: Option<&Path>, key: Option<&Path>) -> Result<Option<Self>, String> {
        match (cert, key) {
            (None, None) => Ok(None),
            (Some(cert), Some(key)) => Ok(Some(Self { cert: cert.into(), key: key.into() })),
            (Some(_), None) => Err("tls_cert is set but tls_key is not: set both".to_owned()),
            (None, Some(_)) => Err("tls_key is set but tls_cert is not: set both".to_owned()),
        }
    }
}

/// The socket that a listener accepts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Socket {
    /// A socket that the server binds to this address.
    Bound(Listen),
    /// The sockets that the service manager passed under this name. `None`: every passed socket that no other
    /// listener names.
    Systemd(Option<String>),
}

impl Socket {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "systemd" => Ok(Self::Systemd(None)),
            Some(("systemd", "")) => Err("systemd: the name of the socket is missing".to_owned()),
            Some(("systemd", name)) => Ok(Self::Systemd(Some(name.to_owned()))),
            _ => text.parse().map(Self::Bound).map_err(|error| format!("{error}")),
        }
    }

    /// Returns the name that the configuration gives a socket from systemd. `None` for other sockets.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Systemd(name) => name.as_deref(),
            Self::Bound(_) => None,
        }
    }

    pub(super) fn address(&self) -> Option<&Listen> {
        match self {
            Self::Bound(address) => Some(address),
            Self::Systemd(_) => None,
        }
    }
}

/// One listener, as configured.
#[derive(Clone, Debug)]
pub(super) struct Listener {
    pub(super) socket: Socket,
    /// Every connection must start with a header of the PROXY protocol.
    pub(super) proxy_protocol: bool,
    /// `None`: the listener speaks plain HTTP.
    pub(super) certificate: Option<CertificateFiles>,
    /// Clients speak HTTP/2 from the first byte. Only without a certificate.
    pub(super) is_http2_only: bool,
}

impl Listener {
    /// Returns a listener with the same settings at an address.
    pub(super) fn at(&self, address: Listen) -> Self {
        Self { socket: Socket::Bound(address), ..self.clone() }
    }
}
