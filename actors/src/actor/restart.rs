//! Options of a new actor, its restart policy, and the delay of each restart.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::exit::ExitReason;

/// Policy that decides for which exit reasons an actor is restarted.
///
/// An actor never restarts if its last address was dropped, or if it was stopped by
/// [`Addr::stop`](crate::Addr::stop), by its parent or with its system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Restart {
    /// Restarts after a panic, [`Flow::Fail`](crate::Flow::Fail) and [`Flow::Stop`](crate::Flow::Stop).
    Always,
    /// Restarts after a panic and [`Flow::Fail`](crate::Flow::Fail).
    #[default]
    OnFailure,
    /// Never restarts.
    Never,
}

/// Options of a new actor.
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
    /// Name of the actor in logs and exits. It need not be unique. Default: `actor`.
    pub name: String,
    /// Capacity of the mailbox, in messages, at least 1. Default: 256.
    pub mailbox: usize,
    /// Policy that decides after which exit reasons the actor is restarted. Default: [`Restart::OnFailure`].
    pub restart: Restart,
    /// Delay before the first restart. It doubles with each restart within the window, up to
    /// [`max_backoff`](Self::max_backoff). Default: 10 ms.
    pub backoff: Duration,
    /// Longest delay before a restart. Default: 5 s.
    pub max_backoff: Duration,
    /// Maximum number of restarts within the window. Instead of one more restart the actor exits. Default:
    /// 10.
    pub max_restarts: usize,
    /// Window in which restarts are counted. Default: 60 s.
    pub restart_window: Duration,
    /// Time that the actor's children get to exit before it exits or restarts itself. See
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
    /// Returns the default options with this name.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }
}

impl Restart {
    /// Returns `true` if the policy restarts an actor after this exit reason.
    pub(crate) fn covers(self, reason: &ExitReason) -> bool {
        match reason {
            ExitReason::Unreferenced | ExitReason::StopRequested | ExitReason::Aborted => false,
            ExitReason::Stopped => self == Self::Always,
            ExitReason::Failed(_) | ExitReason::Panicked(_) => self != Self::Never,
        }
    }
}

/// Times of the restarts in the current window, oldest first, never more than the limit.
#[derive(Debug, Default)]
pub(crate) struct RestartLog(VecDeque<Instant>);

impl RestartLog {
    /// Records a restart and returns its delay. Returns `None` if the limit is reached.
    pub(crate) fn next_delay(&mut self, now: Instant, options: &SpawnOptions) -> Option<Duration> {
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
    fn backoff_doubles_up_to_its_maximum_and_old_restarts_expire() {
        let options = SpawnOptions {
            max_restarts: 4,
            max_backoff: Duration::from_millis(30),
            ..SpawnOptions::default()
        };
        let (start, mut restarts) = (Instant::now(), RestartLog::default());
        let delays: Vec<_> =
            (0..5).map(|_| restarts.next_delay(start, &options).map(|delay| delay.as_millis())).collect();
        assert_eq!(delays, [Some(10), Some(20), Some(30), Some(30), None]);

        let later = start + options.restart_window + Duration::from_millis(1);
        assert_eq!(restarts.next_delay(later, &options), Some(options.backoff));
    }

    #[test]
    fn policies_cover_different_exit_reasons() {
        let reasons = [
            ExitReason::Unreferenced,
            ExitReason::StopRequested,
            ExitReason::Stopped,
            ExitReason::Failed("".into()),
            ExitReason::Panicked("".into()),
        ];
        let covered =
            |restart: Restart| reasons.iter().map(|reason| restart.covers(reason)).collect::<Vec<_>>();
        assert_eq!(covered(Restart::Always), [false, false, true, true, true]);
        assert_eq!(covered(Restart::OnFailure), [false, false, false, true, true]);
        assert_eq!(covered(Restart::Never), [false; 5]);
    }
}
