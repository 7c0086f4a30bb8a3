//! The setting that selects an engine.

use std::{fmt, str::FromStr};

/// The engine that drives a server's sockets. All engines behave the same towards programs and clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum EngineKind {
    /// io_uring if this build and the system support it, otherwise epoll. This is the default.
    ///
    /// The selected engine and the reason are logged, and exported as `windlass_engine_info`.
    #[default]
    Auto,
    /// io_uring, hosted by glommio. Requires Linux 6.1 or later. The default profiles of container runtimes
    /// forbid it.
    ///
    /// If it cannot run, the server does not start.
    IoUring,
    /// epoll, hosted by tokio. Runs on every Linux system.
    Epoll,
}

impl EngineKind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::IoUring => "io_uring",
            Self::Epoll => "epoll",
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for EngineKind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = [Self::Auto, Self::IoUring, Self::Epoll].into_iter().find(|kind| kind.name() == name);
        known.ok_or_else(|| format!("invalid engine '{name}': expected auto, io_uring or epoll"))
    }
}

#[cfg(test)]
mod tests {
    use super::EngineKind;

    #[test]
    fn engines_are_parsed_as_they_are_displayed() {
        for kind in [EngineKind::Auto, EngineKind::IoUring, EngineKind::Epoll] {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert!("io-uring".parse::<EngineKind>().unwrap_err().contains("io_uring"));
    }
}
