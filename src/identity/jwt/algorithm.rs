//! Algorithms of signatures, and the error of keys and settings.

use std::{fmt, str::FromStr};

macro_rules! algorithms {
    ($($(#[$doc:meta])* $name:ident)*) => {
        /// Algorithm of a token's signature (RFC 7518 §3, RFC 8037).
        ///
        /// `none` is not among them. Signatures are verified on the shard of the connection.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Algorithm {
            $($(#[$doc])* $name,)*
        }

        impl Algorithm {
            /// All algorithms.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Returns the name of the algorithm in a token's header.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            pub(super) fn library(self) -> jsonwebtoken::Algorithm {
                match self {
                    $(Self::$name => jsonwebtoken::Algorithm::$name,)*
                }
            }
        }
    };
}

algorithms! {
    /// HMAC with SHA-256.
    HS256
    /// HMAC with SHA-384.
    HS384
    /// HMAC with SHA-512.
    HS512
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RS384
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RS512
    /// RSASSA-PSS with SHA-256.
    PS256
    /// RSASSA-PSS with SHA-384.
    PS384
    /// RSASSA-PSS with SHA-512.
    PS512
    /// ECDSA with P-256 and SHA-256.
    ES256
    /// Ed25519.
    EdDSA
}

impl FromStr for Algorithm {
    type Err = KeyError;

    fn from_str(name: &str) -> Result<Self, KeyError> {
        let found = Self::ALL.iter().copied().find(|algorithm| algorithm.name() == name);
        found.ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|algorithm| algorithm.name()).collect();
            KeyError::new(format!("unknown algorithm '{name}': use {}", names.join(", ")))
        })
    }
}

/// Error of a key or of a verifier's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyError(String);

impl KeyError {
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for KeyError {}
