//! The logs of the settings, and the log of a topic or a filter.

use super::{
    TopicFilter, TopicFilterError, TopicName, TopicPattern,
    log::LogKey,
    settings::{TopicLog, pattern_matches},
};

/// Logs of the settings with their keys. The first pattern that matches a topic decides.
pub(super) struct LogTable(Vec<(String, LogKey)>);

impl LogTable {
    pub(super) fn new(logs: &[TopicLog]) -> Self {
        // A topic name contains no NUL, so a log and a topic of the same name have different keys.
        Self(logs.iter().map(|log| (log.topics.clone(), format!("\0{}", log.name).into())).collect())
    }

    /// Returns the key of a topic's log. A topic that no pattern matches is a log of its own.
    pub(super) fn of_topic(&self, topic: &TopicName) -> LogKey {
        let log = self.0.iter().find(|(pattern, _)| pattern_matches(pattern, topic));
        log.map_or(&topic.0, |(_, key)| key).clone()
    }

    /// Returns the pattern of a log of several topics; `None` for a topic that is a log of its own.
    pub(super) fn topics_of(&self, key: &LogKey) -> Option<&str> {
        self.0.iter().find(|(_, known)| known == key).map(|(topics, _)| topics.as_str())
    }

    /// Returns the key of the log that has all topics of a filter.
    ///
    /// # Errors
    ///
    /// There is no such log.
    pub(super) fn of_filter(&self, filter: &TopicFilter) -> Result<LogKey, TopicFilterError> {
        let mut keys = filter.patterns().iter().map(|pattern| match pattern {
            TopicPattern::Topic(topic) => Ok(self.of_topic(topic)),
            TopicPattern::Below(_) => self.of_prefix(&pattern.prefix()),
        });
        let first = keys.next().unwrap_or(Err(TopicFilterError::Empty))?;
        keys.try_fold(first, |first, key| match key? == first {
            true => Ok(first),
            false => Err(TopicFilterError::SeveralLogs),
        })
    }

    /// Returns the key of the log that has all topics with a prefix.
    fn of_prefix(&self, prefix: &str) -> Result<LogKey, TopicFilterError> {
        for (pattern, key) in &self.0 {
            match pattern.strip_suffix('*') {
                Some(covered) if prefix.starts_with(covered) => return Ok(key.clone()),
                // The log has some of the topics, and the others have another one.
                Some(part) if part.starts_with(prefix) => break,
                None if pattern.starts_with(prefix) => break,
                Some(_) | None => {}
            }
        }
        Err(TopicFilterError::SeveralLogs)
    }
}

/// Returns `true` if a log may have several topics.
pub(super) fn is_shared(key: &LogKey) -> bool {
    key.starts_with('\0')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> LogTable {
        LogTable::new(&[
            TopicLog::new("gold", "prices/gold/*"),
            TopicLog::new("prices", "prices/*"),
            TopicLog::new("news", "news*"),
        ])
    }

    #[test]
    fn the_first_pattern_decides_the_log_of_a_topic() {
        let log = |topic: &str| table().of_topic(&topic.parse().unwrap()).to_string();
        assert_eq!(log("prices/gold/spot"), "\0gold");
        assert_eq!(log("prices/gold"), "\0prices");
        assert_eq!(log("prices"), "prices");
        assert_eq!(log("newspaper"), "\0news");
        assert_eq!(log("news"), "\0news");
    }

    #[test]
    fn a_filter_must_stay_within_one_log() {
        let log = |topics: &[&str]| {
            let filter = TopicFilter::parse(topics.iter().copied()).unwrap();
            table().of_filter(&filter).map(|key| key.to_string())
        };
        assert_eq!(log(&["prices/gold/*"]).unwrap(), "\0gold");
        assert_eq!(log(&["prices/tin/*", "prices/tin"]).unwrap(), "\0prices");
        assert_eq!(log(&["news/*", "newspaper/*"]).unwrap(), "\0news");
        assert_eq!(log(&["sport"]).unwrap(), "sport");
        for several in
            [&["prices/*"][..], &["prices/gold/*", "prices/tin"], &["sport/*"], &["a", "b"], &["*"]]
        {
            assert_eq!(log(several), Err(TopicFilterError::SeveralLogs), "{several:?}");
        }
    }
}
