//! The reasons for which `windlass serve` fails. Each has an exit status of its own.

/// The reason that the server did not start, or did not end cleanly.
#[derive(Debug)]
pub(super) enum Failure {
    /// Flags, configuration or system do not permit the server to start. Another start would not help. Exit
    /// status 2.
    Refused(String),
    /// Something failed that may work at the next start, such as a shard or a full disk. Exit status 1.
    Failed(String),
}

impl From<String> for Failure {
    fn from(error: String) -> Self {
        Self::Refused(error)
    }
}
