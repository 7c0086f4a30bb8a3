//! Identities from JSON Web Tokens (RFC 7519).
//!
//! It must not know topics' routes or how a configuration file looks.
//!
//! ```
//! use windlass::{TopicAccess, identity::jwt::{Key, Settings, Verifier}};
//! use std::sync::Arc;
//!
//! let mut settings = Settings::default();
//! settings.audiences = vec!["feed".to_owned()];
//! let secret = Key::secret(b"at least 32 bytes, shared with the issuer")?;
//! let mut access = TopicAccess::default();
//! access.authorizer = Some(Arc::new(Verifier::new(settings, vec![secret])?));
//! # Ok::<(), windlass::identity::jwt::KeyError>(())
//! ```
//!
//! The claims of a token, of which `sub` and `exp` are required:
//!
//! ```json
//! {
//!   "sub": "alice", "exp": 1800000000, "aud": "feed",
//!   "topics": {"subscribe": ["news", "users/{sub}/*"], "publish": ["users/{sub}/status"]}
//! }
//! ```

mod algorithm;
mod cache;
mod claims;
mod keys;
mod settings;

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use jsonwebtoken::{
    Validation, decode, decode_header,
    errors::{Error, ErrorKind},
};
use windlass_actors::Publisher;

use super::{Authorizer, Identity, Refusal, TopicPatterns};
use crate::request::Request;

pub use algorithm::{Algorithm, KeyError};
pub use keys::Key;
pub use settings::{Settings, TokenSource};

use claims::Claims;
use keys::KeyRing;

/// Verifies tokens with a set of keys. See [the module](self).
///
/// Verified tokens are cached on the thread that verified them, until they expire. A thread caches at most
/// 1,024 tokens and 512 KiB of them.
#[derive(Debug)]
pub struct Verifier {
    settings: Settings,
    anonymous: Option<Identity>,
    keys: Publisher<KeyRing>,
    /// Held while the keys are replaced, so that each key ring has a number of its own.
    replacing: Mutex<()>,
}

/// Number of the latest key ring of this process. Cached tokens belong to a key ring.
static KEY_RINGS: AtomicU64 = AtomicU64::new(0);

impl Verifier {
    /// Creates a verifier.
    ///
    /// # Errors
    ///
    /// There is no key, or there are more than 64; a key is of no use with the permitted algorithms; a
    /// setting is invalid. The text names it.
    pub fn new(settings: Settings, keys: Vec<Key>) -> Result<Self, KeyError> {
        settings.check()?;
        keys::install_provider();
        let anonymous = settings.anonymous_identity()?;
        let ring = Self::ring(&settings, keys)?;
        Ok(Self { settings, anonymous, keys: Publisher::new(ring), replacing: Mutex::new(()) })
    }

    /// Replaces the keys. Tokens that were verified with the old ones are verified again.
    ///
    /// # Errors
    ///
    /// See [`new`](Self::new). The old keys stay in use.
    pub fn replace_keys(&self, keys: Vec<Key>) -> Result<(), KeyError> {
        let _lock = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        self.keys.publish(Self::ring(&self.settings, keys)?);
        Ok(())
    }

    fn ring(settings: &Settings, keys: Vec<Key>) -> Result<KeyRing, KeyError> {
        KeyRing::new(KEY_RINGS.fetch_add(1, Ordering::Relaxed), keys, settings)
    }

    /// Verifies a token and returns the identity that it names. Does not use the cache.
    ///
    /// # Errors
    ///
    /// The token is refused for this reason.
    pub fn verify(&self, token: &str) -> Result<Identity, Refusal> {
        self.verify_with(&self.keys.latest(), token)
    }

    fn verify_with(&self, ring: &KeyRing, token: &str) -> Result<Identity, Refusal> {
        if token.len() > self.settings.token_bytes {
            return Err(Refusal::Oversize);
        }
        let header = decode_header(token).map_err(|_| Refusal::Malformed)?;
        if header.crit.is_some_and(|names| !names.is_empty()) {
            return Err(Refusal::Malformed);
        }
        let mut refusal = Refusal::UnknownKey;
        for key in ring.candidates(header.kid.as_deref()) {
            let Some(validation) = key.validation(header.alg) else {
                refusal = refusal.max_by_progress(Refusal::Algorithm);
                continue;
            };
            match self.verify_key(token, key, validation) {
                Ok(identity) => return Ok(identity),
                // Another key may be the right one only if this one did not sign the token.
                Err(Refusal::Signature) => refusal = Refusal::Signature,
                Err(other) => return Err(other),
            }
        }
        Err(refusal)
    }

    fn verify_key(
        &self,
        token: &str,
        key: &keys::RingKey,
        validation: &Validation,
    ) -> Result<Identity, Refusal> {
        let decoded = decode::<Claims>(token, key.decoding(), validation).map_err(|error| reason(&error))?;
        decoded.claims.identity(&self.settings, SystemTime::now())
    }

    /// Like [`verify`](Self::verify), with the cache of this thread.
    fn verify_cached(&self, token: &str, request: &Request) -> Result<Identity, Refusal> {
        let ring = self.keys.latest();
        let counters = request.counters();
        if let Some(identity) = cache::get(ring.number, token) {
            if identity.has_expired(SystemTime::now()) {
                return Err(Refusal::Expired);
            }
            counters.auth_cached.add(1);
            return Ok(identity);
        }
        counters.auth_verified.add(1);
        let identity = self.verify_with(&ring, token)?;
        cache::insert(ring.number, token, &identity);
        Ok(identity)
    }
}

impl Refusal {
    /// Returns the reason of the check that comes later: a key was found.
    fn max_by_progress(self, other: Self) -> Self {
        if self == Self::UnknownKey { other } else { self }
    }
}

impl Authorizer for Verifier {
    fn identify(&self, request: &Request) -> Result<Option<Identity>, Refusal> {
        match settings::token(&self.settings.sources, request) {
            Some(token) => self.verify_cached(&token, request).map(Some),
            None => Ok(self.anonymous.clone()),
        }
    }
}

/// Returns the reason of an error of the token library.
fn reason(error: &Error) -> Refusal {
    match error.kind() {
        ErrorKind::InvalidSignature => Refusal::Signature,
        ErrorKind::ExpiredSignature => Refusal::Expired,
        ErrorKind::ImmatureSignature => Refusal::NotYetValid,
        ErrorKind::InvalidIssuer => Refusal::Issuer,
        ErrorKind::InvalidAudience => Refusal::Audience,
        ErrorKind::InvalidAlgorithm | ErrorKind::MissingAlgorithm | ErrorKind::UnsupportedAlgorithm => {
            Refusal::Algorithm
        }
        ErrorKind::MissingRequiredClaim(_) => Refusal::MissingClaim,
        _ => Refusal::Malformed,
    }
}

impl Settings {
    /// Returns the identity of requests without a token, or `None` if they need one.
    fn anonymous_identity(&self) -> Result<Option<Identity>, KeyError> {
        if self.anonymous.is_empty() {
            return Ok(None);
        }
        let topics = TopicPatterns::parse(&self.anonymous)
            .map_err(|error| KeyError::new(format!("anonymous: {error}")))?;
        Ok(Some(Identity::anonymous().may_subscribe(topics)))
    }
}
