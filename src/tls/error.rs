//! The error of a certificate, a key, or their files.

use std::{fmt, io, path::PathBuf};

/// The error of a certificate and its key. The message names the file and the cause.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    Read {
        /// The file that cannot be read.
        file: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
    /// The certificate chain cannot be used.
    Certificate {
        /// The file, or "the certificate given" if it was passed as bytes.
        origin: String,
        /// Description of the cause.
        reason: String,
    },
    /// The private key cannot be used.
    Key {
        /// The file, or "the key given" if it was passed as bytes.
        origin: String,
        /// Description of the cause.
        reason: String,
    },
    /// The private key does not belong to the certificate.
    Mismatch {
        /// The certificate's file, or "the certificate given" if it was passed as bytes.
        certificate: String,
        /// The key's file, or "the key given" if it was passed as bytes.
        key: String,
    },
    /// The certificate was passed as bytes, so there is no file to reload.
    NoFiles,
    /// TLS cannot be set up, for example because the system provides no random numbers.
    System(String),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { file, error } => write!(f, "cannot read {}: {error}", file.display()),
            Self::Certificate { origin, reason } => {
                write!(f, "{origin} holds no usable certificate chain: {reason}")
            }
            Self::Key { origin, reason } => write!(f, "{origin} holds no usable private key: {reason}"),
            Self::Mismatch { certificate, key } => {
                write!(f, "the key in {key} does not match the first certificate in {certificate}")
            }
            Self::NoFiles => {
                f.write_str("the certificate was passed as bytes: use `replace` instead of `reload`")
            }
            Self::System(error) => write!(f, "cannot set up TLS: {error}"),
        }
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read { error, .. } => Some(error),
            _ => None,
        }
    }
}
