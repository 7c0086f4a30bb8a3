//! `windlass doctor`: checks whether this system lets the server run well, and suggests fixes.
//!
//! `facts` reads the state of the system. `checks` are functions from facts to results, so that they can be
//! tested on any state. This module must not know the rest of the command line.

mod checks;
mod facts;

use std::fmt;

pub(crate) use facts::Facts;

/// Result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// No action is needed.
    Ok,
    /// The server runs, but not as well as it could.
    Warn,
    /// The server cannot run.
    Fail,
}

/// A check with its result.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) struct Check {
    /// Name of the checked property.
    pub(crate) name: &'static str,
    /// Result.
    pub(crate) status: Status,
    /// State of the system.
    pub(crate) found: String,
    /// Suggested fix. `None` if no action is needed.
    pub(crate) fix: Option<String>,
}

/// Needs of the server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub(crate) struct Needs {
    /// Number of shards. `None`: the server's default.
    pub(crate) shards: Option<usize>,
    /// Backlog of the listeners. Default 4096.
    pub(crate) backlog: u32,
    /// The server can use epoll instead of io_uring, so missing io_uring is only a warning. Default `false`.
    pub(crate) fallback: bool,
}

impl Default for Needs {
    fn default() -> Self {
        Self { shards: None, backlog: 4096, fallback: false }
    }
}

/// Results of all checks. Its display is a table.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    checks: Vec<Check>,
}

impl Report {
    /// Returns the checks, in order of importance.
    #[cfg(test)]
    pub(crate) fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// Returns the exit status: 1 if a check failed, else 0.
    pub(crate) fn exit_status(&self) -> u8 {
        u8::from(self.checks.iter().any(|check| check.status == Status::Fail))
    }
}

/// Checks this system from the calling thread. Takes milliseconds. If this build has the io_uring engine,
/// opens a small ring and closes it.
pub(crate) fn examine(needs: &Needs) -> Report {
    judge(&Facts::read(), needs)
}

/// Checks facts that were read before.
pub(crate) fn judge(facts: &Facts, needs: &Needs) -> Report {
    Report { checks: checks::ALL.iter().map(|check| check(facts, needs)).collect() }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
        for Check { name, status, found, fix } in &self.checks {
            writeln!(f, "{status:<4}  {name:<width$}  {found}")?;
            if let Some(fix) = fix {
                writeln!(f, "{:<4}  {:<width$}  fix: {fix}", "", "")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
