//! `windlass doctor`: does this machine, as configured for this user, let Windlass run well, and if not, what helps.
//!
//! Each check judges plain facts (`checks`), so that every verdict is tested on text; the facts are read in one
//! place (`facts`).

mod checks;
mod facts;

use std::fmt;

pub(crate) use facts::Facts;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Nothing to do.
    Ok,
    /// It runs, but not as well as it could.
    Warn,
    /// It does not run.
    Fail,
}

/// One thing looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) struct Check {
    /// What was looked at.
    pub(crate) name: &'static str,
    /// How it came out.
    pub(crate) status: Status,
    /// What was found.
    pub(crate) found: String,
    /// What to do about it; `None` where nothing is to do.
    pub(crate) fix: Option<String>,
}

/// What the server to be run will need.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub(crate) struct Needs {
    /// Shards; `None`: as many as the machine lets run, the server's own default.
    pub(crate) shards: Option<usize>,
    /// The listeners' backlog. 4096.
    pub(crate) backlog: u32,
    /// The epoll engine can step in where io_uring is missing, which is then no failure. False.
    pub(crate) fallback: bool,
}

impl Default for Needs {
    fn default() -> Self {
        Self { shards: None, backlog: 4096, fallback: false }
    }
}

/// The outcome of all checks; displays as a table.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    checks: Vec<Check>,
}

impl Report {
    /// Returns the checks, in the order they matter.
    #[cfg(test)]
    pub(crate) fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// Returns the exit status: 1 when a check failed, otherwise 0.
    pub(crate) fn exit_status(&self) -> u8 {
        u8::from(self.checks.iter().any(|check| check.status == Status::Fail))
    }
}

/// Looks at this machine, from the calling thread. Takes milliseconds; opens a small ring and closes it.
pub(crate) fn examine(needs: &Needs) -> Report {
    judge(&Facts::read(), needs)
}

/// Judges facts read earlier.
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
