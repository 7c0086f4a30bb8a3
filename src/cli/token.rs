//! `windlass token`: keys and JSON Web Tokens for development and tests.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::{Args, Subcommand, ValueEnum};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
use serde::Serialize;

use super::auth::without_line_end;
use windlass::identity::TopicPatterns;

/// Bytes of a new secret. The file has two hexadecimal digits for each.
const SECRET_BYTES: usize = 32;

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Create a key. Existing files are not overwritten
    Key {
        /// Algorithm of the tokens that the key signs
        #[arg(long, value_name = "ALG", value_enum, ignore_case = true)]
        alg: KeyAlgorithm,
        /// File for the private key or the secret. The public key gets the same name with the ending .pub.pem
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Print a token that is signed with a key
    Sign(Box<Sign>),
}

/// Algorithm of a key.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum KeyAlgorithm {
    /// A secret that signs and verifies
    #[value(name = "HS256")]
    Hs256,
    /// ECDSA with P-256
    #[value(name = "ES256")]
    Es256,
    /// Ed25519
    #[value(name = "EdDSA")]
    EdDsa,
}

#[derive(Args, Debug)]
pub(super) struct Sign {
    /// File with the private key (PEM, PKCS#8) or the secret
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Subject of the token, such as the id of a user
    #[arg(long, value_name = "SUBJECT")]
    sub: String,
    /// Pattern of topics that the subject may subscribe to; may contain {sub}; may be repeated
    #[arg(long, value_name = "PATTERN")]
    subscribe: Vec<String>,
    /// Pattern of topics that the subject may publish to; may contain {sub}; may be repeated
    #[arg(long, value_name = "PATTERN")]
    publish: Vec<String>,
    /// Time until the token expires, such as 1h or 30days
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = humantime::parse_duration)]
    expires: Duration,
    /// Issuer, as in 'issuer' of the section [auth]
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,
    /// Audience, as in 'audience' of the section [auth]; may be repeated
    #[arg(long, value_name = "NAME")]
    audience: Vec<String>,
    /// Id of the key, as in 'id' of the section [[auth.key]]
    #[arg(long, value_name = "ID")]
    key_id: Option<String>,
}

/// The claims of a token. A part that is not set is left out.
#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    iat: u64,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    aud: &'a [String],
    topics: Topics<'a>,
}

#[derive(Serialize)]
struct Topics<'a> {
    subscribe: &'a [String],
    publish: &'a [String],
}

/// Runs the command and returns its output.
pub(super) fn run(command: &TokenCommand) -> Result<String, String> {
    match command {
        TokenCommand::Key { alg, out } => create_key(*alg, out),
        TokenCommand::Sign(sign) => sign.token().map(|token| format!("{token}\n")),
    }
}

/// Creates the files of a key and returns a message for the user.
fn create_key(algorithm: KeyAlgorithm, file: &Path) -> Result<String, String> {
    let failed = |error: &dyn std::fmt::Display| format!("cannot create a key: {error}");
    let pair = match algorithm {
        KeyAlgorithm::Hs256 => {
            let mut secret = [0; SECRET_BYTES];
            rustix::rand::getrandom(&mut secret, rustix::rand::GetRandomFlags::empty())
                .map_err(|error| failed(&error))?;
            let digits: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
            create_file(file, 0o600, &format!("{digits}\n"))?;
            let name = file.display();
            return Ok(format!(
                "created {name}: a secret for HS256\nserver: [[auth.key]] with secret_file = \"{name}\"\n"
            ));
        }
        KeyAlgorithm::Es256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
        KeyAlgorithm::EdDsa => KeyPair::generate_for(&PKCS_ED25519),
    };
    let pair = pair.map_err(|error| failed(&error))?;
    let public = file.with_extension("pub.pem");
    if public.exists() {
        return Err(exists(&public));
    }
    create_file(file, 0o600, &pair.serialize_pem())?;
    create_file(&public, 0o644, &pair.public_key_pem())?;
    let (name, public) = (file.display(), public.display());
    Ok(format!(
        "created {name}, the private key, and {public}, the public one\n\
         server: [[auth.key]] with public_key = \"{public}\"\n"
    ))
}

/// Creates a file. Fails if it exists.
fn create_file(file: &Path, mode: u32, content: &str) -> Result<(), String> {
    let created = OpenOptions::new().write(true).create_new(true).mode(mode).open(file);
    match created.and_then(|mut file| file.write_all(content.as_bytes())) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(exists(file)),
        Err(error) => Err(format!("cannot write {}: {error}", file.display())),
    }
}

fn exists(file: &Path) -> String {
    format!("{} exists already: remove it, or choose another file with --out", file.display())
}

impl Sign {
    fn token(&self) -> Result<String, String> {
        for pattern in self.subscribe.iter().chain(&self.publish) {
            TopicPatterns::parse_for(Some(&self.sub), [pattern])
                .map_err(|error| format!("'{pattern}': {error}"))?;
        }
        let (algorithm, key) = self.read_key()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let claims = Claims {
            sub: &self.sub,
            iat: now.as_secs(),
            exp: now.saturating_add(self.expires).as_secs(),
            iss: self.issuer.as_deref(),
            aud: &self.audience,
            topics: Topics { subscribe: &self.subscribe, publish: &self.publish },
        };
        let header = Header { kid: self.key_id.clone(), ..Header::new(algorithm) };
        encode(&header, &claims, &key).map_err(|error| format!("cannot sign: {error}"))
    }

    /// Reads the key and returns it with the algorithm of its kind.
    fn read_key(&self) -> Result<(Algorithm, EncodingKey), String> {
        let name = self.key.display();
        let content = fs::read(&self.key).map_err(|error| format!("cannot read {name}: {error}"))?;
        let text = String::from_utf8_lossy(&content);
        if !text.contains("-----BEGIN") {
            let secret = without_line_end(&content);
            if secret.len() < SECRET_BYTES {
                return Err(format!("{name}: a secret must have at least {SECRET_BYTES} bytes"));
            }
            let key = EncodingKey::from_secret(secret).map_err(|error| format!("{name}: {error}"))?;
            return Ok((Algorithm::HS256, key));
        }
        let key = EncodingKey::from_ec_pem(&content).map(|key| (Algorithm::ES256, key));
        key.or_else(|_| EncodingKey::from_ed_pem(&content).map(|key| (Algorithm::EdDSA, key)))
            .or_else(|_| EncodingKey::from_rsa_pem(&content).map(|key| (Algorithm::RS256, key)))
            .map_err(|_| format!("{name}: no private key in PEM (PKCS#8) for P-256, Ed25519 or RSA"))
    }
}
