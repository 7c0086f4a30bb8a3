//! Issuers of tokens, good and bad.

use std::{
    sync::LazyLock,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize, SignatureAlgorithm};
use serde_json::{Value, json};

pub(super) const SECRET: &[u8] = b"a secret of at least thirty-two bytes";

/// A key pair of an issuer.
pub(super) struct Issuer {
    pub(super) algorithm: Algorithm,
    pub(super) public_pem: String,
    key: EncodingKey,
}

pub(super) static ES256: LazyLock<Issuer> = LazyLock::new(|| {
    let pair = generate(&PKCS_ECDSA_P256_SHA256);
    let key = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
    Issuer { algorithm: Algorithm::ES256, public_pem: pair.public_key_pem(), key }
});

pub(super) static EDDSA: LazyLock<Issuer> = LazyLock::new(|| {
    let pair = generate(&PKCS_ED25519);
    let key = EncodingKey::from_ed_pem(pair.serialize_pem().as_bytes()).unwrap();
    Issuer { algorithm: Algorithm::EdDSA, public_pem: pair.public_key_pem(), key }
});

pub(super) static RS256: LazyLock<Issuer> = LazyLock::new(|| {
    let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let key = EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes()).unwrap();
    Issuer { algorithm: Algorithm::RS256, public_pem: pair.public_key_pem(), key }
});

pub(super) static HS256: LazyLock<Issuer> = LazyLock::new(|| hmac(Algorithm::HS256, SECRET));

fn generate(algorithm: &'static SignatureAlgorithm) -> KeyPair {
    KeyPair::generate_for(algorithm).unwrap()
}

/// Returns an issuer that signs with a secret.
pub(super) fn hmac(algorithm: Algorithm, secret: &[u8]) -> Issuer {
    Issuer { algorithm, public_pem: String::new(), key: EncodingKey::from_secret(secret).unwrap() }
}

impl Issuer {
    /// Signs these claims.
    pub(super) fn sign(&self, claims: &Value) -> String {
        self.sign_as(None, claims)
    }

    /// Signs these claims. The header names the key.
    pub(super) fn sign_as(&self, key_id: Option<&str>, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = key_id.map(str::to_owned);
        encode(&header, claims, &self.key).unwrap()
    }
}

/// Returns the current time, seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Returns claims of alice, who may subscribe to `news` and below `chat/`, and publish to `chat/alice`.
pub(super) fn claims() -> Value {
    json!({
        "sub": "alice", "iss": "https://id.example", "aud": "feed", "exp": now() + 600, "iat": now(),
        "topics": {"subscribe": ["news", "chat/*"], "publish": ["chat/{sub}"]},
    })
}

/// Returns the claims with this one replaced; `null` removes it.
pub(super) fn with(name: &str, value: impl Into<Value>) -> Value {
    let mut claims = claims();
    match value.into() {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
        value => claims[name] = value,
    }
    claims
}

/// Returns a token of this header and payload, with a signature of arbitrary bytes.
pub(super) fn forged(header: &str, payload: &str, signature: &[u8]) -> String {
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    format!("{}.{}.{}", part(header.as_bytes()), part(payload.as_bytes()), part(signature))
}
