//! Reasons for which a command ends, and their exit status.

/// The reason that the server did not start, or ended other than by a signal.
#[derive(Debug)]
pub(super) enum Failure {
    /// Flags, configuration or system do not permit the server to start. Another start would not help.
    Refused(String),
    /// Something failed that may work at the next start, such as a disk that is full.
    Failed(String),
}

impl From<String> for Failure {
    fn from(error: String) -> Self {
        Self::Refused(error)
    }
}
