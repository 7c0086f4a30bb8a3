//! The claims of a token.

use std::time::{Duration, SystemTime};

use serde::Deserialize;

use super::Settings;
use crate::identity::{Identity, InvalidPattern, Refusal, TopicPatterns};

/// The claims that an identity is made of. The token library checks `iss`, `aud`, `exp` and `nbf`.
#[derive(Deserialize)]
pub(super) struct Claims {
    sub: String,
    /// Seconds since 1970.
    exp: f64,
    /// Seconds since 1970.
    iat: Option<f64>,
    #[serde(default)]
    topics: Option<Topics>,
}

#[derive(Deserialize)]
struct Topics {
    #[serde(default)]
    subscribe: Vec<String>,
    #[serde(default)]
    publish: Vec<String>,
}

impl Claims {
    /// Returns the identity. A token without the claim `topics` has the topics of the settings.
    pub(super) fn identity(self, settings: &Settings, now: SystemTime) -> Result<Identity, Refusal> {
        let expires = time(self.exp).ok_or(Refusal::Malformed)?;
        let issued = self.iat.map(|iat| time(iat).ok_or(Refusal::Malformed)).transpose()?;
        let left = expires.duration_since(now).unwrap_or_default();
        if settings.max_lifetime.is_some_and(|longest| left > longest + settings.leeway) {
            return Err(Refusal::Lifetime);
        }
        let (subscribe, publish) = match &self.topics {
            Some(topics) => (&topics.subscribe, &topics.publish),
            None => (&settings.subscribe, &settings.publish),
        };
        let parse = |patterns: &[String]| {
            TopicPatterns::parse_for(Some(&self.sub), patterns).map_err(|error| match error {
                InvalidPattern::Subject => Refusal::Subject,
                _ => Refusal::Pattern,
            })
        };
        let (subscribe, publish) = (parse(subscribe)?, parse(publish)?);
        let identity = Identity::new(self.sub.as_str())
            .expires_at(expires, settings.leeway)
            .may_subscribe(subscribe)
            .may_publish(publish);
        Ok(match issued {
            Some(issued) => identity.issued_at(issued),
            None => identity,
        })
    }
}

/// Returns the time of a numeric date, or `None` if it is not in the range of the clock.
fn time(seconds: f64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
}
