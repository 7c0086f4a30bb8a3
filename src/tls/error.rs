//! What is wrong with a certificate, a key, or their files.

use std::{fmt, io, path::PathBuf};

/// Why a certificate and its key cannot be used. The text names the file, what is wrong, and what would be right.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    Read {
        /// The file.
        file: PathBuf,
        /// What the system answered.
        error: io::Error,
    },
    /// The certificate chain is none.
    Certificate {
        /// The file, or that it came as bytes.
        place: String,
        /// What is wrong with it.
        what: String,
    },
    /// The private key is none.
    Key {
        /// The file, or that it came as bytes.
        place: String,
        /// What is wrong with it.
        what: String,
    },
    /// The key is not the one the certificate was made for.
    Mismatch {
        /// Where the certificate is.
        certificate: String,
        /// Where the key is.
        key: String,
    },
    /// The pair came as bytes: there are no files to read again.
    NoFiles,
    /// The system gave no randomness for tickets.
    System(String),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { file, error } => write!(f, "cannot read {}: {error}", file.display()),
            Self::Certificate { place, what } => {
                write!(f, "{place} holds no usable certificate chain: {what}")
            }
            Self::Key { place, what } => write!(f, "{place} holds no usable private key: {what}"),
            Self::Mismatch { certificate, key } => {
                write!(f, "the key in {key} is not that of the first certificate in {certificate}")
            }
            Self::NoFiles => f.write_str("the certificate came as bytes: there are no files to read again"),
            Self::System(error) => write!(f, "TLS cannot be set up: {error}"),
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
