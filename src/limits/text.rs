//! Durations as a configuration file writes them: `"10s"`, `"250ms"`, `"1h 30m"`, or `"off"`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error};

/// Reads a duration.
pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text)
        .map_err(|()| D::Error::custom(format!("'{text}' is no duration; write \"10s\" or \"250ms\"")))
}

/// Reads a duration or `off`.
pub(super) fn duration_or_off<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text == "off" {
        return Ok(None);
    }
    let wrong = || format!("'{text}' is no duration; write \"10s\", \"250ms\" or \"off\"");
    parse(&text).map(Some).map_err(|()| D::Error::custom(wrong()))
}

fn parse(text: &str) -> Result<Duration, ()> {
    humantime::parse_duration(text).map_err(|_| ())
}
