//! Keys that verify tokens.

use jsonwebtoken::{
    AlgorithmFamily, DecodingKey, Validation,
    crypto::{CryptoProvider, aws_lc},
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse},
};

use super::{KeyError, Settings};

/// Maximum number of keys.
const MAX_KEYS: usize = 64;

/// Maximum number of keys that are tried for a token that names none.
const MAX_TRIES: usize = 4;

/// Shortest secret, bytes: the output size of SHA-256 (RFC 7518 §3.2).
const SECRET_BYTES: usize = 32;

/// A key that verifies tokens.
#[derive(Clone, Debug)]
pub struct Key {
    id: Option<String>,
    /// The only algorithm that the key may be used with, if it names one.
    algorithm: Option<jsonwebtoken::Algorithm>,
    key: DecodingKey,
}

impl Key {
    /// Creates a key of a secret that the issuer and this server share.
    ///
    /// # Errors
    ///
    /// The secret has fewer than 32 bytes.
    pub fn secret(secret: &[u8]) -> Result<Self, KeyError> {
        if secret.len() < SECRET_BYTES {
            return Err(KeyError::new(format!("the secret must have at least {SECRET_BYTES} bytes")));
        }
        let key = DecodingKey::from_secret(secret).map_err(|error| KeyError::new(error.to_string()))?;
        Ok(Self { id: None, algorithm: None, key })
    }

    /// Parses a public key in the PEM format: RSA, P-256 or Ed25519.
    ///
    /// # Errors
    ///
    /// It is another kind of key, or no key.
    pub fn pem(pem: &[u8]) -> Result<Self, KeyError> {
        let text = String::from_utf8_lossy(pem);
        if text.contains("PRIVATE KEY") {
            return Err(KeyError::new("a private key: set the public key, which verifies".to_owned()));
        }
        let key = DecodingKey::from_ec_pem(pem)
            .or_else(|_| DecodingKey::from_ed_pem(pem))
            .or_else(|_| DecodingKey::from_rsa_pem(pem))
            .map_err(|_| KeyError::new("no public key for RSA, P-256 or Ed25519 in PEM".to_owned()))?;
        Ok(Self { id: None, algorithm: None, key })
    }

    /// Parses a set of public keys in the JWKS format (RFC 7517 §5). Keys of other kinds and uses, and
    /// secrets, are left out.
    ///
    /// # Errors
    ///
    /// The text is not in that format, or no key is left.
    pub fn jwks(json: &[u8]) -> Result<Vec<Self>, KeyError> {
        let set: JwkSet =
            serde_json::from_slice(json).map_err(|error| KeyError::new(format!("no JWKS: {error}")))?;
        let keys: Vec<_> = set.keys.iter().filter_map(Self::jwk).collect();
        if keys.is_empty() {
            return Err(KeyError::new("the JWKS has no public key that verifies tokens".to_owned()));
        }
        Ok(keys)
    }

    /// Returns the key of a member of a JWKS, or `None` if it cannot verify tokens here.
    fn jwk(jwk: &Jwk) -> Option<Self> {
        let is_supported = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => true,
            AlgorithmParameters::EllipticCurve(key) => key.curve == EllipticCurve::P256,
            AlgorithmParameters::OctetKeyPair(key) => key.curve == EllipticCurve::Ed25519,
            _ => false,
        };
        let verifies = matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature));
        if !is_supported || !verifies {
            return None;
        }
        let algorithm = match &jwk.common.key_algorithm {
            Some(name) => Some(jsonwebtoken::Algorithm::try_from(*name).ok()?),
            None => None,
        };
        let key = DecodingKey::from_jwk(jwk).ok()?;
        Some(Self { id: jwk.common.key_id.clone(), algorithm, key })
    }

    /// Sets the id by which tokens name the key in their header. A key without an id verifies tokens that
    /// name no key, and those that name a key that is unknown.
    #[must_use]
    pub fn with_id(self, id: impl Into<String>) -> Self {
        Self { id: Some(id.into()), ..self }
    }
}

/// The keys of a verifier.
#[derive(Debug)]
pub(super) struct KeyRing {
    /// Number of the key ring in this process.
    pub(super) number: u64,
    keys: Vec<RingKey>,
}

/// A key, and the checks of the tokens that it verifies.
#[derive(Debug)]
pub(super) struct RingKey {
    id: Option<String>,
    key: DecodingKey,
    validation: Validation,
}

impl KeyRing {
    pub(super) fn new(number: u64, keys: Vec<Key>, settings: &Settings) -> Result<Self, KeyError> {
        if keys.is_empty() || keys.len() > MAX_KEYS {
            return Err(KeyError::new(format!("{} keys: set 1 to {MAX_KEYS}", keys.len())));
        }
        let keys = keys.into_iter().map(|key| RingKey::new(key, settings)).collect::<Result<_, _>>()?;
        Ok(Self { number, keys })
    }

    /// Returns the keys that may have signed a token with this key id: those of this id, or if there is none
    /// those without an id. All keys for a token that names none.
    pub(super) fn candidates(&self, id: Option<&str>) -> impl Iterator<Item = &RingKey> {
        let is_known = id.is_some() && self.keys.iter().any(|key| key.id.as_deref() == id);
        let may_match = move |key: &&RingKey| match id {
            None => true,
            Some(_) if is_known => key.id.as_deref() == id,
            Some(_) => key.id.is_none(),
        };
        self.keys.iter().filter(may_match).take(MAX_TRIES)
    }
}

impl RingKey {
    fn new(key: Key, settings: &Settings) -> Result<Self, KeyError> {
        let Key { id, algorithm, key } = key;
        let permitted = settings.algorithms.iter().map(|algorithm| algorithm.library());
        let fits = |name: &jsonwebtoken::Algorithm| {
            name.family() == key.family() && algorithm.is_none_or(|only| only == *name)
        };
        let algorithms: Vec<_> = permitted.filter(fits).collect();
        let Some(first) = algorithms.first() else {
            let kind = kind(key.family());
            let id = id.as_deref().unwrap_or("without an id");
            return Err(KeyError::new(format!("the key {id} is for {kind}, which algorithms do not permit")));
        };
        let mut validation = Validation::new(*first);
        validation.leeway = settings.leeway.as_secs();
        validation.validate_nbf = true;
        let mut required = vec!["exp", "sub"];
        if !settings.issuers.is_empty() {
            validation.set_issuer(&settings.issuers);
            required.push("iss");
        }
        if !settings.audiences.is_empty() {
            validation.set_audience(&settings.audiences);
            required.push("aud");
        }
        validation.set_required_spec_claims(&required);
        validation.algorithms = algorithms;
        Ok(Self { id, key, validation })
    }

    /// Returns the checks of a token with this algorithm, or `None` if the key does not permit it.
    pub(super) fn validation(&self, algorithm: jsonwebtoken::Algorithm) -> Option<&Validation> {
        self.validation.algorithms.contains(&algorithm).then_some(&self.validation)
    }

    pub(super) fn decoding(&self) -> &DecodingKey {
        &self.key
    }
}

fn kind(family: AlgorithmFamily) -> &'static str {
    match family {
        AlgorithmFamily::Hmac => "HMAC",
        AlgorithmFamily::Rsa => "RSA",
        AlgorithmFamily::Ec => "ECDSA",
        AlgorithmFamily::Ed => "EdDSA",
    }
}

/// Selects the cryptography of the token library, unless the program has.
///
/// Needed if another package of the program enables a second one.
pub(super) fn install_provider() {
    if CryptoProvider::try_get_default().is_none() {
        // Fails only if another thread has just installed one.
        let _ = aws_lc::DEFAULT_PROVIDER.install_default();
    }
}
