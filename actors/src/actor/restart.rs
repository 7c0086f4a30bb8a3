//! When an actor comes back, and after how long.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::exit::ExitReason;

/// Says after which ends an actor is built anew.
///
/// After none if nobody can tell it anything any more, or it was told to end: by [`Addr::stop`](crate::Addr::stop), by
/// its parent, with its system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Restart {
    /// After a panic, a failure and [`Flow::Stop`](crate::Flow::Stop) alike.
    Always,
    /// After a panic and after [`Flow::Fail`](crate::Flow::Fail).
    #[default]
    OnFailure,
    /// After none.
    Never,
}

/// How an actor is spawned.
///
/// ```
/// use std::time::Duration;
/// use windlass_actors::{Restart, SpawnOptions};
///
/// let options = SpawnOptions {
///     mailbox: 1024,
///     restart: Restart::Always,
///     max_restarts: 3,
///     restart_window: Duration::from_secs(10),
///     ..SpawnOptions::named("billing")
/// };
/// assert_eq!(options.backoff, Duration::from_millis(10));
/// ```
#[derive(Clone, Debug)]
pub struct SpawnOptions {
    /// Names it in logs, and to those who hear of its end; need not be unique. Default: `actor`.
    pub name: String,
    /// Messages that may wait in its mailbox. Default: 256.
    pub mailbox: usize,
    /// After which ends it is built anew. Default: after failures.
    pub restart: Restart,
    /// How long the first restart waits; each further one within the window waits twice as long. Default: 10 ms.
    pub backoff: Duration,
    /// The longest a restart waits. Default: 5 s.
    pub max_backoff: Duration,
    /// Restarts within the window at most; with the next failure the actor ends for good. Default: 10.
    pub max_restarts: usize,
    /// The window in which restarts are counted. Default: 60 s.
    pub restart_window: Duration,
    /// How long its children may take to end before it ends or is built anew; see
    /// [`Context::spawn_on`](crate::Context::spawn_on). Default: 5 s.
    pub children_grace: Duration,
}

impl Default for SpawnOptions {
    fn default() -> Self {
        Self {
            name: "actor".to_owned(),
            mailbox: 256,
            restart: Restart::default(),
            backoff: Duration::from_millis(10),
            max_backoff: Duration::from_secs(5),
            max_restarts: 10,
            restart_window: Duration::from_secs(60),
            children_grace: Duration::from_secs(5),
        }
    }
}

impl SpawnOptions {
    /// Names the actor; everything else is the default.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }
}

impl Restart {
    pub(crate) fn applies(self, why: &ExitReason) -> bool {
        match why {
            ExitReason::Unreferenced | ExitReason::StopRequested | ExitReason::Aborted => false,
            ExitReason::Stopped => self == Self::Always,
            ExitReason::Failed(_) | ExitReason::Panicked(_) => self != Self::Never,
        }
    }
}

/// The restarts of the current window, oldest first; never more than the limit.
#[derive(Debug, Default)]
pub(crate) struct Restarts(VecDeque<Instant>);

impl Restarts {
    /// Says how long the next restart waits. `None`: there were too many.
    pub(crate) fn next(&mut self, now: Instant, options: &SpawnOptions) -> Option<Duration> {
        while self.0.front().is_some_and(|&at| now.saturating_duration_since(at) > options.restart_window) {
            self.0.pop_front();
        }
        if self.0.len() >= options.max_restarts {
            return None;
        }
        let doublings = u32::try_from(self.0.len()).unwrap_or(u32::MAX).min(31);
        self.0.push_back(now);
        Some(options.backoff.saturating_mul(1 << doublings).min(options.max_backoff))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_cap_and_the_window_forgets() {
        let options = SpawnOptions {
            max_restarts: 4,
            max_backoff: Duration::from_millis(30),
            ..SpawnOptions::default()
        };
        let (start, mut restarts) = (Instant::now(), Restarts::default());
        let waits: Vec<_> =
            (0..5).map(|_| restarts.next(start, &options).map(|wait| wait.as_millis())).collect();
        assert_eq!(waits, [Some(10), Some(20), Some(30), Some(30), None]);

        let later = start + options.restart_window + Duration::from_millis(1);
        assert_eq!(restarts.next(later, &options), Some(options.backoff));
    }

    #[test]
    fn policies_tell_ends_apart() {
        let ends = [
            ExitReason::Unreferenced,
            ExitReason::StopRequested,
            ExitReason::Stopped,
            ExitReason::Failed("".into()),
            ExitReason::Panicked("".into()),
        ];
        let applies = |restart: Restart| ends.iter().map(|end| restart.applies(end)).collect::<Vec<_>>();
        assert_eq!(applies(Restart::Always), [false, false, true, true, true]);
        assert_eq!(applies(Restart::OnFailure), [false, false, false, true, true]);
        assert_eq!(applies(Restart::Never), [false; 5]);
    }
}
