//! Durations as text in a configuration file, such as `"10s"`, `"250ms"`, `"1h 30m"` or `"off"`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error};

/// Deserializes a duration.
pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text)
        .map_err(|()| D::Error::custom(format!("'{text}' is not a duration: write \"10s\" or \"250ms\"")))
}

/// Deserializes a duration, or `None` for the text `off`.
pub(super) fn duration_or_off<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text == "off" {
        return Ok(None);
    }
    let message = || format!("'{text}' is not a duration: write \"10s\", \"250ms\" or \"off\"");
    parse(&text).map(Some).map_err(|()| D::Error::custom(message()))
}

fn parse(text: &str) -> Result<Duration, ()> {
    humantime::parse_duration(text).map_err(|_| ())
}
