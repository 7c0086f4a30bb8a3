//! Settings of a verifier, and the places of a request that have the token.

use std::{borrow::Cow, str::FromStr, time::Duration};

use http::header;

use super::{Algorithm, KeyError};
use crate::{identity::TopicPatterns, request::Request};

/// Longest leeway.
const MAX_LEEWAY: Duration = Duration::from_secs(3600);

/// Settings of a [`Verifier`](super::Verifier).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// Permitted algorithms. A key is used with those of its own kind only, so a public key is never a
    /// secret. Default: HS256, RS256, ES256 and EdDSA.
    pub algorithms: Vec<Algorithm>,
    /// Permitted issuers, of which a token must name one. Default: empty, the issuer is not checked.
    pub issuers: Vec<String>,
    /// Audiences that mean this server, of which a token must name one. Default: empty, a token that names an
    /// audience is refused.
    pub audiences: Vec<String>,
    /// Difference between the clocks of issuer and server that is permitted. Default 30 s, at most 1 h.
    pub leeway: Duration,
    /// Longest time until the expiry of a token. Default: none.
    pub max_lifetime: Option<Duration>,
    /// Maximum size of a token, bytes. Default 8 KiB.
    pub token_bytes: usize,
    /// Places of a request that may have the token. The first one that has one counts. Default: the header
    /// field `Authorization`, then the query key `access_token`.
    pub sources: Vec<TokenSource>,
    /// Patterns of the topics that a token without the claim `topics` may subscribe to. Default: none.
    pub subscribe: Vec<String>,
    /// Patterns of the topics that a token without the claim `topics` may publish to. Default: none.
    pub publish: Vec<String>,
    /// Patterns of the topics that requests without a token may subscribe to. Default: none.
    pub anonymous: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            algorithms: vec![Algorithm::HS256, Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA],
            issuers: Vec::new(),
            audiences: Vec::new(),
            leeway: Duration::from_secs(30),
            max_lifetime: None,
            token_bytes: 8 * 1024,
            sources: vec![TokenSource::Header, TokenSource::Query("access_token".to_owned())],
            subscribe: Vec::new(),
            publish: Vec::new(),
            anonymous: Vec::new(),
        }
    }
}

impl Settings {
    /// Checks everything but the keys.
    pub(super) fn check(&self) -> Result<(), KeyError> {
        let invalid = |text: &str| Err(KeyError::new(text.to_owned()));
        if self.leeway > MAX_LEEWAY {
            return invalid("leeway must be at most 1h");
        }
        if self.sources.is_empty() {
            return invalid("sources must name at least one place of the token");
        }
        if self.algorithms.is_empty() {
            return invalid("algorithms must name at least one algorithm");
        }
        // Any valid segment shows whether the rest of a pattern is valid.
        for (name, patterns) in [("subscribe", &self.subscribe), ("publish", &self.publish)] {
            TopicPatterns::parse_for(Some("subject"), patterns)
                .map_err(|error| KeyError::new(format!("{name}: {error}")))?;
        }
        Ok(())
    }
}

/// A place of a request that may have the token.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenSource {
    /// The header field `Authorization: Bearer TOKEN`.
    Header,
    /// A query key. URLs end up in logs, so prefer the others where clients can use them.
    Query(String),
    /// A cookie. Browsers send it with the requests of every page, so only pages of permitted
    /// [origins](crate::TopicAccess::origins) may publish.
    Cookie(String),
}

/// Parses `header`, `query:KEY` or `cookie:NAME`.
impl FromStr for TokenSource {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        match text.split_once(':') {
            None if text == "header" => Ok(Self::Header),
            Some(("query", key)) if !key.is_empty() => Ok(Self::Query(key.to_owned())),
            Some(("cookie", name)) if !name.is_empty() => Ok(Self::Cookie(name.to_owned())),
            _ => {
                Err(KeyError::new(format!("invalid source '{text}': write header, query:KEY or cookie:NAME")))
            }
        }
    }
}

/// Returns the token of a request: of the first source that has one.
pub(super) fn token<'a>(sources: &[TokenSource], request: &'a Request) -> Option<Cow<'a, str>> {
    let of = |source: &TokenSource| match source {
        TokenSource::Header => request.header(header::AUTHORIZATION).and_then(bearer).map(Cow::Borrowed),
        TokenSource::Query(key) => request.query_value(key),
        TokenSource::Cookie(name) => cookie(request, name).map(Cow::Borrowed),
    };
    sources.iter().filter_map(of).find(|token| !token.is_empty())
}

/// Returns the token of an `Authorization` header field, or `None` if it has another scheme.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    // Several spaces may separate the two (RFC 9110 §11.4).
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_matches(' '))
}

/// Returns the value of a cookie (RFC 6265 §4.2). HTTP/2 may send each cookie in a field of its own.
fn cookie<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    let fields = request.header_pairs().filter(|(field, _)| field.eq_ignore_ascii_case(b"cookie"));
    let mut cookies = fields
        .filter_map(|(_, value)| std::str::from_utf8(value).ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|cookie| cookie.trim_matches(' ').split_once('='));
    cookies.find(|(key, _)| *key == name).map(|(_, value)| value.trim_matches('"'))
}
