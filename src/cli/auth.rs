//! The `[auth]` section of the file: JSON Web Tokens as identities of the topics' clients.

use std::path::PathBuf;

use serde::Deserialize;

pub(super) use tokens::{Auth, check};

/// The `[auth]` section.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(not(feature = "jwt"), allow(dead_code, reason = "the section is refused without the feature"))]
pub(super) struct AuthConfig {
    algorithms: Option<Vec<String>>,
    issuer: Names,
    audience: Names,
    leeway: Option<String>,
    max_lifetime: Option<String>,
    token_bytes: Option<usize>,
    sources: Option<Vec<String>>,
    subscribe: Vec<String>,
    publish: Vec<String>,
    anonymous: Vec<String>,
    jwks_file: Option<PathBuf>,
    key: Vec<KeyConfig>,
}

/// An `[[auth.key]]` section.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(feature = "jwt"), allow(dead_code, reason = "the section is refused without the feature"))]
struct KeyConfig {
    /// The `kid` by which tokens name the key.
    id: Option<String>,
    /// PEM file with a public key.
    public_key: Option<PathBuf>,
    /// File with a secret. A line end at its end is no part of the secret.
    secret_file: Option<PathBuf>,
    /// Environment variable with a secret.
    secret_env: Option<String>,
}

/// One name, or a list of names.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
#[cfg_attr(not(feature = "jwt"), allow(dead_code, reason = "the section is refused without the feature"))]
enum Names {
    One(String),
    Many(Vec<String>),
}

impl Default for Names {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

#[cfg(feature = "jwt")]
mod tokens {
    use std::{
        env,
        fs::File,
        io::Read,
        path::{Path, PathBuf},
        sync::Arc,
        time::Duration,
    };

    use super::{AuthConfig, KeyConfig, Names};
    use windlass::identity::{
        Authorizer,
        jwt::{Key, Settings, Verifier},
    };

    /// Maximum size of a key's file, bytes.
    const MAX_BYTES: u64 = 1024 * 1024;

    /// The verifier of a configuration, and the files to read its keys from again.
    #[derive(Clone)]
    pub(crate) struct Auth {
        verifier: Arc<Verifier>,
        config: AuthConfig,
    }

    /// Reads the keys and checks the settings.
    pub(crate) fn check(config: &AuthConfig) -> Result<(), String> {
        Auth::new(config).map(drop)
    }

    impl Auth {
        /// Reads the keys and creates the verifier. The error text names the wrong key or setting.
        pub(crate) fn new(config: &AuthConfig) -> Result<Self, String> {
            let verifier = Verifier::new(config.settings()?, config.keys()?);
            let verifier = Arc::new(verifier.map_err(|error| format!("auth: {error}"))?);
            Ok(Self { verifier, config: config.clone() })
        }

        /// Returns the verifier.
        pub(crate) fn authorizer(&self) -> Arc<dyn Authorizer> {
            self.verifier.clone()
        }

        /// Reads the keys again, and logs the result.
        pub(crate) fn reload(&self) {
            let keys = self.config.keys();
            let replaced = keys
                .and_then(|keys| self.verifier.replace_keys(keys).map_err(|error| format!("auth: {error}")));
            match replaced {
                Ok(()) => tracing::info!("keys of tokens reloaded"),
                Err(error) => tracing::error!(error, "reload of keys failed, the old ones stay in use"),
            }
        }
    }

    impl AuthConfig {
        fn settings(&self) -> Result<Settings, String> {
            let text = |error: windlass::identity::jwt::KeyError| format!("auth: {error}");
            let mut settings = Settings::default();
            if let Some(names) = &self.algorithms {
                settings.algorithms =
                    names.iter().map(|name| name.parse()).collect::<Result<_, _>>().map_err(text)?;
            }
            if let Some(sources) = &self.sources {
                settings.sources =
                    sources.iter().map(|source| source.parse()).collect::<Result<_, _>>().map_err(text)?;
            }
            if let Some(leeway) = &self.leeway {
                settings.leeway = duration("leeway", leeway)?;
            }
            settings.max_lifetime =
                self.max_lifetime.as_deref().map(|text| duration("max_lifetime", text)).transpose()?;
            settings.token_bytes = self.token_bytes.unwrap_or(settings.token_bytes);
            settings.issuers = self.issuer.to_vec();
            settings.audiences = self.audience.to_vec();
            settings.subscribe.clone_from(&self.subscribe);
            settings.publish.clone_from(&self.publish);
            settings.anonymous.clone_from(&self.anonymous);
            Ok(settings)
        }

        /// Reads all keys.
        fn keys(&self) -> Result<Vec<Key>, String> {
            let mut keys: Vec<_> = self.key.iter().map(KeyConfig::read).collect::<Result<_, _>>()?;
            if let Some(file) = &self.jwks_file {
                let set = Key::jwks(&read(file)?);
                keys.extend(set.map_err(|error| format!("auth: jwks_file {}: {error}", file.display()))?);
            }
            if keys.is_empty() {
                return Err("auth: there is no key: add an [[auth.key]] section or set jwks_file".to_owned());
            }
            Ok(keys)
        }
    }

    impl KeyConfig {
        fn read(&self) -> Result<Key, String> {
            let (key, origin) = match (&self.public_key, &self.secret_file, &self.secret_env) {
                (Some(file), None, None) => (Key::pem(&read(file)?), display(file)),
                (None, Some(file), None) => (Key::secret(without_line_end(&read(file)?)), display(file)),
                (None, None, Some(name)) => {
                    let secret = env::var(name);
                    let secret =
                        secret.map_err(|error| format!("auth.key: environment variable {name}: {error}"))?;
                    (Key::secret(secret.as_bytes()), name.clone())
                }
                _ => {
                    let sources = "public_key, secret_file or secret_env";
                    return Err(format!("auth.key: set exactly one of {sources}"));
                }
            };
            let key = key.map_err(|error| format!("auth.key {origin}: {error}"))?;
            Ok(match &self.id {
                Some(id) => key.with_id(id.as_str()),
                None => key,
            })
        }
    }

    impl Names {
        fn to_vec(&self) -> Vec<String> {
            match self {
                Self::One(name) => vec![name.clone()],
                Self::Many(names) => names.clone(),
            }
        }
    }

    fn display(file: &Path) -> String {
        file.display().to_string()
    }

    /// Reads a file of limited size.
    fn read(file: &PathBuf) -> Result<Vec<u8>, String> {
        let failed = |error: &dyn std::fmt::Display| format!("auth: cannot read {}: {error}", file.display());
        let mut bytes = Vec::new();
        let opened = File::open(file).map_err(|error| failed(&error))?;
        opened.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(failed(&"the file is larger than 1 MiB"));
        }
        Ok(bytes)
    }

    /// Returns a secret without the line end at the end of its file.
    pub(crate) fn without_line_end(secret: &[u8]) -> &[u8] {
        let line = secret.strip_suffix(b"\n").unwrap_or(secret);
        line.strip_suffix(b"\r").unwrap_or(line)
    }

    fn duration(name: &str, text: &str) -> Result<Duration, String> {
        humantime::parse_duration(text)
            .map_err(|_| format!("auth: invalid {name} \"{text}\": write a duration such as \"30s\""))
    }
}

#[cfg(not(feature = "jwt"))]
mod tokens {
    use std::sync::Arc;

    use super::AuthConfig;
    use windlass::identity::Authorizer;

    /// The verifier of a configuration. There is none without the feature `jwt`.
    #[derive(Clone)]
    pub(crate) enum Auth {}

    pub(crate) fn check(_: &AuthConfig) -> Result<(), String> {
        Err("auth: this build has no JSON Web Tokens: build it with the feature `jwt`".to_owned())
    }

    impl Auth {
        pub(crate) fn new(config: &AuthConfig) -> Result<Self, String> {
            check(config).and(Err(String::new()))
        }

        pub(crate) fn authorizer(&self) -> Arc<dyn Authorizer> {
            match *self {}
        }

        pub(crate) fn reload(&self) {}
    }
}
#[cfg(feature = "jwt")]
pub(super) use tokens::without_line_end;
